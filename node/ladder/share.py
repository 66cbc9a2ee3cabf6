"""How much of a node's time the rungs below have, by what a device hour brought on a task.

Both sides are counted in the same coin, gains that were kept on the task itself: of what was
carried to it, for the hours of the rungs below and of the trials that carrying took; and of its own
ideas. What is kept by few runs is no verified gain, and decides nothing here but where time goes.
By simulation (`make bench PART=ladder`) one node gains by sharing where most of a gain
carries over, and loses less the sooner this notices that it does not.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from node.line.carried import CARRIED
from node.store.experiments import MADE_HERE, Experiment
from node.store.store import Store
from protocol.record_kinds import ResultBody

FIRST: Final = 0.25  # before anything is known
_LEAST, _MOST = 0.05, 0.7  # else it could not show that it is worth more, nor finds be tried
HALF_MS: Final = 2_400_000  # of devices: what was before that counts by half
FIRST_MS: Final = 1_800_000  # of devices, on each side, that count as if both had brought the same
_SHARPNESS: Final = 3  # twice as much brought by the hour is worth eight times the time


@dataclass
class Side:
    """What one way of spending time brought and took, the past fading as more is spent on it."""

    nano: float = 0.0
    ms: float = 0.0

    def add(self, nano: float, ms: float) -> None:
        """Count what one run or trial brought and took."""
        left = 0.5 ** (ms / HALF_MS)
        self.nano, self.ms = left * self.nano + nano, left * self.ms + ms


@dataclass
class Effort:
    """What a task and the rungs below it took and brought so far; it reads on where it stopped.

    `kept_ms` says when a change was last kept, by rung.
    """

    task: bytes
    rungs: Collection[bytes]
    carried: Side = field(default_factory=Side)
    own: Side = field(default_factory=Side)
    kept_ms: dict[bytes, int] = field(default_factory=dict)
    _read: int = 0  # up to this number in the store

    def read_on(self, store: Store) -> None:
        """Count what this node recorded since."""
        for entry in store.experiments.listed(after=self._read):
            self._read = entry.n
            body = store.records.get(entry.id).body
            if isinstance(body, ResultBody) and entry.stage in ("screen", "keep"):
                self._count(entry, body.cost.device_ms)

    @property
    def share_below(self) -> float:
        """The share of the time that the rungs below should have together.

        What was found below runs dry, as own ideas do: the latest says more of what comes next.
        """
        return share_by(self.carried.nano, self.carried.ms, self.own.nano, self.own.ms)

    def _count(self, entry: Experiment, device_ms: int) -> None:
        is_kept = entry.decision == "kept"
        if entry.task in self.rungs:
            self.carried.add(0.0, device_ms)
            if is_kept:
                self.kept_ms[entry.task] = entry.ts_ms
        if entry.task != self.task:
            return
        gain_nano = max(0, entry.gain_nano or 0) if is_kept else 0
        if entry.origin == CARRIED:
            self.carried.add(gain_nano, device_ms)
        elif entry.origin not in MADE_HERE:
            self.own.add(gain_nano, device_ms)


def share_by(carried_nano: float, carried_ms: float, own_nano: float, own_ms: float) -> float:
    """Return it by what was kept of what was carried and of own ideas, and by what each took.

    Gains in any one unit; times of devices, that of the rungs below with what was carried.
    """
    total_nano, total_ms = carried_nano + own_nano, carried_ms + own_ms
    usual = total_nano / total_ms if total_ms else 0.0
    carried = (carried_nano + usual * FIRST_MS) / (carried_ms + FIRST_MS)
    own = (own_nano + usual * FIRST_MS) / (own_ms + FIRST_MS)
    if not (most := max(carried, own)):
        return FIRST
    carried, own = (carried / most) ** _SHARPNESS, (own / most) ** _SHARPNESS
    return min(_MOST, max(_LEAST, carried / (carried + own)))
