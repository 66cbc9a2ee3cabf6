"""Several tasks on one node: each has a line of its own, and the devices for its part of the time.

Turns change between trials, never inside a pair: what a session has open is decided first. Each
session measures its task's baseline anew, as every session does.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from node.loop.research import Research
from protocol.errors import UsageError

TURN_S: Final = 600.0  # of one part
_SHARED = re.compile(r"(.+):([0-9]{1,3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A task, as a flag names it, and how many parts of the time it has."""

    task: str
    parts: int


def shares_of(flags: Sequence[str]) -> tuple[Share, ...]:
    """Return what several `--task NAME[:PARTS]` mean. Raises UsageError for none, or one twice."""
    shares = []
    for flag in flags:
        found = _SHARED.fullmatch(flag)
        name, parts = (found[1], int(found[2])) if found else (flag, 1)
        if parts < 1:
            raise UsageError(f"--task {flag}: no part of the time", "name 1 part or more")
        shares.append(Share(task=name, parts=parts))
    names = [share.task for share in shares]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--task {name} is there twice", f"give it parts: --task {name}:2")
    return tuple(shares)


@asynccontextmanager
async def for_a_turn(research: Research, turn_s: float, following: str) -> AsyncIterator[None]:
    """Let a session make way after so many seconds, while the block lasts."""

    async def wait() -> None:
        await asyncio.sleep(turn_s)
        research.make_way(f"its turn is over: {following} is next, once what is open is decided")

    waiting = asyncio.create_task(wait())
    try:
        yield
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
