"""A watch over one NVIDIA card while a node uses it: load by others, throttling, memory, loss.

The watch is opened before the node uses the card, so that it learns the card's usual state. `ours`
marks the sandboxes of this node, and `around` makes the report of a run. Only the event loop
changes the watch's state. The driver is called in a daemon thread, since a call into a hanging
driver never returns.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, TypeVar

from trainer.cards.load import (
    CardReport,
    RestingCard,
    Sample,
    Separation,
    State,
    is_contended,
    report,
)
from trainer.cards.nvml import CardLost, CardReader, Reading, is_library_replaced
from trainer.host.processes import family_of

T = TypeVar("T")

EVERY_S: Final = 1.0
HUNG_S: Final = 30.0  # a driver that recovers a card from a fault blocks its callers for seconds
_REMEMBERED: Final = 600  # samples, for `is_used_by_others`
LEAVING_S: Final = 3.0  # how long an ended sandbox may stay in the driver's figures
_GIB: Final = 1 << 30


@dataclass(slots=True, eq=False)
class _Own:
    """A sandbox of this node: its first process, and all of its processes seen so far."""

    root: int
    pids: set[int] = field(default_factory=set)
    ended_s: float | None = None


class Window:
    """The samples of a card during one run."""

    def __init__(self, rest: RestingCard) -> None:
        self.samples: list[Sample] = []
        self._rest = rest

    @property
    def report(self) -> CardReport:
        return report(self.samples, self._rest.usual)


class CardWatch:
    """A watch that samples a card once a second while open. Get one from `watching`.

    `lost` is the error of a lost card. It is never reset: a lost card needs a new watch.
    """

    def __init__(
        self,
        uuid: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        family: Callable[[int], Iterable[int]] = family_of,
        hung_s: float = HUNG_S,
    ) -> None:
        self.uuid = uuid
        self.lost: CardLost | None = None
        self._reader = CardReader(uuid)
        self._clock, self._family, self._hung_s = clock, family, hung_s
        self._is_hung = False
        self._separation, self._rest = Separation(), RestingCard()
        self._own: set[_Own] = set()
        self._windows: set[Window] = set()
        self._blocks: set[asyncio.Timeout] = set()  # cancelled when the card is lost
        self._since: deque[Sample] = deque(maxlen=_REMEMBERED)
        self._last: Sample | None = None
        self._looking = asyncio.Lock()
        self._rested = asyncio.Event()

    async def open(self) -> None:
        """Find the card. Raises CardLost if it is missing."""
        await self._asked(self._reader.open)

    async def close(self) -> None:
        """Release the driver, unless a call into it hangs."""
        if not self._is_hung:
            with contextlib.suppress(CardLost):
                await self._asked(self._reader.close)

    async def look(self) -> None:
        """Take a sample now. Raises CardLost if the card is gone."""
        async with self._looking:
            if self.lost is not None:
                raise self.lost
            reading = await self._asked(self._reader.read)
            self._take(reading)

    async def rested(self) -> None:
        """Wait until the card's usual state is known, some seconds after the watch was opened.

        If a sandbox uses the card when the watch is opened, wait until that sandbox has ended.
        Raises CardLost.
        """
        await self._rested.wait()
        if self.lost is not None:
            raise self.lost

    @contextlib.contextmanager
    def ours(self, root: int) -> Iterator[None]:
        """Count the sandbox whose first process is `root` as ours during the `with` body."""
        own = _Own(root=root, pids=set(self._family(root)))
        self._own.add(own)
        try:
            yield
        finally:
            own.ended_s = self._clock()

    @contextlib.asynccontextmanager
    async def around(self) -> AsyncIterator[Window]:
        """Watch a run in the `with` body; the window's report is complete after the body.

        If the card is lost, the body is cancelled. CardLost is then raised instead of the body's
        error, since a failure on a lost card says nothing about the candidate.
        """
        window = Window(self._rest)
        self._windows.add(window)
        try:
            await self.look()
            try:
                async with asyncio.timeout(None) as block:
                    self._blocks.add(block)
                    try:
                        yield window
                    finally:
                        self._blocks.discard(block)
            except Exception as failed:
                await self._look_once_more(failed)
                raise
            await self._look_once_more(None)
        finally:
            self._windows.discard(window)

    def memory_limit(self) -> str | None:
        """Return the card's memory in words: `the card has 7.8 GiB, others use 1.1 GiB`.

        Return None if the driver does not report memory.
        """
        if self._last is None or self._last.reading.total_bytes is None:
            return None
        others = self._last.others_bytes
        if others is None:
            others = self._rest.usual.others_bytes
        said = "" if others is None else f", others use {_gib(others)}"
        return f"the card has {_gib(self._last.reading.total_bytes)}{said}"

    def is_used_by_others(self) -> bool:
        """Return True if other programs used the card noticeably since the last call."""
        since = [*self._since]
        self._since.clear()
        return is_contended(since, self._rest.usual)

    async def _look_once_more(self, failed: Exception | None) -> None:
        # A lost card fails a run at once, but only the next sample shows that the card is lost.
        try:
            await self.look()
            if is_library_replaced():
                raise self._losing(CardLost.replaced(self.uuid))
        except CardLost as lost:
            raise lost from failed

    def _take(self, reading: Reading) -> None:
        now_s = self._clock()
        for own in [*self._own]:
            if own.ended_s is None:
                own.pids |= set(self._family(own.root))
            elif now_s > own.ended_s + LEAVING_S:
                self._own.discard(own)
        present = any(own.ended_s is None for own in self._own)
        state: State = "ours" if present else "leaving" if self._own else "quiet"
        sample = self._separation.sample(reading, [own.pids for own in self._own], state)
        self._last = sample
        self._rest.take(sample)
        self._since.append(sample)
        for window in self._windows:
            window.samples.append(sample)
        if self._rest.is_known:
            self._rested.set()

    def _losing(self, lost: CardLost) -> CardLost:
        """Record that the card is lost, and cancel everything that runs on it; return `lost`."""
        self.lost = lost
        self._rested.set()
        while self._blocks:
            self._blocks.pop().reschedule(0)
        return lost

    async def _asked(self, call: Callable[[], T]) -> T:
        """Call the driver in a thread. Raises CardLost if it does not answer in time."""
        try:
            async with asyncio.timeout(self._hung_s):
                return await _in_daemon(call)
        except TimeoutError:
            self._is_hung = True
            raise self._losing(CardLost.hung(self.uuid, self._hung_s)) from None
        except CardLost as lost:
            raise self._losing(lost)  # noqa: B904 -- the same one


@contextlib.asynccontextmanager
async def watching(
    uuid: str, *, every_s: float = EVERY_S, hung_s: float = HUNG_S
) -> AsyncIterator[CardWatch]:
    """Watch a card during the `with` body. Raises CardLost if it is missing."""
    watch = CardWatch(uuid, hung_s=hung_s)
    await watch.open()
    looking = asyncio.create_task(_keep_looking(watch, every_s))
    try:
        yield watch
    finally:
        looking.cancel()
        (ended,) = await asyncio.gather(looking, return_exceptions=True)
        await watch.close()
        if isinstance(ended, Exception):
            raise ended


async def _keep_looking(watch: CardWatch, every_s: float) -> None:
    with contextlib.suppress(CardLost):  # users of the card see it in `lost`
        while True:
            await watch.look()
            await asyncio.sleep(every_s)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:.1f} GiB"


async def _in_daemon(call: Callable[[], T]) -> T:
    """Run a call in a daemon thread and return its result. Program exit does not wait for it."""
    answer: Future[T] = Future()
    answer.set_running_or_notify_cancel()  # a caller that stops waiting cancels nothing

    def work() -> None:
        try:
            answer.set_result(call())
        except Exception as error:  # noqa: BLE001 -- raised where the answer is awaited
            answer.set_exception(error)

    threading.Thread(target=work, name="card", daemon=True).start()
    return await asyncio.wrap_future(answer)
