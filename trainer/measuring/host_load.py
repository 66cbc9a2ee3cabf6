"""How busy others keep this machine, and whether they leave it to its node.

CPU seconds stretch when neighbours share caches and cores, so a ceiling of CPU seconds blames a
candidate for them. Source: proc(5), /proc/stat.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final
from weakref import WeakSet

from trainer.sandbox.sandbox import Sandbox

NOTICEABLE: Final = 0.1  # of all processors: an editor and a browser at rest stay below it
IDLE_S: Final = 60.0
LOOKED_S: Final = 5.0
_IDLE_FIELDS = (3, 4)  # idle, iowait


class LaneWork:
    """CPU seconds that one lane's scripts used: to the runs of other lanes it is one of the others.

    What starts ahead, before there is a script, is no lane's.
    """

    _all: ClassVar[WeakSet["LaneWork"]] = WeakSet()

    def __init__(self) -> None:
        self._ended_s = 0.0
        self._began_s: dict[Sandbox, float] = {}
        self._all.add(self)

    def begin(self, sandbox: Sandbox) -> None:
        """Count a sandbox from now on."""
        self._began_s[sandbox] = sandbox.cpu_s()

    def end(self, sandbox: Sandbox) -> None:
        """Count it no longer, before it is closed: its number may then be another's."""
        self._ended_s += sandbox.cpu_s() - self._began_s.pop(sandbox)

    def used_s(self) -> float:
        """What it used so far."""
        open_s = sum(sandbox.cpu_s() - began_s for sandbox, began_s in self._began_s.items())
        return self._ended_s + open_s

    def others_s(self) -> float:
        """What all other lanes of this process used so far."""
        return sum(lane.used_s() for lane in self._all if lane is not self)


class HostLoad:
    """Watches from its making on. `lane`: whose run it is that others may disturb."""

    def __init__(self, lane: LaneWork | None = None) -> None:
        self._lane = lane
        self._lanes_s = 0.0 if lane is None else lane.others_s()
        self._busy_s, self._own_s, self._wall_s = _busy_s(), _own_s(), time.monotonic()

    def share(self) -> float:
        """What strangers to this node used since then, as a share of all processors' time."""
        return self._of_capacity(_busy_s() - self._busy_s - (_own_s() - self._own_s))

    def share_with_lanes(self) -> float:
        """The same with what other lanes used: caches and cores are shared with them as well."""
        lanes_s = 0.0 if self._lane is None else self._lane.others_s() - self._lanes_s
        return self.share() + self._of_capacity(lanes_s)

    def is_noticeable(self) -> bool:
        """Whether strangers used so much that our CPU seconds may have stretched."""
        return self.share() > NOTICEABLE

    def _of_capacity(self, used_s: float) -> float:
        capacity_s = (time.monotonic() - self._wall_s) * (os.cpu_count() or 1)
        return max(0.0, used_s / capacity_s) if capacity_s > 0 else 0.0


class Idle:
    """Whether nobody else uses the machine: for `arnode start --when-idle`, and for a run that they
    disturbed. Looks when asked, not too often.

    `others`: what others used since it was last called, as a share of all processors' time;
    `is_card_used`: whether they used the card since then, if there is one; `clock` is in seconds.
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


def _busy_s() -> float:
    """Seconds that all processors worked since the machine started; stolen time is work."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    idle = sum(ticks[field] for field in _IDLE_FIELDS)
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    """CPU seconds of this process and its sandboxes."""
    return time.process_time() + Sandbox.cpu_s_of_all()
