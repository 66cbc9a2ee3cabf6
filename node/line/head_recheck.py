"""New trials of a verified head that is in doubt, against the previous head.

If the head is worse than the previous head, the previous head replaces it. If the pairs show
neither a gain nor a loss, the head stays without a new confirmation: most true gains are too small
to be confirmed in two trials. At the next doubt the head is measured again, unless it has changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from node.line.environment_change import (
    clear_head_recheck,
    has_failed,
    needs_head_recheck,
    requested_head_recheck,
    stored_head_recheck,
)
from node.line.job_step import RunDescription
from node.line.line_context import LineContext
from node.line.line_writer import LineWriter, moved_at_job
from node.line.pair_trial import HeadTrial, note_of
from node.line.trial import Confirmation
from node.store.jobs import Job, Line, PlannedRun
from node.store.store import Store
from node.terminal.vocabulary import many, word
from protocol.codecs import single_line
from protocol.errors import ArnodeError
from protocol.fields import Digest
from protocol.record_kinds import ResultBody
from protocol.records import Record
from protocol.rule import AGAIN, Policy
from protocol.runs import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRecheckStep(HeadTrial):
    """A trial of a head in doubt: the head `tree` against `base`, the tree that it replaced.

    `patch` leads from `base` to `tree`. `evidence` is this node's result that confirmed the patch,
    `because` the reason for the doubt. Closing the job sets `verdict`.
    """

    patch: Digest
    evidence: Digest
    because: Annotated[str, single_line(1, 200)]
    verdict: Annotated[str, single_line(0, 32)] = ""

    KIND: ClassVar = "head_recheck"

    @property
    def policy(self) -> Policy:
        """The rule's numbers for a trial that can also find that the head is worse."""
        return AGAIN

    def describe(self, store: Store, run: PlannedRun) -> RunDescription:
        title = "verified head against the previous one"
        return self.about(title, run, "measuring again", text="measuring a head in doubt again")

    def conclude(
        self, line_context: LineContext, job: Job[Any], runs: list[Run], confirmation: Confirmation
    ) -> None:
        """Settle the trial and report it."""
        note = f"measured again, {self.because}: {note_of(confirmation)}"
        record = self.close(line_context.line_writer, job, runs, confirmation, note=note)
        line = line_context.line_writer.known_line
        if line.verified != self.tree:
            outcome = "does not hold: back to the previous head"
        else:
            is_open = head_recheck_reason(line_context.store, line) is not None
            outcome = f"stays, {word('recheck_pending')}" if is_open else "stays"
        pairs = many(len(confirmation.pairs), "pair")
        line_context.activity.judged(
            f"the head in doubt {outcome} ({word(confirmation.verdict)} after {pairs})",
            record=record.id,
        )

    def patch_on_trial(self, line_writer: LineWriter) -> bytes:
        return self.patch

    def open_again(self, line_writer: LineWriter) -> Job[Any]:
        clear_head_recheck(line_writer)  # the change put the head in doubt; this trial settles it
        return line_writer.open_job(self)

    def settle(
        self,
        line_writer: LineWriter,
        runs: Sequence[Run],
        confirmation: Confirmation,
        record: Record,
    ) -> Self:
        """Adopt a re-confirmed head again; adopt the previous head if the head is worse or fails.

        If the pairs are inconclusive, or the previous head fails here, the head stays.
        """
        pairs = confirmation.pairs[-2:]
        does_not_run = any(run.role == "candidate" and has_failed(run) for run in runs)
        line = line_writer.known_line  # a failing head is tried at once, so there may be a stack
        if confirmation.move == "pass":
            line_writer.record_writer.adoption(self.base, self.tree, evidence=record.id)
        if confirmation.verdict in ("confirmed", "unconfirmed"):
            if not line.stack:
                line_writer.move_to(self.tree, [pair.candidate for pair in pairs])
        elif confirmation.verdict == "refuted" or does_not_run:
            line_writer.record_writer.retraction(
                self.evidence, f"measured again: {note_of(confirmation)}"
            )
            vouching = line_writer.store.experiments.evidence_for(line_writer.key, self.base)
            line_writer.record_writer.adoption(self.tree, self.base, evidence=vouching)
            line_writer.move_to(self.base, [pair.base for pair in pairs])
            if line.stack:  # the retracted patch leads from the new head to the stack
                line_writer.go_on_at(line.working, (self.patch, *line.stack), [])
        return replace(self, verdict=confirmation.verdict)


def open_head_recheck(line_writer: LineWriter) -> Job[HeadRecheckStep] | None:
    """Queue the trial of the verified head if it is in doubt; return None if there is no trial.

    A head that is not in doubt gets no trial, nor does a head that no result of this node
    confirmed. If such an unconfirmed head fails to run, the previous head replaces it. Raises
    ArnodeError if the baseline fails to run, since it has no previous head.
    """
    store, line = line_writer.store, line_writer.known_line
    if not needs_head_recheck(line_writer):
        return None
    request = requested_head_recheck(line_writer)
    step = _step(line_writer, str(request.get("because"))) if request else None
    is_failing = request is not None and request.get("fails") is True
    with store.transaction():
        clear_head_recheck(line_writer)
        if step is not None:
            return line_writer.open_job(step)
        if is_failing and line.verified != line_writer.record_writer.manifest.baseline_tree:
            _replace(line_writer)
    if is_failing and line.verified == line_writer.record_writer.manifest.baseline_tree:
        raise ArnodeError(
            "the task's baseline no longer runs here, so nothing can be measured",
            "see `arnode log` for its runs; `arnode doctor` checks this machine",
        )
    return None


def head_recheck_reason(store: Store, line: Line) -> str | None:
    """Return the reason for the doubt about a line's head; None without a doubt.

    A head in doubt waits for a trial, is on trial, or its last trial showed neither a gain nor a
    loss. Return None too for a head that pairs never confirmed: it has no confirmation to repeat.
    """
    if request := stored_head_recheck(store, line):
        has_passed = store.experiments.has_passed(line.key, line.verified)
        return str(request.get("because")) if has_passed else None
    since_it_moved = moved_at_job(store, line.key)
    jobs = store.jobs.closed_jobs(line.key, HeadRecheckStep, after=since_it_moved)
    last = [*jobs, *store.jobs.open_jobs(line.key, HeadRecheckStep)][-1:]
    return next((job.step.because for job in last if job.step.verdict != "confirmed"), None)


def _step(line_writer: LineWriter, because: str) -> HeadRecheckStep | None:
    """Return a trial of the head against the tree that it was confirmed against.

    Return None if no result of this node confirmed the head.
    """
    head = line_writer.known_line.verified
    evidence = line_writer.store.experiments.evidence_for(line_writer.key, head)
    body = line_writer.store.records.get(evidence).body if evidence else None
    if evidence is None or not isinstance(body, ResultBody) or body.patch is None:
        return None  # the baseline, or a tree that the user adopted at their own risk
    return HeadRecheckStep(
        base=body.base,
        tree=head,
        patch=body.patch,
        evidence=evidence,
        because=because,
    )


def _replace(line_writer: LineWriter) -> None:
    """Replace the current head, which has no evidence and fails, by the previous head."""
    head = line_writer.known_line.verified
    before = next(
        (
            one.body.from_tree
            for one in line_writer.store.experiments.adoptions(line_writer.key)
            if one.body.to_tree == head
        ),
        line_writer.record_writer.manifest.baseline_tree,
    )
    line_writer.record_writer.adoption(
        head, before, evidence=line_writer.store.experiments.evidence_for(line_writer.key, before)
    )
    line_writer.move_to(before, [])
