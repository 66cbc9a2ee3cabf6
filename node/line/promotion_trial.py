"""Promotion trials: the working line's stack is tried against the verified head.

After a verdict, working line and head are the same tree again, unless more patches were kept during
the trial.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Final, Self

from node.line.alpha_budget import open_trial, reset_alpha_budget
from node.line.branch import kept_in
from node.line.experiment import ExperimentStep
from node.line.idea import SUBMITTED
from node.line.job_step import RunDescription
from node.line.line_context import LineContext
from node.line.line_writer import LineWriter
from node.line.pair_trial import HeadTrial, note_of, overfit_of
from node.line.record_writer import MAX_PARENTS
from node.line.rung_transfer import reopen_rung_transfer
from node.line.trial import Confirmation
from node.store.experiments import STACKING, is_branching
from node.store.jobs import Job, PlannedRun
from node.store.store import Store
from node.terminal.vocabulary import many
from protocol.fields import Digest, Items
from protocol.record_kinds import Origin
from protocol.records import Record
from protocol.runs import Run

REST_S: Final = 600  # wait before retrying a stack whose trial other programs interrupted
_TITLES_SHOWN: Final = 3
_MAX_STACK: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionTrial(HeadTrial):
    """A promotion trial of a stack: the patches kept since the verified head."""

    stack: Annotated[tuple[Digest, ...], Items(0, _MAX_STACK)]
    passed: bool = False

    KIND: ClassVar = "promotion_trial"
    LETS_EXPLORE: ClassVar = True

    def describe(self, store: Store, run: PlannedRun) -> RunDescription:
        title = "working line against verified head"
        return self.about(title, run, "promotion_trial", text="promotion trial")

    def conclude(
        self, line_context: LineContext, job: Job[Any], runs: list[Run], confirmation: Confirmation
    ) -> None:
        """Settle the trial, and report its outcome."""
        self.watch_head(line_context, job, confirmation)
        newer = self.kept_meanwhile(line_context.line_writer)
        overfit = overfit_of(line_context.line_writer, runs, confirmation)
        note = note_of(confirmation, overfit)
        record = self.close(line_context.line_writer, job, runs, confirmation, note=note)
        line_context.on_stack()
        if line_context.line_writer.known_line.working == self.base:
            for patch, one in _experiments_of(line_context.line_writer, newer):
                line_context.learner.try_again(one, patch)
        patches = many(kept_in(line_context.store, self.stack), "patch", "patches")
        if confirmation.was_cut_off:
            line_context.activity.judged(
                f"other programs interrupted the promotion trial of {patches}: nothing is lost, "
                f"next try in {REST_S // 60} minutes",
                record=record.id,
            )
        elif overfit is not None:
            line_context.activity.judged(f"promotion trial of {patches}: {note}", record=record.id)
        else:
            line_context.activity.confirmed(
                f"promotion trial of {patches}", confirmation, record=record.id
            )

    def patch_on_trial(self, line_writer: LineWriter) -> bytes:
        """Return the patch of the whole stack; for a stack of one it is that patch."""
        parts = [line_writer.store.records.patch(one) for one in self.stack]
        step = (self.base, self.tree)
        if len(parts) == 1 and parts[0] and (parts[0].base, parts[0].tree) == step:
            return self.stack[0]
        root = parts[0] if parts and parts[0] and is_branching(parts[0].origin) else None
        titles = [part.title for part in parts if part and part is not root]
        more = len(titles) - _TITLES_SHOWN
        shown = "; ".join(titles[-_TITLES_SHOWN:]) + (f"; and {more} more" if more > 0 else "")
        # If a record cannot name all patches of the stack, keep the one that began the branch.
        parents = (*self.stack[:1], *self.stack[1:][1 - MAX_PARENTS :]) if root else self.stack
        return line_writer.record_writer.patch(
            self.base,
            self.tree,
            title=f"stack of {len(titles)}{f' {root.title}' if root else ''}: {shown}",
            why="A passed promotion trial is evidence for the stack, not for each part.",
            parents=parents,
            origin=Origin(proposer=STACKING),
        ).id

    def open_again(self, line_writer: LineWriter) -> Job[Any]:
        return open_trial(line_writer, self)

    def kept_meanwhile(self, line_writer: LineWriter) -> tuple[bytes, ...]:
        """Return the patches that the working line kept on top of the tree on trial."""
        stack = line_writer.known_line.stack
        return stack[len(self.stack) :] if stack[: len(self.stack)] == self.stack else ()

    def settle(
        self,
        line_writer: LineWriter,
        runs: Sequence[Run],
        confirmation: Confirmation,
        record: Record,
    ) -> Self:
        """If the trial passed, adopt its tree as the verified head; else return to the head.

        If it passed, patches kept meanwhile start the next stack. If it failed, they leave the line
        with the stack: their edits are tried again on the head, and submitted sources are queued
        again. The patches stay as records.

        Nothing moves if the head failed: the stack waits until the head runs or is replaced.
        Nothing moves either if other programs on this machine cut runs off: the stack is tried
        again later.
        """
        passed, pairs = confirmation.move == "pass", confirmation.pairs[-2:]
        head, newer = self.tree if passed else self.base, self.kept_meanwhile(line_writer)
        if passed and newer:
            line_writer.verify_up_to(head, newer)
        elif not (confirmation.is_bases_fault or confirmation.was_cut_off):
            line_writer.move_to(head, [pair.candidate if passed else pair.base for pair in pairs])
            for patch, one in _experiments_of(line_writer, newer):
                if one.step.idea.proposer == SUBMITTED:
                    line_writer.open_job(one.step.handed_in_again(patch))
                elif one.step.idea.carried is not None:
                    reopen_rung_transfer(line_writer, one.step.idea.carried)
        if passed:
            line_writer.record_writer.adoption(self.base, self.tree, evidence=record.id)
            reset_alpha_budget(line_writer)
        return replace(self, passed=passed)


def _experiments_of(
    line_writer: LineWriter, patches: Sequence[bytes]
) -> list[tuple[bytes, Job[ExperimentStep]]]:
    """Return each of these patches with the experiment that kept it.

    They were kept on a stack that failed its trial, which is no evidence against them. So they are
    tried again on the head.
    """
    if not patches:
        return []
    closed = line_writer.store.jobs.closed_jobs(line_writer.key, ExperimentStep)
    jobs = {(job.step.base, job.step.tree): job for job in closed}
    bodies = [(patch, line_writer.store.records.patch(patch)) for patch in patches]
    kept = [(patch, jobs.get((body.base, body.tree))) for patch, body in bodies if body]
    return [(patch, job) for patch, job in kept if job]


def rests_s(line_writer: LineWriter) -> float:
    """Return the seconds until a stack whose trial was interrupted may be tried again."""
    last = line_writer.store.jobs.closed_jobs(line_writer.key, PromotionTrial)[-1:]
    measured = last[0].step.measured if last else None
    if measured is None or not measured.was_cut_off:
        return 0.0
    trial = line_writer.store.experiments.find(measured.record)
    since_ms = trial.ts_ms if trial else 0
    return max(0.0, REST_S - (line_writer.record_writer.clock_ms() - since_ms) / 1000)


def open_promotion_trial(line_writer: LineWriter) -> Job[PromotionTrial]:
    """Start a promotion trial of the working line's stack against the verified head."""
    line = line_writer.known_line
    step = PromotionTrial(base=line.verified, tree=line.working, stack=line.stack)
    return open_trial(line_writer, step)
