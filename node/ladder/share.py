"""How much of a node's time the rungs below have, by what a device hour brings to a task.

Both sides are counted in the same coin, gains that are kept on the task itself: those of its own
ideas; and of what was carried to it, for the hours of the rungs below and of the trials that
carrying took. The rungs below are worth no more than what they find now: a first stack that brings
much says what finds are worth, not that there are more of them. What is kept by few runs is no
verified gain, and decides nothing here but where time goes. By simulation (`make bench
PART=ladder`) one node gains by sharing where most of a gain carries over, and loses less the sooner
this notices that it does not.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from node.line.carried import CARRIED
from node.store.experiments import MADE_HERE, Experiment
from node.store.store import Store
from protocol.record_kinds import ResultBody

FIRST: Final = 0.25  # before anything is known
_LEAST, _MOST = 0.05, 0.7  # else it could not show that it is worth more, nor finds be tried
# Times are in runs of the task, so that it is all the same how long those take.
_HALF_RUNS: Final = 8.0  # what was before that counts by half
_FOUND_HALF_RUNS: Final = 3.0  # so does what was found: what runs dry is to be noticed in a turn
_FIRST_RUNS: Final = 8.0  # on each side, that count as if both had brought the same
_SHARPNESS: Final = 3  # twice as much brought by the hour is worth eight times the time


@dataclass
class FadingYield:
    """What one way of spending time brought and took, the past fading as more is spent on it."""

    nano: float = 0.0
    runs: float = 0.0
    half_runs: float = _HALF_RUNS

    def add(self, nano: float, runs: float) -> None:
        """Count what something brought, and the time that it took."""
        left = 0.5 ** (runs / self.half_runs)
        self.nano, self.runs = left * self.nano + nano, left * self.runs + runs


@dataclass
class LadderSpending:
    """What a task and the rungs below it brought, and for how much time, in runs of the task."""

    carried: FadingYield = field(
        default_factory=FadingYield
    )  # by the time of the rungs below as well
    # What is kept below, as much as it gains there.
    found: FadingYield = field(default_factory=lambda: FadingYield(half_runs=_FOUND_HALF_RUNS))
    own: FadingYield = field(default_factory=FadingYield)
    _found_nano: float = 0.0  # of all finds, and how much of it arrived
    _arrived_nano: float = 0.0

    def find(self, nano: float, runs: float) -> None:
        """Count an idea that was tried below, and what was kept of it there."""
        self.found.add(nano, runs)
        self.carried.add(0.0, runs)
        self._found_nano += nano

    def carry(self, nano: float, runs: float) -> None:
        """Count finds that were tried on the task, and what was kept of them."""
        self.found.add(0.0, runs)
        self.carried.add(nano, runs)
        self._arrived_nano += nano

    def share_below(self) -> float:
        """Return the share of the time that the rungs below should have together.

        Theirs is the lesser of what was carried, and of what is found, times the part of all finds
        that arrived.
        """
        arriving = self._arrived_nano / self._found_nano if self._found_nano else 0.0
        found = replace(self.found, nano=arriving * self.found.nano)
        total_runs = self.carried.runs + self.own.runs
        usual = (self.carried.nano + self.own.nano) / total_runs if total_runs else 0.0
        by_carried, by_found, by_own = (
            (side.nano + usual * _FIRST_RUNS) / (side.runs + _FIRST_RUNS)
            for side in (self.carried, found, self.own)
        )
        by_below = min(by_carried, by_found)
        if not (most := max(by_below, by_own)):
            return FIRST
        by_below, by_own = (by_below / most) ** _SHARPNESS, (by_own / most) ** _SHARPNESS
        return min(_MOST, max(_LEAST, by_below / (by_below + by_own)))


class _Spent(NamedTuple):
    is_below: bool
    is_carried: bool
    nano: int
    device_ms: int


@dataclass
class Effort:
    """What a task and the rungs below it took and brought so far; it reads on where it stopped.

    `kept_ms` says when a change was last kept, by rung.
    """

    task: bytes
    rungs: Collection[bytes]
    kept_ms: dict[bytes, int] = field(default_factory=dict)
    _spent: list[_Spent] = field(default_factory=list)
    _read: int = 0  # up to this number in the store

    def read_on(self, store: Store) -> None:
        """Count what this node recorded since."""
        for entry in store.experiments.listed(after=self._read):
            self._read = entry.n
            if entry.stage in ("screen", "keep"):
                body = store.records.get(entry.id).body
                assert isinstance(body, ResultBody)  # noqa: S101 -- experiments follow from results
                self._count(entry, body.cost.device_ms)

    def share_below(self, run_ms: float) -> float:
        """Return the share of the time that the rungs below should have together.

        `run_ms`: what a run of the task takes. What was found below runs dry, as own ideas do: the
        latest says more of what comes next.
        """
        spending = LadderSpending()
        for spent in self._spent:
            if spent.is_below:
                count = spending.find
            else:
                count = spending.carry if spent.is_carried else spending.own.add
            count(spent.nano, spent.device_ms / run_ms)
        return spending.share_below()

    def _count(self, entry: Experiment, device_ms: int) -> None:
        is_kept, is_below = entry.decision == "kept", entry.task in self.rungs
        if is_below and is_kept:
            self.kept_ms[entry.task] = entry.ts_ms
        if not is_below and (entry.task != self.task or entry.origin in MADE_HERE):
            return
        self._spent.append(
            _Spent(
                is_below=is_below,
                is_carried=entry.origin == CARRIED,
                nano=max(0, entry.gain_nano or 0) if is_kept else 0,
                device_ms=device_ms,
            )
        )
