"""A checkpoint: the working line's stack is tried against the verified head, then both meet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Final

from node.line.branch import kept_in
from node.line.desk import Desk
from node.line.head_trial import HeadTrial, note_of, watch_head
from node.line.kind import ended_runs
from node.line.ledger import Ledger
from node.line.publication import MAX_PARENTS
from node.line.trial import Confirmation, Measured
from node.store.experiments import STACKING, is_branching
from node.store.jobs import Job, PlannedRun
from node.store.store import Store
from protocol.fields import OPTIONAL, Digest, Items
from protocol.kinds import Origin
from protocol.records import Record
from protocol.runs import Run

_TITLES_SHOWN: Final = 3
_MAX_STACK: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointStep(HeadTrial):
    """A stack on trial: the patches kept since the verified head.

    What came of it is filled in when it is closed, here and in the other trials against the head.
    """

    base: Digest
    tree: Digest
    stack: Annotated[tuple[Digest, ...], Items(0, _MAX_STACK)]
    passed: bool = False
    measured: Annotated[Measured | None, OPTIONAL] = None

    KIND: ClassVar = "checkpoint"

    def describe(self, store: Store, run: PlannedRun) -> tuple[str, str]:
        """Return what a run is about and which stage it is, for people."""
        del store
        return "working line against verified head", f"checkpoint, {run.role}"

    def advance(self, desk: Desk, job: Job[Any], runs: list[PlannedRun]) -> None:
        """Go on until the rule knows; then adopt the stack, or return to the head."""
        confirmation = self.confirmed(desk, job, runs)
        if confirmation is None:
            return
        note = note_of(confirmation)
        watch_head(desk, job, self.base, confirmation)
        record = close_checkpoint(desk.ledger, job, ended_runs(runs), confirmation, note=note)
        desk.on_stack()
        desk.noise.read_anew()
        patches = kept_in(desk.store, self.stack)
        what = f"checkpoint of {patches} {'patch' if patches == 1 else 'patches'}"
        desk.activity.confirmed(what, confirmation, record=record.id)
        desk.on_record()


def open_checkpoint(ledger: Ledger) -> Job[CheckpointStep]:
    """Put the working line's stack on trial against the verified head."""
    line = ledger.known_line
    step = CheckpointStep(base=line.verified, tree=line.working, stack=line.stack)
    with ledger.store.transaction():
        return ledger.open_job(step)


def close_checkpoint(
    ledger: Ledger,
    job: Job[CheckpointStep],
    runs: Sequence[Run],
    confirmation: Confirmation,
    *,
    note: str,
) -> Record:
    """Record a checkpoint. If it passed, the working line is adopted as the verified head.

    If it missed, the working line returns to the verified head; its patches stay as records. If
    the head failed, nothing moves: the stack waits until the head runs, or is another one.
    """
    step, passed = job.step, confirmation.move == "pass"
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
        ledger.close_job(job, closed)
    return record


def _stack_patch(ledger: Ledger, step: CheckpointStep) -> bytes:
    """Return the patch of a stack; that of a stack of one is the patch in it."""
    parts = [ledger.store.records.patch(part) for part in step.stack]
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
