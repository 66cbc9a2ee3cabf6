"""The load that other programs put on this machine, and whether the machine is idle.

CPU seconds stretch when other programs share caches and cores, so a ceiling of CPU seconds would
blame a candidate for them. Source: proc(5), /proc/stat.
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

NOTICEABLE: Final = 0.1  # of all processors; an idle editor and browser stay below it
IDLE_S: Final = 60.0
LOOKED_S: Final = 5.0
_IDLE_FIELDS = (3, 4)  # idle, iowait


class LaneWork:
    """The CPU seconds that the scripts of one lane used; other lanes count them as load.

    Sandboxes started ahead belong to no lane until they get a script.
    """

    _all: ClassVar[WeakSet["LaneWork"]] = WeakSet()

    def __init__(self) -> None:
        self._ended_s = 0.0
        self._began_s: dict[Sandbox, float] = {}
        self._all.add(self)

    def begin(self, sandbox: Sandbox) -> None:
        """Start to count a sandbox's processor time as this lane's."""
        self._began_s[sandbox] = sandbox.cpu_s()

    def end(self, sandbox: Sandbox) -> None:
        """Stop counting a sandbox.

        Call it before the sandbox is closed: its process id may be reused afterwards.
        """
        self._ended_s += sandbox.cpu_s() - self._began_s.pop(sandbox)

    def used_s(self) -> float:
        """Return the CPU seconds that this lane's scripts used so far."""
        open_s = sum(sandbox.cpu_s() - began_s for sandbox, began_s in self._began_s.items())
        return self._ended_s + open_s

    def others_s(self) -> float:
        """Return the CPU seconds that all other lanes of this process used so far."""
        return sum(lane.used_s() for lane in self._all if lane is not self)


class HostLoad:
    """A measurement of the load by other programs since this object was made.

    `lane` is the lane of the run that they may disturb.
    """

    def __init__(self, lane: LaneWork | None = None) -> None:
        self._lane = lane
        self._lanes_s = 0.0 if lane is None else lane.others_s()
        self._busy_s, self._own_s, self._wall_s = _busy_s(), _own_s(), time.monotonic()

    def share(self) -> float:
        """Return the use by programs outside this node, as a fraction of all processors' time."""
        return self._of_capacity(_busy_s() - self._busy_s - (_own_s() - self._own_s))

    def share_with_lanes(self) -> float:
        """Return `share` plus the share of other lanes, which use the same caches and cores."""
        lanes_s = 0.0 if self._lane is None else self._lane.others_s() - self._lanes_s
        return self.share() + self._of_capacity(lanes_s)

    def is_noticeable(self) -> bool:
        """Return True if other programs used so much that our CPU seconds may have stretched."""
        return self.share() > NOTICEABLE

    def _of_capacity(self, used_s: float) -> float:
        capacity_s = (time.monotonic() - self._wall_s) * (os.cpu_count() or 1)
        return max(0.0, used_s / capacity_s) if capacity_s > 0 else 0.0


class Idle:
    """A check that no other program uses the machine, for `--when-idle` and for disturbed runs.

    It measures at most every `LOOKED_S`. `others` returns the use by other programs since its last
    call, as a fraction of all processors' time. `is_card_used` returns True if other programs used
    the card since its last call. `clock` is in seconds.
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
        """Return True if others used little for a minute. A node must run for a minute first."""
        now_s = self._clock()
        if now_s >= self._looked_s + LOOKED_S:
            self._looked_s = now_s
            # Both are called: each answers for the time since its last call.
            if any([self._others() > NOTICEABLE, self._is_card_used()]):
                self._busy_s = now_s
        return now_s >= self._busy_s + IDLE_S

    def _since_the_last_look(self) -> float:
        load, self._load = self._load, HostLoad()
        return load.share()


async def idle_minute(idle: Idle, ends_s: float, is_hurried: asyncio.Event) -> bool:
    """Wait for an idle minute; return False if none ended by `ends_s` of `time.monotonic`.

    Stop waiting once `is_hurried` is set.
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
    """Return the seconds that all processors worked since boot; stolen time counts as work."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    idle = sum(ticks[field] for field in _IDLE_FIELDS)
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    """Return the CPU seconds of this process and its sandboxes."""
    return time.process_time() + Sandbox.cpu_s_of_all()
