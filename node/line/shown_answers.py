"""Answers to fixed instances, which claims show: anybody's judge looks at them without running what
made them.
"""

from dataclasses import replace

from node.line.attestation import AttestationStep
from node.line.job_step import JobStep
from node.line.ledger import Ledger
from node.line.pair_trial import HeadTrial
from node.line.repeating import AGAIN, claim_answered
from node.store.blobs import BLOB_LIMIT_BYTES
from node.store.jobs import PlannedRun
from protocol.runs import Run
from trainer.measuring.lane import LaneRunner
from trainer.measuring.outcome import RunOutcome


async def falls_short(
    step: JobStep, run: PlannedRun, ledger: Ledger, runner: LaneRunner
) -> RunOutcome | None:
    """Return what the answer that a claim shows is worth, if that is less than it claims.

    Its program need not run then. None if it shows none, or as good a one.
    """
    if not isinstance(step, AttestationStep) or run.role not in ("candidate", AGAIN):
        return None
    shown = _run_that_shows(step, ledger)
    if shown is None or shown.answer is None or shown.metric_nano is None:
        return None
    if not ledger.blobs.has(shown.answer):
        return None
    outcome = await runner.judged(ledger.blobs.get(shown.answer), run.seed)
    sign = ledger.publication.manifest.metric.sign
    is_reached = outcome.metric_nano is not None and (
        sign * outcome.metric_nano <= sign * shown.metric_nano
    )
    return None if is_reached else outcome


def with_answer(record: Run, step: JobStep, evidence: bytes | None, ledger: Ledger) -> Run:
    """Return a run with what its claim will show for itself, if it has that and peers take it."""
    is_claimed = isinstance(step, HeadTrial) and record.role == "candidate"
    if evidence is None or not is_claimed or len(evidence) > BLOB_LIMIT_BYTES:
        return record
    return replace(record, answer=ledger.blobs.put(evidence))


def _run_that_shows(step: AttestationStep, ledger: Ledger) -> Run | None:
    """Return the first run of a claim that shows an answer, as those of fixed instances may."""
    if ledger.style.name != "exact":
        return None
    claim = claim_answered(ledger.store, step.target, step.base, step.tree)
    if claim is None:
        return None
    own = (run for run in claim.runs if run.role == "candidate" and run.metric_nano is not None)
    return next((run for run in own if run.answer), None)
