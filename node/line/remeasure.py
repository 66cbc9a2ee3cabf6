"""New trials of a head in doubt against the head before it, which replaces it if it is worse.

If the pairs show neither a gain nor a loss, the head stays but is not re-confirmed: most true gains
are too small for one trial to prove them twice. It is measured again at the next doubt. Another
head settles it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from node.line.desk import Desk
from node.line.drift import doubt_kept, doubt_of, forget_doubt, has_failed, is_in_doubt
from node.line.job_step import RunDescription
from node.line.ledger import Ledger, moved_at_job
from node.line.pair_trial import HeadTrial, note_of
from node.line.trial import Confirmation
from node.store.jobs import Job, Line, PlannedRun
from node.store.store import Store
from node.terminal.vocabulary import word
from protocol.codecs import line
from protocol.errors import ArnodeError
from protocol.fields import Digest
from protocol.record_kinds import ResultBody
from protocol.records import Record
from protocol.rule import AGAIN, Policy
from protocol.runs import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class RemeasureStep(HeadTrial):
    """A trial of a head in doubt: `tree` against the `base` that it was adopted over, by `patch`.

    `evidence` is the own result that vouched for it. `verdict` is filled in on closing.
    """

    patch: Digest
    evidence: Digest
    because: Annotated[str, line(1, 200)]
    verdict: Annotated[str, line(0, 32)] = ""

    KIND: ClassVar = "remeasure"

    @property
    def policy(self) -> Policy:
        """The rule's numbers, with which the trial may end in evidence against the head."""
        return AGAIN

    def describe(self, store: Store, run: PlannedRun) -> RunDescription:
        title = "verified head against the previous one"
        return self.about(title, run, "measuring again", plainly="measuring a head in doubt again")

    def conclude(
        self, desk: Desk, job: Job[Any], runs: list[Run], confirmation: Confirmation
    ) -> None:
        """Settle the trial and report it."""
        note = f"measured again, {self.because}: {note_of(confirmation)}"
        record = self.close(desk.ledger, job, runs, confirmation, note=note)
        line = desk.ledger.known_line
        if line.verified != self.tree:
            outcome = "does not hold: back to the previous head"
        else:
            is_open = open_doubt(desk.store, line) is not None
            outcome = f"stays, {word('in_doubt')}" if is_open else "stays"
        pairs = len(confirmation.pairs)
        desk.activity.judged(
            f"the head in doubt {outcome} ({word(confirmation.verdict)} after {pairs} pairs)",
            record=record.id,
        )

    def patch_on_trial(self, ledger: Ledger) -> bytes:
        return self.patch

    def open_again(self, ledger: Ledger) -> Job[Any]:
        forget_doubt(ledger)  # the change put the head in doubt; this trial settles it
        return ledger.open_job(self)

    def settle(
        self, ledger: Ledger, runs: Sequence[Run], confirmation: Confirmation, record: Record
    ) -> Self:
        """Adopt a re-confirmed head again; adopt the one before it if the head is worse or fails.

        If the pairs are inconclusive, or the head before it fails here, nothing moves.
        """
        pairs = confirmation.pairs[-2:]
        does_not_run = any(run.role == "candidate" and has_failed(run) for run in runs)
        line = ledger.known_line  # a failing head is tried at once, so there may be a stack
        if confirmation.move == "pass":
            ledger.publication.adoption(self.base, self.tree, evidence=record.id)
        if confirmation.verdict in ("confirmed", "unconfirmed"):
            if not line.stack:
                ledger.move_to(self.tree, [pair.candidate for pair in pairs])
        elif confirmation.verdict == "refuted" or does_not_run:
            ledger.publication.retraction(self.evidence, f"measured again: {note_of(confirmation)}")
            vouching = ledger.store.experiments.evidence_for(ledger.key, self.base)
            ledger.publication.adoption(self.tree, self.base, evidence=vouching)
            ledger.move_to(self.base, [pair.base for pair in pairs])
            if line.stack:  # the retracted patch leads from the new head to the stack
                ledger.go_on_at(line.working, (self.patch, *line.stack), [])
        return replace(self, verdict=confirmation.verdict)


def open_remeasure(ledger: Ledger) -> Job[RemeasureStep] | None:
    """Queue the trial of a head in doubt; return None without a doubt, or without evidence to try.

    A failing head without evidence is replaced by the one before it. Raises ArnodeError if the
    baseline fails, as there is nothing to return to.
    """
    store, line = ledger.store, ledger.known_line
    if not is_in_doubt(ledger):
        return None
    doubt = doubt_of(ledger)
    step = _step(ledger, str(doubt.get("because"))) if doubt else None
    is_failing = doubt is not None and doubt.get("fails") is True
    with store.transaction():
        forget_doubt(ledger)
        if step is not None:
            return ledger.open_job(step)
        if is_failing and line.verified != ledger.publication.manifest.baseline_tree:
            _replace(ledger)
    if is_failing and line.verified == ledger.publication.manifest.baseline_tree:
        raise ArnodeError(
            "the task's baseline no longer runs here, so nothing can be measured",
            "see `arnode log` for its runs; `arnode doctor` checks this machine",
        )
    return None


def open_doubt(store: Store, line: Line) -> str | None:
    """Return why a line's head is not re-confirmed yet; None if there is no doubt left.

    A head in doubt waits for a trial or is on trial, or the pairs of its last trial showed neither
    a gain nor a loss. A head that pairs never confirmed needs no second confirmation.
    """
    if doubt := doubt_kept(store, line):
        has_passed = store.experiments.has_passed(line.key, line.verified)
        return str(doubt.get("because")) if has_passed else None
    since_it_moved = moved_at_job(store, line.key)
    jobs = store.jobs.closed_jobs(line.key, RemeasureStep, after=since_it_moved)
    last = [*jobs, *store.jobs.open_jobs(line.key, RemeasureStep)][-1:]
    return next((job.step.because for job in last if job.step.verdict != "confirmed"), None)


def _step(ledger: Ledger, because: str) -> RemeasureStep | None:
    """Return the trial of the step that the head's evidence is about; None without evidence."""
    head = ledger.known_line.verified
    evidence = ledger.store.experiments.evidence_for(ledger.key, head)
    body = ledger.store.records.get(evidence).body if evidence else None
    if evidence is None or not isinstance(body, ResultBody) or body.patch is None:
        return None  # the baseline, or a tree that the user adopted at their own risk
    return RemeasureStep(
        base=body.base,
        tree=head,
        patch=body.patch,
        evidence=evidence,
        because=because,
    )


def _replace(ledger: Ledger) -> None:
    """Replace a head without evidence by the head before it."""
    head = ledger.known_line.verified
    before = next(
        (
            one.body.from_tree
            for one in ledger.store.experiments.adoptions(ledger.key)
            if one.body.to_tree == head
        ),
        ledger.publication.manifest.baseline_tree,
    )
    ledger.publication.adoption(
        head, before, evidence=ledger.store.experiments.evidence_for(ledger.key, before)
    )
    ledger.move_to(before, [])
