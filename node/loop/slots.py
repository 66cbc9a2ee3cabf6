"""The allocation of experiments among proposers, and the results of each proposer's ideas.

`node.loop.arms` draws the owner of a slot by the results of the line's latest experiments. Only the
owner is asked to write, so that no money is spent on unused ideas. If its proposal is not ready
when a run is due, the hyperparameter search fills the slot, and the proposal uses a later slot. The
results are read from the store, so they survive a restart. Draws depend on the node's seed.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from node.line.experiment import ExperimentStep
from node.line.line_writer import LineWriter
from node.line.rerun import RerunStep
from node.loop.arms import ArmTally, next_arm
from node.loop.slow_ideas import SlowIdeas
from node.store.jobs import Job
from protocol.units import NANO

SEARCH: Final = "search"
_LOOKED_BACK: Final = 1_000  # experiments: gains from before the head moved say little
_SHOWN: Final = 100  # of these, for the shares that are reported
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmState:
    """A proposer's state: its `share` of the latest slots, and its results in all known slots.

    A slot is one turn to propose an experiment. `gain_sd` is the total gain of its kept patches,
    measured after they were kept, in standard deviations of one run. `waiting`
    is the reason it is not asked now; "" if it may be asked.
    """

    name: str
    slots: int
    share: float
    gain_sd: float
    device_hours: float
    usd: float
    waiting: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    """An experiment on a proposer's idea: its change, its gain if it was kept, and its cost."""

    arm: str
    change: tuple[bytes, bytes]
    gain_sd: float
    device_hours: float
    usd: float


class Slots:
    """The draw of slots among slow proposers and, if `has_hyperparameters`, the hyperparameter
    search.

    `run_sd` is the standard deviation of one run, in the metric's unit. `hour_usd` is the value of
    an hour of the device in USD; None if money does not count.
    """

    def __init__(
        self,
        line_writer: LineWriter,
        *,
        slow: Sequence[SlowIdeas],
        has_hyperparameters: bool,
        run_sd: Callable[[], float],
        seed: int,
        hour_usd: float | None = None,
    ) -> None:
        self._line_writer = line_writer
        self._slow = {one.name: one for one in slow}
        self._names = [*([SEARCH] if has_hyperparameters else []), *self._slow]
        self._run_sd = run_sd
        self._seed = seed
        self._hour_usd = hour_usd
        self._drawn: str | None = None
        self._latest: deque[_Slot] = deque(maxlen=_LOOKED_BACK)
        jobs = line_writer.store.jobs.closed_jobs(line_writer.key, ExperimentStep)
        for job in [job for job in jobs if job.step.idea.arm is not None][-_LOOKED_BACK:]:
            self.learn(job)

    def learn(self, job: Job[ExperimentStep]) -> None:
        """Add the outcome of an experiment, if an arm proposed it."""
        step = job.step
        if step.idea.arm is None:
            return
        runs = self._line_writer.store.jobs.runs_of(job.id)
        is_kept = step.decision == "kept" and step.gain_milli is not None
        self._latest.append(
            _Slot(
                arm=step.idea.arm,
                change=(step.base, step.tree),
                gain_sd=max(0, step.gain_milli or 0) / 1000 if is_kept else 0.0,
                device_hours=sum(run.outcome.run.ms for run in runs if run.outcome) / _HOUR_MS,
                usd=(step.idea.usd_nano or 0) / NANO,
            )
        )

    def wanted(self, number: int) -> SlowIdeas | None:
        """Return the slow proposer that must begin to write for the next slot; None if none must.

        Draw the slot's owner first, unless this was done before. The owner keeps the slot until it
        is taken, or until the owner may not be asked. `number` distinguishes random draws.
        """
        ready = [name for name in self._names if not self._rests(name)]
        if self._drawn not in ready:
            self._drawn = self._draw(ready, number)
        writer = None if self._drawn is None else self._slow.get(self._drawn)
        return writer if writer is not None and writer.is_wanting else None

    def writers(self) -> list[SlowIdeas]:
        """Return all slow proposers, starting with the one that owns the next experiment slot."""
        return sorted(self._slow.values(), key=lambda one: one.name != self._drawn)

    @property
    def is_owner_awaited(self) -> bool:
        """True if the owner of the next slot is writing, and no slow proposer has finished."""
        owner = None if self._drawn is None else self._slow.get(self._drawn)
        is_ready = any(one.is_ready for one in self._slow.values())
        return owner is not None and owner.is_writing and not is_ready

    def take(self, name: str) -> None:
        """Count a slot as taken by an arm.

        If another slow proposer than the owner takes it, with a proposal written for an earlier
        slot, the owner keeps the next slot. Otherwise the owner of the next slot is drawn again.
        """
        if name in (self._drawn, SEARCH):
            self._drawn = None

    def arm_states(self) -> tuple[ArmState, ...]:
        """Return the state of each arm."""
        latest = Counter([slot.arm for slot in self._latest][-_SHOWN:])
        known = list(self._known())
        return tuple(
            ArmState(
                name=name,
                slots=sum(slot.arm == name for slot, _ in known),
                share=latest[name] / max(1, latest.total()),
                gain_sd=sum(gain_sd for slot, gain_sd in known if slot.arm == name),
                device_hours=sum(slot.device_hours for slot, _ in known if slot.arm == name),
                usd=sum(slot.usd for slot, _ in known if slot.arm == name),
                waiting=self._rests(name),
            )
            for name in self._names
        )

    async def close(self) -> None:
        """Cancel all proposals that are being written."""
        for one in self._slow.values():
            await one.close()

    def _rests(self, name: str) -> str:
        return self._slow[name].waiting if name in self._slow else ""

    def _draw(self, ready: Sequence[str], number: int) -> str | None:
        if len(ready) < 2:  # as in most nodes: do not read earlier results
            return ready[0] if ready else None
        return next_arm(ready, self._tallies(), random.Random(f"{self._seed}/{number}"))

    def _tallies(self) -> dict[str, ArmTally]:
        tallies = {name: ArmTally() for name in self._names}
        for slot, gain_sd in self._known():
            if slot.arm in tallies:
                paid_hours = slot.usd / self._hour_usd if self._hour_usd else 0.0
                cost = slot.device_hours + paid_hours
                tallies[slot.arm] = tallies[slot.arm].after(gain_sd, cost)
        return tallies

    def _known(self) -> Iterator[tuple[_Slot, float]]:
        """Yield each of the latest slots with its gain, from an ablation if there was one."""
        asked = self._ablated()
        for slot in self._latest:
            yield slot, asked.get(slot.change, slot.gain_sd) if slot.gain_sd else 0.0

    def _ablated(self) -> dict[tuple[bytes, bytes], float]:
        """Return the gains in sd that ablations measured, by the base and tree of the patch."""
        store, run_nano = self._line_writer.store, self._run_sd() * NANO
        worth: dict[tuple[bytes, bytes], float] = {}
        for job in store.jobs.closed_jobs(self._line_writer.key, RerunStep):
            step = job.step
            patch = store.records.patch(step.part) if step.part else None
            if patch is not None and step.measured_nano is not None and run_nano:
                worth[patch.base, patch.tree] = max(0.0, step.measured_nano / run_nano)
        return worth
