"""The planner, which writes an aim for proposers while runs are made.

It is asked again after a number of experiments, and no run waits for it. If it is unreachable or
out of budget, its last aim stays in force for a while, but not once the line has changed much. The
aim is in the store with the line, so it survives a restart.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

from agent.model.asking import Resting
from agent.model.planner import MAX_AIM, ModelPlanner, Planned
from agent.proposal import Context, NoProposal
from node.home.clock import clock_ms
from node.line.experiment import ExperimentStep
from node.line.line_writer import LineWriter
from node.store.jobs import LineKey
from node.store.store import Store, keep, kept_of
from protocol.codecs import long_text, single_line
from protocol.fields import Mapped, Named, Natural

_PLANNER: Final = "planner"
_LIMIT_BYTES: Final = 8 * 1024
_IN_FORCE_FACTOR: Final = 3  # how many times longer than its `experiments` an aim stays in force


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerAim(Mapped):
    """A planner's aim and its time. It is meant for the next `experiments` ideas of this node.

    `job` is the number of the latest job in the store when the planner was asked.
    """

    ts_ms: Annotated[Natural, Named("ts")]
    model: Annotated[str, single_line(1, 80)]
    text: Annotated[str, long_text(MAX_AIM)]
    job: Natural
    experiments: Natural


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerState:
    """The model that plans, and the reason it is not asked now; "" if it may be asked."""

    model: str
    waiting: str


def aim_in_force(store: Store, key: LineKey) -> PlannerAim | None:
    """Return the aim in force for the proposers of a line; None without one."""
    aim = _last_aim(store, key)
    is_in_force = (
        aim is not None and tried_since(store, key, aim) < _IN_FORCE_FACTOR * aim.experiments
    )
    return aim if is_in_force else None


def tried_since(store: Store, key: LineKey, aim: PlannerAim) -> int:
    """Return the number of this node's ideas tried since an aim was requested."""
    jobs = store.jobs.closed_jobs(key, ExperimentStep, after=aim.job)
    return sum(job.step.idea.arm is not None and job.step.decision != "rebased" for job in jobs)


def _last_aim(store: Store, key: LineKey) -> PlannerAim | None:
    return kept_of(store, _PLANNER, key, PlannerAim, limit_bytes=_LIMIT_BYTES)


class Planning:
    """Lets a planner write the next aim whenever one is due.

    `say` reports each new aim, and the reason for a missing one whenever that changes.
    """

    def __init__(
        self,
        planner: ModelPlanner,
        line_writer: LineWriter,
        *,
        say: Callable[[str], None],
        clock_s: Callable[[], float] = time.monotonic,
        clock_ms: Callable[[], int] = clock_ms,
    ) -> None:
        self._planner = planner
        self._line_writer = line_writer
        self._say = say
        self._rest = Resting(clock_s)
        self._clock_ms = clock_ms
        self._writing: asyncio.Task[Planned | NoProposal] | None = None
        self._job = 0  # the latest when the planner was asked

    @property
    def state(self) -> PlannerState:
        """The planner's state."""
        return PlannerState(model=self._planner.model, waiting=self._rest.why)

    def prepare(self, context: Callable[[], Context]) -> None:
        """Store a finished aim, and ask the planner for the next one if it is due."""
        self._take()
        if self._writing is None and not self._rest.is_on and self._is_due:
            self._job = self._line_writer.store.jobs.last_job()
            self._writing = asyncio.create_task(self._planner.plan(context()))

    async def close(self) -> None:
        """Store a finished aim, and cancel one in progress."""
        self._take()
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    @property
    def _is_due(self) -> bool:
        store, key = self._line_writer.store, self._line_writer.key
        aim = _last_aim(store, key)
        return aim is None or tried_since(store, key, aim) >= self._planner.experiments

    def _take(self) -> None:
        if self._writing is None or not self._writing.done():
            return
        written, self._writing = self._writing.result(), None
        if isinstance(written, NoProposal):
            if self._rest.begin(written):
                has_aim = aim_in_force(self._line_writer.store, self._line_writer.key) is not None
                meanwhile = "its last aim stays" if has_aim else "there is no aim"
                self._say(f"the planner {self._planner.model}: {written.reason}; {meanwhile}")
            return
        self._rest.end()
        aim = PlannerAim(
            ts_ms=self._clock_ms(),
            model=self._planner.model,
            text=written.text,
            job=self._job,
            experiments=self._planner.experiments,
        )
        keep(self._line_writer.store, _PLANNER, self._line_writer.key, aim)
        self._say(f"the planner {self._planner.model} aims at: {written.text}")
