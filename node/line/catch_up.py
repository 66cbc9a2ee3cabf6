"""Catching up: a peer's best tree is tried against the verified head, and adopted if it passes.

The trial is a checkpoint's; the working line starts again from the new head.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from node.line.desk import Desk
from node.line.head_trial import HeadTrial, note_of, watch_head
from node.line.kind import ended_runs
from node.line.ledger import Ledger
from node.line.trial import Confirmation, Measured
from node.store.experiments import CATCHING_UP
from node.store.jobs import Job, PlannedRun
from node.store.store import Store
from protocol.codecs import line
from protocol.fields import OPTIONAL, Digest, Named
from protocol.kinds import Origin
from protocol.records import Record
from protocol.rule import Claim
from protocol.runs import Run
from protocol.units import NANO, from_nano


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchUpStep(HeadTrial):
    """Somebody's tree on trial against the verified head: `theirs` without its prose is `tree`.

    `target` is their result, `patch` their patch, `gain_nano` and `lower_nano` what follows from
    their figures for a step from `base` and at least, positive if better. `verdict` and the word
    for the claim are filled in when it is closed.
    """

    base: Digest
    tree: Digest
    theirs: Digest
    patch: Digest
    target: Digest
    author: Digest
    gain_nano: Annotated[int, Named("gain")]
    lower_nano: Annotated[int | None, Named("lower"), OPTIONAL] = None
    verdict: Annotated[str, line(0, 32)] = ""
    word: Annotated[str | None, line(0, 32), OPTIONAL] = None
    measured: Annotated[Measured | None, OPTIONAL] = None

    KIND: ClassVar = "catchup"

    @property
    def claim(self) -> Claim:
        """What is claimed of the step, in the metric's unit."""
        return Claim(gain=self.gain_nano / NANO, lower=from_nano(self.lower_nano))

    def describe(self, store: Store, run: PlannedRun) -> tuple[str, str]:
        """Return what a run is about and which stage it is, for people."""
        del store
        return self._what, f"catching up, {run.role}"

    def is_of_peers(self, own: bytes) -> bool:
        """A tree of others always is."""
        del own
        return True

    def is_foreign(self, run: PlannedRun, own: bytes) -> bool:
        """Whether a run is of the peer's tree, and not of this node's own head."""
        del own
        return run.tree != self.base

    def advance(self, desk: Desk, job: Job[Any], runs: list[PlannedRun]) -> None:
        """Go on until the rule knows; then adopt the tree, or keep the head."""
        confirmation = self.confirmed(desk, job, runs)
        if confirmation is None:
            return
        note = note_of(confirmation)
        watch_head(desk, job, self.base, confirmation)
        record = close_catch_up(desk.ledger, job, ended_runs(runs), confirmation, note=note)
        desk.noise.read_anew()
        desk.activity.confirmed(self._what, confirmation, record=record.id)
        desk.on_record()

    @property
    def _what(self) -> str:
        return f"best tree of {self.author.hex()[:12]}"


def open_catch_up(ledger: Ledger, step: CatchUpStep) -> Job[CatchUpStep]:
    """Queue a tree to be tried against the verified head."""
    with ledger.store.transaction():
        return ledger.open_job(step)


def close_catch_up(
    ledger: Ledger,
    job: Job[CatchUpStep],
    runs: Sequence[Run],
    confirmation: Confirmation,
    *,
    note: str,
) -> Record:
    """Record what came of it; if it passed, move both lines to the tree."""
    step, passed = job.step, confirmation.move == "pass"
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
        ledger.close_job(job, closed)
    return record


def _patch(ledger: Ledger, step: CatchUpStep) -> bytes:
    """Return the patch from the head to the tree: theirs if it fits, else an own one."""
    theirs = ledger.store.records.patch(step.patch)
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
