"""The outcomes of a line's experiments, from which proposers learn.

They are read from closed jobs once and updated by the loop. Older experiments only have the
decision and the score of their screens. The latest also have their edits, the values of their
hyperparameters and the reason for a failure. An experiment's number is the number of its job.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol, cast

from agent.proposal import DECISION_WORDS, MAX_REPAIRS, Crash, Decision, Outcome, repairs_of
from agent.source.literals import hyperparameter_values
from node.line.experiment import ExperimentStep
from node.store.jobs import Job, LineKey, StoredOutcome
from node.store.notes import Note
from node.store.store import Store
from protocol.ideas import HyperparameterSpec
from protocol.manifest import TaskManifest
from protocol.runs import Run, patch_score_nano
from protocol.source import Source
from protocol.styles import Style
from protocol.units import from_nano

IN_FULL: Final = 300  # the latest experiments: each is a source to parse
SLOW: Final = frozenset({"llm", "command"})  # proposers that write code, and read why it failed
_LOG_LINES = 50
_LINE_CHARS: Final = 400


class ReadableLine(Protocol):
    """The part of a line that is read here: its jobs and the sources that ran."""

    @property
    def store(self) -> Store:
        """The store that has the line's jobs."""

    @property
    def key(self) -> LineKey:
        """The line's task and hardware class."""

    @property
    def style(self) -> Style:
        """How results are decided."""

    def source(self, tree: bytes) -> Source:
        """Return the exact source of a tree that ran here."""


class Outcomes:
    """The outcomes of one line, oldest first, and the latest crash worth repairing, if any."""

    def __init__(
        self,
        line: ReadableLine,
        manifest: TaskManifest,
        hyperparameters: tuple[HyperparameterSpec, ...],
    ) -> None:
        self._line = line
        self._editable = tuple(path for path, _ in manifest.files)
        self._hyperparameters = hyperparameters
        self._all: list[Outcome] = []
        self._places: dict[tuple[bytes, bytes], int] = {}  # in the list, by base and tree
        self._crash: Crash | None = None
        self._crashed: str | None = None  # the arm whose idea crashed
        # By the trees that they made; the task's own source has number 0.
        self._numbers = {manifest.baseline_tree: 0}
        self._scatters = not line.style.is_exact
        self._open_then = 0  # the latest experiment that existed when the crash became known
        jobs = line.store.jobs.closed_jobs(line.key, ExperimentStep)
        for number, job in enumerate(jobs):
            if number < len(jobs) - IN_FULL:
                self._add(self._decided(job), job.step)
            else:
                self._learn(job, open_then=job.id)

    @property
    def all(self) -> tuple[Outcome, ...]:
        """All decided experiments."""
        return tuple(self._all)

    def with_notes(self, notes: Mapping[tuple[bytes, bytes], Note]) -> tuple[Outcome, ...]:
        """Return all decided experiments with the owner's notes, given by base and tree."""
        noted = list(self._all)
        for change, note in notes.items():
            if (place := self._places.get(change)) is not None:
                leave = bool(note.leave)
                noted[place] = replace(noted[place], note=note.text, leave=leave)
        return tuple(noted)

    def learn(self, job: Job[ExperimentStep]) -> None:
        """Add the outcome of an experiment; skip an experiment that is tried again."""
        alongside = self._line.store.jobs.open_ids(self._line.key)
        self._learn(job, open_then=max({job.id, *alongside}))

    def _learn(self, job: Job[ExperimentStep], *, open_then: int) -> None:
        step = job.step
        decided = self._decided(job)
        if decided is None:
            return
        ended = [one.outcome for one in self._line.store.jobs.runs_of(job.id) if one.outcome]
        runs = [one for one in ended if one.run.role == "candidate"]
        last = runs[-1] if runs else None
        self._add(self._in_full(decided, step, ended), step)
        if step.idea.proposer not in SLOW:
            return
        if step.decision == "failed" and last is not None and not last.run.was_cut_off_by_others:
            self._crash = self._crash_of(step, last.run, last.log_tail)
            self._crashed, self._open_then = step.idea.arm, open_then
        elif job.id > self._open_then:  # experiments made at the same time cannot be repairs
            self._crash = None

    def crash_of(self, arm: str | None) -> Crash | None:
        """Return the crash worth repairing; None without one, or if another arm's idea crashed."""
        is_others = arm is not None and self._crashed not in (None, arm)
        return None if is_others else self._crash

    def forget_crash(self, arm: str) -> None:
        """Drop the crash worth repairing, once an arm is asked to repair it."""
        if self.crash_of(arm) is not None:
            self._crash = None

    def number_of(self, tree: bytes) -> int | None:
        """Return the number of the experiment that made a tree.

        The number is 0 for the task's own tree, and None for an unknown tree.
        """
        return self._numbers.get(tree)

    def _add(self, outcome: Outcome | None, step: ExperimentStep) -> None:
        if outcome is not None:
            self._places[step.base, step.tree] = len(self._all)
            self._all.append(outcome)

    def _decided(self, job: Job[ExperimentStep]) -> Outcome | None:
        """Return the outcome from a job's own fields; None if the idea is tried again."""
        step = job.step
        if step.decision not in DECISION_WORDS:
            return None
        self._numbers.setdefault(step.tree, job.id)
        author = step.idea.author and step.idea.author.hex()[:8]
        return Outcome(
            key=step.idea.key,
            decision=cast("Decision", step.decision),
            gain_sd=None if step.gain_milli is None else step.gain_milli / 1000,
            title=f"a claim of {author}" if author else step.title,
            proposer=step.idea.proposer,
            metric=from_nano(step.screen_nano),
            author=author or None,
            number=job.id,
            base=self.number_of(step.base),
        )

    def _in_full(
        self, decided: Outcome, step: ExperimentStep, ended: Sequence[StoredOutcome]
    ) -> Outcome:
        """Return the outcome with details from its runs."""
        own = [one for one in ended if one.run.role == "candidate"]
        runs = [one.run for one in own]
        has_error = self._scatters and decided.gain_sd is not None
        detailed = replace(
            decided,
            metric=from_nano(patch_score_nano(runs)),
            error_sd=_error_sd(step, ended) if has_error else None,
            seconds=runs[-1].ms / 1000 if runs else None,
            was_cut_off=bool(runs) and runs[-1].was_cut_off_by_others,
        )
        if step.idea.author is not None:  # peers' code is shown elsewhere, if at all
            return detailed
        has_failed = bool(runs) and runs[-1].status != "ok"
        return replace(
            detailed,
            edits=step.idea.edits,
            values=hyperparameter_values(
                self._line.source(step.tree), self._editable, self._hyperparameters
            ),
            reason=(runs[-1].reason or "") if has_failed else "",
            last_line=_last_line(own[-1].log_tail) if has_failed else "",
        )

    def _crash_of(self, step: ExperimentStep, run: Run, log_tail: str) -> Crash | None:
        fixed, key = repairs_of(step.idea.key)
        if fixed >= MAX_REPAIRS:
            return None
        return Crash(
            source=self._line.source(step.tree),
            key=key,
            title=step.title,
            status=run.status,
            reason=run.reason or "",
            log_tail="\n".join(log_tail.splitlines()[-_LOG_LINES:]),
            attempt=fixed + 1,
        )


def _error_sd(step: ExperimentStep, ended: Sequence[StoredOutcome]) -> float:
    """Return the standard error of a gain in sd; base and candidate both have noise."""
    own = sum(one.run.role == "candidate" for one in ended)
    alongside = sum(one.run.role == "base" for one in ended) or len(step.reference_nano)
    fresh = max(1, own - 1)  # with several runs the screen is left out, as it was selected
    return math.sqrt(1 / fresh + 1 / max(1, alongside))


def _last_line(log_tail: str) -> str:
    lines = log_tail.rstrip().splitlines()
    return lines[-1][:_LINE_CHARS] if lines else ""
