"""Whether others leave this machine to its node: for `arnode start --when-idle`, and for a run that
they disturbed.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from trainer.measuring.host_load import NOTICEABLE, HostLoad

IDLE_S: Final = 60.0
LOOKED_S: Final = 5.0


class Idle:
    """Looks when asked, not too often. `others`: what others used since it was last called, as a
    share of all processors' time; `is_card_used`: whether they used the card since then, if there
    is one; `clock` is in seconds.
    """

    def __init__(
        self,
        *,
        others: Callable[[], float] | None = None,
        is_card_used: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = HostLoad()
        self._others = others or self._since_the_last_look
        self._is_card_used = is_card_used
        self._clock = clock
        self._looked_s = self._busy_s = clock()

    def is_idle(self) -> bool:
        """Say whether nobody else used much for a minute. A node that starts has seen none."""
        now_s = self._clock()
        if now_s >= self._looked_s + LOOKED_S:
            self._looked_s = now_s
            # Both are asked: each answers for the time since it was.
            if any([self._others() > NOTICEABLE, self._is_card_used()]):
                self._busy_s = now_s
        return now_s >= self._busy_s + IDLE_S

    def _since_the_last_look(self) -> float:
        load, self._load = self._load, HostLoad()
        return load.share()


async def idle_minute(idle: Idle, ends_s: float, is_hurried: asyncio.Event) -> bool:
    """Wait until it is idle; return whether it was, by `ends_s` of `time.monotonic`.

    No longer than until somebody is in a hurry.
    """
    while not idle.is_idle():
        left_s = ends_s - time.monotonic()
        if left_s <= 0 or is_hurried.is_set():
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(LOOKED_S, left_s)):
                await is_hurried.wait()
    return True
