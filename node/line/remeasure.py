"""A head in doubt is tried again against the one before it, which follows if it does not hold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from node.line.desk import Desk
from node.line.drift import doubt_of, forget_doubt, has_failed, is_in_doubt
from node.line.head_trial import HeadTrial, note_of
from node.line.kind import ended_runs
from node.line.ledger import Ledger
from node.line.trial import Confirmation, Measured
from node.line.vouching import evidence_for
from node.store.jobs import Job, PlannedRun
from node.store.store import Store
from node.terminal.vocabulary import word
from protocol.codecs import line
from protocol.errors import ArnodeError
from protocol.fields import OPTIONAL, Digest
from protocol.kinds import ResultBody
from protocol.records import Record
from protocol.rule import POWER, Policy
from protocol.runs import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class RemeasureStep(HeadTrial):
    """A head in doubt: `tree` against the `base` that it was adopted over, by `patch`.

    `evidence` is the own result that vouched for it. `verdict` is filled in when it is closed.
    """

    base: Digest
    tree: Digest
    patch: Digest
    evidence: Digest
    because: Annotated[str, line(1, 200)]
    verdict: Annotated[str, line(0, 32)] = ""
    measured: Annotated[Measured | None, OPTIONAL] = None

    KIND: ClassVar = "remeasure"

    @property
    def policy(self) -> Policy:
        """Those of `compare`: one question about what is there already."""
        return POWER

    def describe(self, store: Store, run: PlannedRun) -> tuple[str, str]:
        """Return what a run is about and which stage it is, for people."""
        del store
        return "verified head against the one before it", f"measuring again, {run.role}"

    def advance(self, desk: Desk, job: Job[Any], runs: list[PlannedRun]) -> None:
        """Go on until the rule knows; then keep the head, or return to the one before it."""
        confirmation = self.confirmed(desk, job, runs)
        if confirmation is None:
            return
        note = note_of(confirmation)
        record = close_remeasure(desk.ledger, job, ended_runs(runs), confirmation, note=note)
        desk.noise.read_anew()
        is_back = desk.ledger.known_line.verified != self.tree
        outcome = "does not hold: back to the one before it" if is_back else "stays"
        pairs = len(confirmation.pairs)
        desk.activity.judged(
            confirmation,
            f"the head in doubt {outcome} ({word(confirmation.verdict)} after {pairs} pairs)",
            record=record.id,
        )
        desk.on_record()


def open_remeasure(ledger: Ledger) -> Job[RemeasureStep] | None:
    """Queue the trial of a head in doubt; return None without a doubt, or without one to try it by.

    Raises ArnodeError if the baseline fails: there is nothing to return to.
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
            "the task's own baseline does not run here any more: nothing can be measured",
            "`arnode log` shows how its runs ended, `arnode doctor` looks at this machine",
        )
    return None


def close_remeasure(
    ledger: Ledger,
    job: Job[RemeasureStep],
    runs: Sequence[Run],
    confirmation: Confirmation,
    *,
    note: str,
) -> Record:
    """Record what came of it. A head that holds is adopted anew; else the one before it is.

    If the pairs could not tell, as the head before it fails here, nothing moves.
    """
    step = job.step
    with ledger.store.transaction():
        told = f"measured again, {step.because}: {note}"
        record = ledger.record_confirmation(step.patch, step, runs, confirmation, note=told)
        pairs = confirmation.pairs[-2:]
        line = ledger.known_line  # with a stack, if the head failed: that does not wait for it
        if confirmation.move == "pass":
            ledger.publication.adoption(step.base, step.tree, evidence=record.id)
            if not line.stack:
                ledger.move_to(step.tree, [pair.candidate for pair in pairs])
        elif confirmation.move == "miss" or _is_candidates_fault(runs):
            ledger.publication.retraction(step.evidence, f"measured again: {note}")
            vouching = evidence_for(ledger.store, ledger.key, step.base)
            ledger.publication.adoption(step.tree, step.base, evidence=vouching)
            ledger.move_to(step.base, [pair.base for pair in pairs])
            if line.stack:  # the patch that is taken back leads on to what is built on it
                ledger.go_on_at(line.working, (step.patch, *line.stack), [])
        measured = confirmation.measured(record.id)
        closed = replace(step, verdict=confirmation.verdict, measured=measured)
        ledger.close_job(job, closed)
    return record


def _step(ledger: Ledger, because: str) -> RemeasureStep | None:
    """Return the trial of the step that the head's own evidence is about; None without evidence."""
    head = ledger.known_line.verified
    evidence = evidence_for(ledger.store, ledger.key, head)
    body = ledger.store.records.get(evidence).body if evidence else None
    if evidence is None or not isinstance(body, ResultBody) or body.patch is None:
        return None  # the baseline, or what the user adopted at their own risk
    return RemeasureStep(
        base=body.base,
        tree=head,
        patch=body.patch,
        evidence=evidence,
        because=because,
    )


def _is_candidates_fault(runs: Sequence[Run]) -> bool:
    """Whether the head itself does not run any more."""
    return any(run.role == "candidate" and has_failed(run) for run in runs)


def _replace(ledger: Ledger) -> None:
    """Make the head before it the head, in place of one that nothing vouches for."""
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
        head, before, evidence=evidence_for(ledger.store, ledger.key, before)
    )
    ledger.move_to(before, [])
