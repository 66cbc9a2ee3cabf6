"""Three searches of the same hyperparameters over the same ranges, with the same number of runs.

Like a node, each search measures the task's baseline first. It names a head when its runs are
spent. For each run it gets the score on the public split, or None if the run failed.
"""

import math
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from agent.hyperparameters.changes import Change, edits_of
from agent.hyperparameters.proposer import BuiltInSearch
from agent.proposal import Context, Decision, Outcome
from agent.source.canonical import fingerprint
from agent.source.edits import reapply
from agent.source.literals import (
    Axis,
    Hyperparameter,
    Scalar,
    axis_of,
    find_hyperparameters,
    hyperparameter_values,
)
from node.line.level import level_of
from protocol.rule import DEFAULT, passes_rechecks, passes_screen
from protocol.source import Source
from protocol.statistics import NoiseEstimate
from protocol.units import NANO
from trainer.task_folder.task import Task

if TYPE_CHECKING:
    import optuna

Measure = Callable[[Source], Awaitable[float | None]]


class OutOfRuns(Exception):  # noqa: N818 -- how every search ends
    """The budget of runs is spent."""


class Search:
    """A search of a task's hyperparameters. `head` is its current choice."""

    def __init__(self, task: Task, seed: int) -> None:
        self.task = task
        self.seed = seed
        self.head = task.source
        # Fingerprints of the canonical ASTs, in order of proposal.
        self.proposed = [fingerprint(task.source)]

    async def run(self, measure: Measure) -> None:
        """Search until `measure` raises OutOfRuns."""
        raise NotImplementedError


class UniformSearch(Search):
    """Uniform random search. It names the source with the best run."""

    def __init__(self, task: Task, seed: int) -> None:
        super().__init__(task, seed)
        self._best = math.inf

    async def run(self, measure: Measure) -> None:
        """Search until `measure` raises OutOfRuns."""
        chance = random.Random(self.seed)
        await self._look(measure, self.task.source)
        while True:
            draws = {
                hyperparameter.name: _drawn(hyperparameter, chance)
                for hyperparameter in _hyperparameters(self.task)
            }
            await self._look(measure, _with_values(self.task, draws))

    async def _look(self, measure: Measure, source: Source) -> float:
        value = await measure(source)
        self.proposed.append(fingerprint(source))
        if value is not None and value < self._best:
            self._best, self.head = value, source
        return math.inf if value is None else value


class ParzenSearch(UniformSearch):
    """Optuna's TPE with default settings. The baseline comes first; failures are infinitely bad."""

    async def run(self, measure: Measure) -> None:
        """Search until `measure` raises OutOfRuns."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=self.seed))
        hyperparameters = _hyperparameters(self.task)
        study.enqueue_trial(
            {hyperparameter.name: _coordinate(hyperparameter) for hyperparameter in hyperparameters}
        )
        while True:
            trial = study.ask()
            values = {
                hyperparameter.name: _suggested(hyperparameter, trial)
                for hyperparameter in hyperparameters
            }
            study.tell(trial, await self._look(measure, _with_values(self.task, values)))


class ShippedSearch(Search):
    """The built-in proposer with the usual rule for keeping patches. Its head is the working line.

    Screens, rechecks and reference runs all count as runs.
    """

    def __init__(self, task: Task, seed: int) -> None:
        super().__init__(task, seed)
        self.history: list[Outcome] = []
        self._noise = NoiseEstimate.from_class(task.manifest.noise_floor_nano / NANO)

    async def run(self, measure: Measure) -> None:
        """Search until `measure` raises OutOfRuns or there are no more proposals."""
        reference = [
            value
            for _ in range(DEFAULT.reference_runs)
            if (value := await measure(self.head)) is not None
        ]
        screened: list[float] = []
        self._noise = self._noise.with_groups([reference])
        proposer = BuiltInSearch()
        while (proposal := proposer.propose(self._context())) is not None:
            self.proposed.append(proposal.fingerprint)
            level = level_of(reference, screened, self._noise.sd)
            decision, screen, last = await self._trial(measure, proposal.source, level)
            screened += [] if screen is None else [screen]
            self.history.append(
                Outcome(
                    key=proposal.key,
                    decision=decision,
                    gain_sd=None if last is None else (level - last) / self._noise.sd,
                    title=proposal.title,
                    edits=proposal.edits,
                    metric=last,
                    values=hyperparameter_values(
                        proposal.source, self.task.editable, self.task.hyperparameters
                    ),
                )
            )
            if decision == "kept" and last is not None:
                self.head = proposal.source
                reference, screened = [last], []

    async def _trial(
        self, measure: Measure, source: Source, level: float
    ) -> tuple[Decision, float | None, float | None]:
        """Return the decision, the score of the screen and the score of the last run."""
        screen = await measure(source)
        if screen is None:
            return "failed", None, None
        if not passes_screen(screen, level, self._noise.sd, DEFAULT):
            return "screened_out", screen, screen
        recheck = await measure(source)
        if recheck is None:
            return "failed", screen, None
        is_kept = passes_rechecks([recheck], [level], self._noise.sd, DEFAULT)
        return ("kept" if is_kept else "rechecked_out"), screen, recheck

    def _context(self) -> Context:
        return Context(
            source=self.head,
            editable=self.task.editable,
            hyperparameters=self.task.hyperparameters,
            moves=(),
            history=tuple(self.history),
            tried=frozenset(self.proposed).__contains__,
            seed=self.seed + len(self.history),
        )


def _hyperparameters(task: Task) -> tuple[Hyperparameter, ...]:
    return find_hyperparameters(task.source, task.editable, task.hyperparameters)


def _with_values(task: Task, values: Mapping[str, Scalar]) -> Source:
    changes = [
        Change(hyperparameter, values[hyperparameter.name])
        for hyperparameter in _hyperparameters(task)
    ]
    changed = [change for change in changes if not change.does_nothing]
    source = reapply(edits_of(task.source, changed), task.source)
    if source is None:
        raise ValueError("a hyperparameter of the baseline cannot be changed")
    return source


def _options(hyperparameter: Hyperparameter) -> list[Scalar]:
    """Return all values of a hyperparameter without an axis, in the task's order."""
    if hyperparameter.spec is not None and hyperparameter.spec.choices:
        return list(hyperparameter.spec.choices)
    return [hyperparameter.value, *hyperparameter.choices]


def _whole(axis: Axis) -> range | None:
    """Return the coordinates of an integer axis with equal steps, or None for another axis."""
    if axis.is_whole and axis.kind in ("linear", "power"):
        return range(round(axis.low), round(axis.high) + 1)
    return None


def _drawn(hyperparameter: Hyperparameter, chance: random.Random) -> Scalar:
    axis = axis_of(hyperparameter)
    if axis is None:
        return chance.choice(_options(hyperparameter))
    whole = _whole(axis)
    return axis.value(chance.choice(whole) if whole else chance.uniform(axis.low, axis.high))


def _coordinate(hyperparameter: Hyperparameter) -> Scalar:
    axis = axis_of(hyperparameter)
    if axis is None or isinstance(hyperparameter.value, str):
        return hyperparameter.value
    at = axis.position(hyperparameter.value)
    return round(at) if _whole(axis) else at


def _suggested(hyperparameter: Hyperparameter, trial: "optuna.Trial") -> Scalar:
    axis = axis_of(hyperparameter)
    if axis is None:
        chosen = trial.suggest_categorical(hyperparameter.name, _options(hyperparameter))
        assert chosen is not None, "it was no option"
        return chosen
    whole = _whole(axis)
    if whole:
        return axis.value(trial.suggest_int(hyperparameter.name, whole[0], whole[-1]))
    return axis.value(trial.suggest_float(hyperparameter.name, axis.low, axis.high))
