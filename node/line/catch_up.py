"""Catching up: a peer's best tree is tried against the verified head, and adopted if it passes.

The trial is a promotion trial. The working line starts again from the new head.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from node.line.alpha_budget import introducer_of, open_trial, reset_alpha_budget
from node.line.job_step import RunDescription
from node.line.line_context import LineContext
from node.line.line_writer import LineWriter
from node.line.pair_trial import HeadTrial, note_of
from node.line.trial import Confirmation
from node.store.experiments import CATCHING_UP
from node.store.jobs import Job, PlannedRun
from node.store.store import Store
from protocol.codecs import single_line
from protocol.fields import OPTIONAL, Digest, Named
from protocol.record_kinds import Origin
from protocol.records import Record
from protocol.rule import Claim
from protocol.runs import Run
from protocol.units import NANO, from_nano


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchUpStep(HeadTrial):
    """A trial of a peer's tree, `theirs`, against the verified head.

    `tree` is the same tree without comments and docstrings.

    `target` is the peer's result and `patch` the peer's patch. `gain_nano` is the gain over `base`
    that follows from the peer's figures, `lower_nano` its lower bound; both are positive if better.
    Closing the job sets `verdict`, and `word`, which names the verdict on the claim.
    """

    theirs: Digest
    patch: Digest
    target: Digest
    author: Digest
    gain_nano: Annotated[int, Named("gain")]
    lower_nano: Annotated[int | None, Named("lower"), OPTIONAL] = None
    verdict: Annotated[str, single_line(0, 32)] = ""
    word: Annotated[str | None, single_line(0, 32), OPTIONAL] = None

    KIND: ClassVar = "catchup"

    @property
    def claim(self) -> Claim:
        """The claimed gain over `base`, in the metric's unit."""
        return Claim(gain=self.gain_nano / NANO, lower=from_nano(self.lower_nano))

    def describe(self, store: Store, run: PlannedRun) -> RunDescription:
        return self.about(self._what, run, "catching up")

    @property
    def claim_on_trial(self) -> bytes:
        return self.target

    def is_of_peers(self, own: bytes) -> bool:
        return True

    def is_untrusted(self, run: PlannedRun, own: bytes) -> bool:
        """Return True if a run is of the peer's tree and not of this node's own head."""
        return run.tree != self.base

    def conclude(
        self, line_context: LineContext, job: Job[Any], runs: list[Run], confirmation: Confirmation
    ) -> None:
        """Settle the trial and report it."""
        self.watch_head(line_context, job, confirmation)
        record = self.close(
            line_context.line_writer, job, runs, confirmation, note=note_of(confirmation)
        )
        line_context.activity.confirmed(self._what, confirmation, record=record.id)

    @property
    def _what(self) -> str:
        return f"best tree of {self.author.hex()[:12]}"

    def patch_on_trial(self, line_writer: LineWriter) -> bytes:
        """Return the patch from the head to the tree: the peer's if it fits, else a new one."""
        theirs = line_writer.store.records.patch(self.patch)
        if theirs and (theirs.base, theirs.tree) == (self.base, self.tree):
            return self.patch
        if self.tree != self.theirs:
            line_writer.record_writer.stripped(self.patch, self.theirs, self.tree)
        return line_writer.record_writer.patch(
            self.base,
            self.tree,
            title=f"catch up: {theirs.title if theirs else self.theirs.hex()[:12]}",
            why=f"The leaderboard's best tree, by {self.author.hex()[:12]}, confirmed here.",
            parents=(self.patch,),
            origin=Origin(proposer=CATCHING_UP),
        ).id

    def open_again(self, line_writer: LineWriter) -> Job[Any]:
        return open_trial(line_writer, self)

    def settle(
        self,
        line_writer: LineWriter,
        runs: Sequence[Run],
        confirmation: Confirmation,
        record: Record,
    ) -> Self:
        """If the trial passed, move head and working line to the tree."""
        if confirmation.move == "pass":
            line_writer.move_to(self.tree, [pair.candidate for pair in confirmation.pairs[-2:]])
            line_writer.record_writer.adoption(self.base, self.tree, evidence=record.id)
            reset_alpha_budget(line_writer, introducer=introducer_of(line_writer, self.target))
        judged = confirmation.judgement
        return replace(self, verdict=confirmation.verdict, word=judged.claim if judged else None)
