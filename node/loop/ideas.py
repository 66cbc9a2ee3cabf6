"""The source of the next experiment.

The next experiment is the first available of these: a submitted source, an idea whose base is
outdated, a proposal of the slow proposer (a model or a coding agent) that owns the experiment slot
(`node.loop.slots`), an idea of the built-in search, which always has one. Proposals are written
while runs train, so that the device never waits for them. Code that was run once is not tried
again; a fingerprint of its AST recognises it.
"""

import asyncio
import math
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Final

from agent.proposal import Context, FromOthers, Left, Proposal, Proposer
from agent.source.canonical import fingerprint
from node.line.experiment import ExperimentStep
from node.line.idea import SUBMITTED, Idea, SubmissionStep, moved_idea, whole_idea
from node.line.line_writer import LineWriter
from node.line.rung_transfer import UNFIT, rung_transfer_ideas
from node.loop.approvals import MOST_OPEN, Approvals
from node.loop.briefing import Briefing, Importance
from node.loop.finds import Finds
from node.loop.outcomes import Outcomes
from node.loop.planning import PlannerState, Planning
from node.loop.slots import SEARCH, ArmState, Slots
from node.loop.slow_ideas import SlowIdeas
from node.store.jobs import Job
from node.store.traces import refuse_trace
from protocol.source import Source

_MOST_REJECTED: Final = 50  # proposals in a row that the owner rejected on another working line
_OUTDATED = "it does not fit the working line any more, or was tried meanwhile"
_MOST_PASSED_OVER = 8  # proposals skipped since peers try them; a proposal may be expensive


class Ideas:
    """A source of ideas for the working line. It learns from the outcomes of experiments."""

    def __init__(
        self,
        *,
        line_writer: LineWriter,
        outcomes: Outcomes,
        briefing: Briefing,
        proposer: Proposer,
        slots: Slots,
        approvals: Approvals,
        seed: int,
        planning: Planning | None = None,
    ) -> None:
        self._line_writer = line_writer
        self._outcomes = outcomes
        self._briefing = briefing
        self._proposer = proposer
        self._slots = slots
        self.approvals = approvals
        self._planning = planning
        self._seed = seed
        self._left: Callable[[], Left] = Left
        self._importance = Importance()
        self._handed_out = 0
        self._again: list[Idea] = []
        self._prepared: asyncio.Task[Proposal | None] | None = None
        self._prepared_after = FromOthers()
        self._tried = line_writer.store.jobs.fingerprints(line_writer.key.task)
        self.finds = Finds(line_writer, outcomes, briefing, tried=self._tried)

    @property
    def has_unfinished_business(self) -> bool:
        """True if an idea waits for another try on the current working line."""
        return self._waiting() is not None

    def submitted(self, wanted: Collection[bytes]) -> Idea | None:
        """Return the oldest submitted source, as a patch of the working line.

        If `wanted` is not empty, only sources with these fingerprints are returned.
        """
        for job in self._line_writer.store.jobs.open_jobs(self._line_writer.key, SubmissionStep):
            step = job.step
            working = self._line_writer.explored
            if step.fingerprint == fingerprint(working):  # adopted by hand while it waited
                self._line_writer.store.jobs.close_job(job.id)
            elif not wanted or step.fingerprint in wanted:
                return Idea(
                    base=working.tree,
                    tree=step.tree,
                    fingerprint=step.fingerprint,
                    key=SUBMITTED,
                    title=step.title,
                    why=step.why,
                    proposer=SUBMITTED,
                    parents=step.parents,
                    submission=job.id,
                )
        return None

    def carried(self, say: Callable[[str], None], *, skips_untrusted: bool) -> Idea | None:
        """Return a transfer from another rung that waits to be tried on the working line."""
        jobs = self._line_writer.store.jobs.open_jobs(self._line_writer.key, ExperimentStep)
        under_way = {job.step.idea.carried for job in jobs}
        for job, made in rung_transfer_ideas(self._line_writer, under_way=under_way):
            if not isinstance(made, Idea):
                say(f"not transferred: {job.step.title}: {UNFIT[made]}")
            elif not (skips_untrusted and made.author):
                return made
        return None

    def again(self) -> Idea | None:
        """Return a promising idea with an outdated base, moved to the current working line.

        It continues an earlier experiment and does not count as a new one.
        """
        idea = self._waiting()
        if idea is not None:
            self._again.pop(0)
            self._tried.add(idea.fingerprint)
        return idea

    def take(self) -> Idea | None:
        """Return a new idea to try on the working line; None without one that may run.

        If the owner must approve ideas, one that was approved is returned, and new ones are offered
        as long as fewer than `MOST_OPEN` wait.
        """
        if idea := self.approvals.next():
            return idea
        if not self.approvals.is_on:
            return self._new()
        self._offer()
        return None

    def admit(self, idea: Idea) -> Idea | None:
        """Return an idea that may run at once; offer it to the owner if it may not."""
        if idea.author is not None or not self.approvals.is_on:
            return idea
        self._tried.add(idea.fingerprint)
        self.approvals.offer(idea)
        return None

    def prepare(self) -> None:
        """Start writing the next proposals unless they are ready, and the planner's next aim."""
        if self._planning is not None:
            self._planning.prepare(self.context)
        if self._line_writer.line is None:
            return
        if self._prepared is None:
            propose = asyncio.to_thread(self._proposer.propose, self.context())
            self._prepared = asyncio.create_task(propose)
            self._prepared_after = self.finds.from_others
        if not self.approvals.is_on:  # otherwise they write when there is room for a proposal
            self._begin_owner()

    def begin_writing(self) -> bool:
        """Start every slow proposer that may write; return True if any is writing."""
        for writer in self._slots.writers():
            if writer.is_wanting:
                self._begin(writer)
        return self.are_being_written

    @property
    def are_being_written(self) -> bool:
        """True while a slow proposer is writing."""
        return any(writer.is_writing for writer in self._slots.writers())

    def _begin_owner(self) -> None:
        if (writer := self._slots.wanted(self._number)) is not None:
            self._begin(writer)

    def _begin(self, writer: SlowIdeas) -> None:
        context = self.context(arm=writer.name, text=writer.text)
        writer.begin(context)
        self._importance.renew(context)
        self._outcomes.forget_crash(writer.name)  # each crash is shown for repair once

    @property
    def rests_s(self) -> float:
        """The seconds until the first resting slow proposer may write; infinite if none rests."""
        rests = [one.rests_s for one in self._slots.writers()]
        return min([one for one in rests if one > 0], default=math.inf)

    def plan_by(self, left: Callable[[], Left]) -> None:
        """Use `left` to show proposers the remaining time and experiments of the session."""
        self._left = left

    def mark_tried(self, mark: bytes) -> None:
        """Remember that a source with this fingerprint ran."""
        self._tried.add(mark)

    def learn(self, job: Job[ExperimentStep]) -> None:
        """Learn from the outcome of an experiment."""
        self._outcomes.learn(job)
        self._slots.learn(job)

    def try_again(self, job: Job[ExperimentStep], patch: bytes | None = None) -> None:
        """Queue an experiment with an outdated base for the new working line.

        `patch` is the record of the first try, which bears the cost of writing it.
        """
        tried = job.step.idea
        if patch is not None:
            tried = replace(tried, parents=(patch,), tokens=None, usd_nano=None)
        idea = moved_idea(self._line_writer, tried) or self._as_a_whole(job.step, tried)
        if idea is not None:
            self._again.append(idea)

    def _as_a_whole(self, step: ExperimentStep, idea: Idea) -> Idea | None:
        """Return the tried source itself as a change of the line, if it is certainly better.

        So a large gain is not lost to a smaller one that was kept meanwhile and conflicts with it.
        """
        level_nano, sign = self._briefing.exact_nano, self._briefing.task.manifest.metric.sign
        if level_nano is None or step.screen_nano is None:
            return None
        if sign * step.screen_nano >= sign * level_nano:
            return None
        self._tried.discard(idea.fingerprint)
        return whole_idea(self._line_writer, idea)

    async def close(self) -> None:
        """Cancel the proposals and the planner's aim that are being written."""
        await self._slots.close()
        if self._planning is not None:
            await self._planning.close()
        if self._prepared:
            self._prepared.cancel()
            await asyncio.gather(self._prepared, return_exceptions=True)
        await self._importance.close()

    def _waiting(self) -> Idea | None:
        """Return the first idea that waits to be tried again; drop ideas that no longer fit."""
        while self._again:
            # The working line may have changed again since.
            idea = moved_idea(self._line_writer, self._again[0])
            if idea is not None and self._is_new(idea.base, idea.fingerprint):
                self._again[0] = idea
                return idea
            self._again.pop(0)
        return None

    def _new(self) -> Idea | None:
        idea = self._next()
        if idea is not None:
            self._handed_out += 1
            self._tried.add(idea.fingerprint)
        return idea

    def _offer(self) -> None:
        """Offer new ideas to the owner, at most as many as this session may still try.

        There is no hurry: once something waits, a slow proposer may finish its proposal.
        """
        left = self._left().experiments
        most = MOST_OPEN if left is None else min(left, MOST_OPEN)
        while (count := len(self.approvals.open)) < most:
            self._begin_owner()
            if count and self._slots.is_owner_awaited:
                return
            if (idea := self._new()) is None:
                return
            self.approvals.offer(idea)

    def _next(self) -> Idea | None:
        if written := self._written():
            return written
        self._slots.take(SEARCH)
        prepared, self._prepared = self._prepared, None
        ready = prepared.result() if prepared and prepared.done() else None
        taken = self._line_writer.others_titles(self._line_writer.known_line.working)
        if ready and (
            not self._is_new(ready.parent, ready.fingerprint)
            or (ready.title in taken and not ready.is_find)
            or self._prepared_after != self.finds.from_others
            or self.approvals.is_rejected(ready.edits, ready.title)
        ):
            ready = None
        proposal = ready or self._untaken(taken)
        return Idea.of(self._line_writer, proposal, arm=SEARCH) if proposal else None

    def _written(self) -> Idea | None:
        """Return a slow proposer's finished idea on the current working line, if it is new."""
        for writer in self._slots.writers():
            written = writer.take()
            idea = (
                moved_idea(self._line_writer, Idea.of(self._line_writer, written, arm=writer.name))
                if written
                else None
            )
            if idea is None or self.approvals.is_rejected(idea.edits):
                continue
            if self._is_new(idea.base, idea.fingerprint):
                self._slots.take(writer.name)
                return idea
            if written and written.trace is not None:
                store = self._line_writer.store
                refuse_trace(store.database, written.trace, "outdated", _OUTDATED)
        return None

    def _untaken(self, taken: Collection[str]) -> Proposal | None:
        """Return a peers' find or one that no other node is trying; if there is none, any."""
        passed_over: dict[bytes, Proposal] = {}
        rejected = 0
        while len(passed_over) < _MOST_PASSED_OVER and rejected < _MOST_REJECTED:
            proposal = self._proposer.propose(self.context(passed_over))
            if proposal is None:
                break
            if self.approvals.is_rejected(proposal.edits, proposal.title):
                rejected += 1
                self._tried.add(proposal.fingerprint)
                continue
            if proposal.is_find or proposal.title not in taken:
                return proposal
            passed_over[proposal.fingerprint] = proposal
        return next(iter(passed_over.values()), None)

    def _is_new(self, base: bytes, mark: bytes) -> bool:
        working = self._line_writer.explored
        return base == working.tree and not self._was_tried(self._tried, working, mark)

    def _was_tried(self, here: Collection[bytes], working: Source, mark: bytes) -> bool:
        """Return True if a fingerprint ran here, or another tool tried this edit of the source."""
        imported = self._briefing.imported
        return mark in here or (imported is not None and imported.has(mark, working))

    @property
    def program(self) -> str:
        """The owner's current instructions."""
        return self._briefing.program()

    @property
    def arm_states(self) -> tuple[ArmState, ...]:
        """The state of each proposer."""
        return self._slots.arm_states()

    @property
    def planner(self) -> PlannerState | None:
        """The state of the planner; None without one."""
        return self._planning.state if self._planning else None

    @property
    def are_others_at_work(self) -> bool:
        """True if another node is at work on the line."""
        others = self._briefing.others
        return others is not None and others.are_at_work(self._briefing.clock_ms())

    @property
    def is_in_front(self) -> bool:
        """True if scores are exact and no peer reported a better one than the working line's."""
        return self._briefing.is_in_front

    @property
    def is_early_trial_assigned(self) -> bool:
        """True if this node is among those at work that make an early promotion trial."""
        others = self._briefing.others
        if others is None:
            return True
        what = f"early trial of {self._line_writer.key.task.hex()}"
        return others.is_assigned(what, others.accepted(), self._briefing.clock_ms())

    @property
    def is_rising(self) -> bool:
        """True if the next experiment in company will probably be kept.

        The last one was kept, or none was made yet, or peers kept moves that were not tried here.
        """
        if not self.are_others_at_work:
            return False
        outcomes = self._outcomes.all
        return not outcomes or outcomes[-1].decision == "kept" or self.finds.has_untried

    @property
    def _number(self) -> int:
        """The number of ideas so far, which distinguishes random draws."""
        return len(self._outcomes.all) + self._handed_out

    def context(
        self, passed_over: Collection[bytes] = (), *, arm: str | None = None, text: str = ""
    ) -> Context:
        """Return the current context for a proposer.

        The context also treats the fingerprints in `passed_over` as tried. `arm` names the
        proposer, None for any; `text` names one of the owner's instructions.
        """
        return self._briefing.context(
            tried=partial(
                self._was_tried,
                frozenset(self._tried).union(passed_over),
                self._line_writer.explored,
            ),
            seed=self._seed + self._number,
            left=self._left(),
            arm=arm,
            text=text,
            importance=self._importance.known,
        )
