"""A peer's best tree on trial against the verified head; if it passes, the head is that tree.

The rule and the pairs are a checkpoint's; the working line starts again from the new head.
"""

from collections.abc import Sequence
from dataclasses import replace

from node.loop.ledger import Ledger
from node.loop.steps import CatchUpStep
from node.loop.trial import Confirmation
from node.store.experiments import CATCHING_UP
from node.store.jobs import Job
from protocol.changes import Origin
from protocol.records import Record
from protocol.runs import Run


def open_catch_up(ledger: Ledger, step: CatchUpStep) -> Job:
    """Queue a tree to be tried against the verified head."""
    with ledger.store.transaction():
        return ledger.open_job("catchup", step.to_value())


def close_catch_up(
    ledger: Ledger,
    job: Job,
    step: CatchUpStep,
    runs: Sequence[Run],
    confirmation: Confirmation,
    *,
    note: str,
) -> Record:
    """Record what came of it. Passed: both lines are at the tree; missed: they stay."""
    passed = confirmation.move == "pass"
    with ledger.store.transaction():
        patch = _patch(ledger, step)
        record = ledger.record_confirmation(patch, step, runs, confirmation, note=note)
        if passed:
            ledger.move_to(step.tree, [pair.candidate for pair in confirmation.pairs[-2:]])
            ledger.publication.adoption(step.base, step.tree, evidence=record.id)
        judged = confirmation.judgement
        word = judged.claim if judged else None
        measured = confirmation.measured(record.id)
        closed = replace(step, verdict=confirmation.verdict, word=word, measured=measured)
        ledger.store.update_job_body(job.id, closed.to_value())
        ledger.store.close_job(job.id)
    return record


def _patch(ledger: Ledger, step: CatchUpStep) -> bytes:
    """The step from the head to the tree: theirs, if it is that, else an own one made from it."""
    theirs = ledger.store.patch(step.patch)
    if theirs and (theirs.base, theirs.tree) == (step.base, step.tree):
        return step.patch
    if step.tree != step.theirs:
        ledger.publication.stripped(step.patch, step.theirs, step.tree)
    return ledger.publication.patch(
        step.base,
        step.tree,
        title=f"catch up: {theirs.title if theirs else step.theirs.hex()[:12]}",
        why=f"The best of its board, by {step.author.hex()[:12]}, confirmed here.",
        parents=(step.patch,),
        origin=Origin(proposer=CATCHING_UP),
    ).id
