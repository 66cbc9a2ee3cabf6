"""How much of a node's time the rungs below have, by what a device hour brought on a task.

Both sides are counted in the same coin, gains that were kept on the task itself: of what was
carried to it, for the hours of the rungs below and of the trials that carrying took; and of its own
ideas. What is kept by few runs is no verified gain, and decides nothing here but where time goes.
By simulation (`make bench PART=ladder`) one node gains by sharing where most of a gain
carries over, and loses less the sooner this notices that it does not.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from node.line.carried import CARRIED
from node.store.experiments import MADE_HERE, Experiment
from node.store.store import Store
from protocol.record_kinds import ResultBody

FIRST: Final = 0.25  # before anything is known
_LEAST, _MOST = 0.05, 0.7  # else it could not show that it is worth more, nor finds be tried
# Times are in runs of the task, so that it is all the same how long those take.
HALF_RUNS: Final = 20.0  # what was before that counts by half
FIRST_RUNS: Final = 8.0  # on each side, that count as if both had brought the same
_SHARPNESS: Final = 3  # twice as much brought by the hour is worth eight times the time


@dataclass
class Side:
    """What one way of spending time brought and took, the past fading as more is spent on it."""

    nano: float = 0.0
    runs: float = 0.0

    def add(self, nano: float, runs: float) -> None:
        """Count what something brought, and the time that it took."""
        left = 0.5 ** (runs / HALF_RUNS)
        self.nano, self.runs = left * self.nano + nano, left * self.runs + runs


class _Spent(NamedTuple):
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
        carried, own = Side(), Side()
        for spent in self._spent:
            side = carried if spent.is_carried else own
            side.add(spent.nano, spent.device_ms / run_ms)
        return share_by(carried, own)

    def _count(self, entry: Experiment, device_ms: int) -> None:
        is_kept = entry.decision == "kept"
        if entry.task in self.rungs:
            self._spent.append(_Spent(is_carried=True, nano=0, device_ms=device_ms))
            if is_kept:
                self.kept_ms[entry.task] = entry.ts_ms
        if entry.task != self.task or entry.origin in MADE_HERE:
            return
        nano = max(0, entry.gain_nano or 0) if is_kept else 0
        is_carried = entry.origin == CARRIED
        self._spent.append(_Spent(is_carried=is_carried, nano=nano, device_ms=device_ms))


def share_by(carried: Side, own: Side) -> float:
    """Return it by what was kept of what was carried, for the time of the rungs below as well, and
    of own ideas.
    """
    total_nano, total_runs = carried.nano + own.nano, carried.runs + own.runs
    usual = total_nano / total_runs if total_runs else 0.0
    by_carried, by_own = (
        (side.nano + usual * FIRST_RUNS) / (side.runs + FIRST_RUNS) for side in (carried, own)
    )
    if not (most := max(by_carried, by_own)):
        return FIRST
    by_carried, by_own = (by_carried / most) ** _SHARPNESS, (by_own / most) ** _SHARPNESS
    return min(_MOST, max(_LEAST, by_carried / (by_carried + by_own)))
