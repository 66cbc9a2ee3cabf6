"""Whether others leave this machine to its node: `arnode start --when-idle`."""

import time
from collections.abc import Callable
from typing import Final

from trainer.crowd import NOTICEABLE, Crowd

QUIET_S: Final = 60.0
LOOKED_S: Final = 5.0


class Quiet:
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
        self._crowd = Crowd()
        self._others = others or self._since_the_last_look
        self._is_card_used = is_card_used
        self._clock = clock
        self._looked_s = self._busy_s = clock()

    def is_quiet(self) -> bool:
        """Say whether nobody else used much for a minute. A node that starts has seen none."""
        now_s = self._clock()
        if now_s >= self._looked_s + LOOKED_S:
            self._looked_s = now_s
            # Both are asked: each answers for the time since it was.
            if any([self._others() > NOTICEABLE, self._is_card_used()]):
                self._busy_s = now_s
        return now_s >= self._busy_s + QUIET_S

    def _since_the_last_look(self) -> float:
        crowd, self._crowd = self._crowd, Crowd()
        return crowd.share()
