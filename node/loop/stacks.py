"""The working line's stack on trial: a checkpoint, and what its end does to both lines."""

from collections.abc import Sequence
from dataclasses import replace

from node.loop.ledger import Ledger
from node.loop.publication import MAX_PARENTS
from node.loop.steps import CheckpointStep
from node.loop.trial import Confirmation
from node.store.experiments import STACKING, is_branching
from node.store.jobs import Job
from protocol.changes import Origin
from protocol.records import Record
from protocol.runs import Run

_TITLES_SHOWN = 3


def open_checkpoint(ledger: Ledger) -> Job:
    """Put the working line's stack on trial against the verified head."""
    line = ledger.known_line
    step = CheckpointStep(base=line.verified, tree=line.working, stack=line.stack)
    with ledger.store.transaction():
        return ledger.open_job("checkpoint", step.to_value())


def close_checkpoint(
    ledger: Ledger,
    job: Job,
    step: CheckpointStep,
    runs: Sequence[Run],
    confirmation: Confirmation,
    *,
    note: str,
) -> Record:
    """Record a confirmation. Passed: the working line is the verified head, and adopted.

    Missed: the working line returns to the verified head; its patches stay as records. Where the
    head failed beside it nothing moves: the stack waits until the head runs, or is another one.
    """
    passed = confirmation.move == "pass"
    with ledger.store.transaction():
        patch = _stack_patch(ledger, step)
        record = ledger.record_confirmation(patch, step, runs, confirmation, note=note)
        head = step.tree if passed else step.base
        pairs = confirmation.pairs[-2:]
        if not confirmation.is_bases_fault:
            ledger.move_to(head, [pair.candidate if passed else pair.base for pair in pairs])
        if passed:
            ledger.publication.adoption(step.base, step.tree, evidence=record.id)
        closed = replace(step, passed=passed, measured=confirmation.measured(record.id))
        ledger.store.update_job_body(job.id, closed.to_value())
        ledger.store.close_job(job.id)
    return record


def _stack_patch(ledger: Ledger, step: CheckpointStep) -> bytes:
    """The patch of a stack; a stack of one is that patch itself."""
    parts = [ledger.store.patch(part) for part in step.stack]
    if len(parts) == 1 and parts[0] and (parts[0].base, parts[0].tree) == (step.base, step.tree):
        return step.stack[0]
    root = parts[0] if parts and parts[0] and is_branching(parts[0].origin) else None
    titles = [part.title for part in parts if part and part is not root]
    more = len(titles) - _TITLES_SHOWN
    shown = "; ".join(titles[-_TITLES_SHOWN:]) + (f"; and {more} more" if more > 0 else "")
    # Of more patches than a record names, what the branch began with is not left out.
    parents = (*step.stack[:1], *step.stack[1:][1 - MAX_PARENTS :]) if root else step.stack
    return ledger.publication.patch(
        step.base,
        step.tree,
        title=f"stack of {len(titles)}{f' {root.title}' if root else ''}: {shown}",
        why="A passed checkpoint vouches for the stack, not for its parts.",
        parents=parents,
        origin=Origin(proposer=STACKING),
    ).id
