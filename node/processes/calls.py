"""Questions that wait for their answers, where several are on their way over one channel."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Generic, TypeVar

from protocol.errors import ArnodeError

A = TypeVar("A")


class Calls(Generic[A]):
    """Finds whoever waits for an answer by the number of the question, from 1 on."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._open: dict[int, asyncio.Future[A]] = {}

    @contextmanager
    def open(self) -> Iterator[tuple[int, asyncio.Future[A]]]:
        """Yield a number and the answer to come, which after the block nobody waits for."""
        number = next(self._numbers)
        answer = self._open[number] = asyncio.get_running_loop().create_future()
        try:
            yield number, answer
        finally:
            del self._open[number]

    def answer(self, number: int, answer: A) -> None:
        """Give an answer to whoever waits for it, if anybody still does."""
        if (waiting := self._open.get(number)) is not None and not waiting.done():
            waiting.set_result(answer)

    def fail(self, number: int, fault: ArnodeError) -> None:
        """Raise a fault in whoever waits for an answer, if anybody still does."""
        if (waiting := self._open.get(number)) is not None and not waiting.done():
            waiting.set_exception(fault)
            waiting.exception()  # looked at: whoever called may be cancelled before it is told

    def fail_all(self, fault: ArnodeError) -> None:
        """Raise a fault in everybody who waits: no answer comes any more."""
        for number in self._open:
            self.fail(number, fault)
