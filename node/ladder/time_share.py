"""The share of a node's time that the rungs below a task get, from gains per device hour.

A node's time has two uses: ideas tried on the task itself, and transfers from the rungs below. Both
are rated by the gains per hour that are kept on the task. Transfers cost device time twice: on the
rungs below, and for experiments on the task. The rating of transfers also falls when the rungs
below find no more gains, even if the first transfer gained much. The gains come from few runs and
are not verified, so they only decide how time is divided.

In simulations (`make bench PART=ladder`), time on lower rungs pays if most of a gain transfers. If
little of it transfers, the node loses less the sooner it notices that.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from node.line.rung_transfer import RUNG_TRANSFER
from node.store.experiments import MADE_HERE, Experiment
from node.store.store import Store
from protocol.record_kinds import ResultBody

FIRST: Final = 0.25  # before any data
_LEAST, _MOST = 0.05, 0.7  # less would not show a gain, more would leave no time for transfers
# Times are multiples of the duration of one run of the task.
_HALF_RUNS: Final = 8.0  # runs after which older data count half
_FOUND_HALF_RUNS: Final = 3.0  # the same for gains on rungs below: their end shows fast
_FIRST_RUNS: Final = 8.0  # prior for each use of time: both gain at the same rate
_SHARPNESS: Final = 3  # twice the gain per hour gets eight times the time


@dataclass
class FadingYield:
    """The total gain of one use of device time, and the time spent on it; older data weigh less.

    The weight of a figure halves whenever as much time has been spent on this use as `half_runs`
    runs of the task take.
    """

    nano: float = 0.0
    runs: float = 0.0
    half_runs: float = _HALF_RUNS

    def add(self, nano: float, runs: float) -> None:
        """Add a gain and the time that it took."""
        left = 0.5 ** (runs / self.half_runs)
        self.nano, self.runs = left * self.nano + nano, left * self.runs + runs


@dataclass
class LadderTimeShare:
    """Gains and times on a task and the rungs below it; the unit of time is one run of the task."""

    carried: FadingYield = field(
        default_factory=FadingYield
    )  # includes the time of the rungs below
    # Gains kept on the rungs below, as measured there.
    found: FadingYield = field(default_factory=lambda: FadingYield(half_runs=_FOUND_HALF_RUNS))
    own: FadingYield = field(default_factory=FadingYield)
    _found_nano: float = 0.0  # all gains below; `_arrived_nano` is the part kept on the task
    _arrived_nano: float = 0.0

    def find(self, nano: float, runs: float) -> None:
        """Add an idea tried on a rung below, and its gain there if it was kept."""
        self.found.add(nano, runs)
        self.carried.add(0.0, runs)
        self._found_nano += nano

    def carry(self, nano: float, runs: float) -> None:
        """Add a transfer tried on the task, and its gain if it was kept."""
        self.found.add(0.0, runs)
        self.carried.add(nano, runs)
        self._arrived_nano += nano

    def share_below(self) -> float:
        """Return the share of time for all rungs below together.

        The gain per hour of these rungs is the lower of two estimates. One is the gain per hour of
        transfers. The other is the gain per hour found below, times the fraction of all gains found
        below that was kept on the task.
        """
        arriving = self._arrived_nano / self._found_nano if self._found_nano else 0.0
        found = replace(self.found, nano=arriving * self.found.nano)
        total_runs = self.carried.runs + self.own.runs
        usual = (self.carried.nano + self.own.nano) / total_runs if total_runs else 0.0
        by_transfers, by_found, by_own = (
            (side.nano + usual * _FIRST_RUNS) / (side.runs + _FIRST_RUNS)
            for side in (self.carried, found, self.own)
        )
        by_below = min(by_transfers, by_found)
        if not (most := max(by_below, by_own)):
            return FIRST
        by_below, by_own = (by_below / most) ** _SHARPNESS, (by_own / most) ** _SHARPNESS
        return min(_MOST, max(_LEAST, by_below / (by_below + by_own)))


class _Spent(NamedTuple):
    is_below: bool
    is_transfer: bool
    nano: int
    device_ms: int


@dataclass
class Effort:
    """The time spent and the gains so far on a task and the rungs below it, read from the store.

    `kept_ms` is the timestamp of the last kept change, by rung.
    """

    task: bytes
    rungs: Collection[bytes]
    kept_ms: dict[bytes, int] = field(default_factory=dict)
    _spent: list[_Spent] = field(default_factory=list)
    _read: int = 0  # number of the last entry read

    def read_on(self, store: Store) -> None:
        """Read this node's experiments since the last call."""
        for entry in store.experiments.listed(after=self._read):
            self._read = entry.n
            if entry.stage in ("screen", "keep"):
                body = store.records.get(entry.id).body
                assert isinstance(body, ResultBody)  # noqa: S101 -- experiments follow from results
                self._count(entry, body.cost.device_ms)

    def share_below(self, run_ms: float) -> float:
        """Return the share of time for all rungs below together.

        `run_ms` is the duration of a run of the task. Gains run out on every rung, so the latest
        data weigh most.
        """
        time_share = LadderTimeShare()
        for spent in self._spent:
            if spent.is_below:
                count = time_share.find
            else:
                count = time_share.carry if spent.is_transfer else time_share.own.add
            count(spent.nano, spent.device_ms / run_ms)
        return time_share.share_below()

    def _count(self, entry: Experiment, device_ms: int) -> None:
        is_kept, is_below = entry.decision == "kept", entry.task in self.rungs
        if is_below and is_kept:
            self.kept_ms[entry.task] = entry.ts_ms
        if not is_below and (entry.task != self.task or entry.origin in MADE_HERE):
            return
        self._spent.append(
            _Spent(
                is_below=is_below,
                is_transfer=entry.origin == RUNG_TRANSFER,
                nano=max(0, entry.gain_nano or 0) if is_kept else 0,
                device_ms=device_ms,
            )
        )
