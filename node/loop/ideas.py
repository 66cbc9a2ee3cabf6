"""Where the next experiment comes from: what was handed in, then ideas whose base moved on, then
what a model or a coding agent has written, then the proposer that always has something.

Proposals are written while runs train, so that the device never waits for one. No canonical AST
that anybody ran is handed out again.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

from agent.proposal import Context, Left, Proposal, Proposer, Silence, SlowProposer
from agent.source.canonical import fingerprint
from agent.source.edits import reapply
from node.line.carried import UNFIT, carried_ideas
from node.line.experiment import ExperimentStep
from node.line.idea import SUBMITTED, Idea, SubmissionStep
from node.line.ledger import Ledger
from node.loop.briefing import Briefing
from node.loop.outcomes import Outcomes
from node.store.jobs import Job
from protocol.source import Source

_MOST_PASSED_OVER = 8  # proposals that others are trying: to ask for one may be dear


class SlowIdeas:
    """A slow proposer at work beside the runs: one proposal is being written or waits, at any time.

    Nothing here waits for it: whoever needs an idea now and finds none takes one from elsewhere.
    `say` is told why it has nothing, whenever that changes.
    """

    def __init__(
        self,
        proposer: SlowProposer,
        *,
        say: Callable[[str], None],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proposer = proposer
        self._say = say
        self._clock_s = clock_s
        self._writing: asyncio.Task[Proposal | Silence] | None = None
        self._rests_until_s = float("-inf")
        self._told = ""

    @property
    def is_wanting(self) -> bool:
        """Whether it has nothing to do and does not rest."""
        return self._writing is None and self._clock_s() >= self._rests_until_s

    def begin(self, context: Context) -> None:
        """Have the next proposal written."""
        if self.is_wanting:
            self._writing = asyncio.create_task(self._proposer.propose(context))

    def take(self) -> Proposal | None:
        """Return what has been written, if anything is there."""
        if self._writing is None or not self._writing.done():
            return None
        written, self._writing = self._writing.result(), None
        if isinstance(written, Proposal):
            if self._told:
                self._say(f"{self._proposer.name} proposes again")
            self._told = ""
            return written
        self._rests_until_s = self._clock_s() + written.retry_s
        if written.reason != self._told:
            self._told = written.reason
            self._say(f"{self._proposer.name}: {written.reason}; knobs go on meanwhile")
        return None

    async def close(self) -> None:
        """Let go of what is being written."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)


class Ideas:
    """Hands out proposals against the working line and learns from what came of them."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        outcomes: Outcomes,
        briefing: Briefing,
        proposer: Proposer,
        seed: int,
        slow: SlowIdeas | None = None,
    ) -> None:
        self._ledger = ledger
        self._outcomes = outcomes
        self._briefing = briefing
        self._proposer = proposer
        self._slow = slow
        self._seed = seed
        self._left: Callable[[], Left] = Left
        self._handed_out = 0
        self._again: list[Idea] = []
        self._prepared: asyncio.Task[Proposal | None] | None = None
        self._tried = ledger.store.jobs.fingerprints(ledger.key.task)

    @property
    def has_unfinished_business(self) -> bool:
        """Whether an idea waits to be tried again on the present working line."""
        return self._waiting() is not None

    def submitted(self, wanted: Collection[bytes]) -> Idea | None:
        """Return the oldest source that was handed in, as a patch of the working line.

        `wanted`, unless empty, are the canonical ASTs that may be taken.
        """
        for job in self._ledger.store.jobs.open_jobs(self._ledger.key, SubmissionStep):
            step = job.step
            working = self._ledger.explored
            if step.fingerprint == fingerprint(working):  # adopted by hand while it waited
                self._ledger.store.jobs.close_job(job.id)
            elif not wanted or step.fingerprint in wanted:
                proposal = Proposal(
                    parent=working.tree,
                    source=self._ledger.source(step.tree),
                    edits=(),
                    key=SUBMITTED,
                    title=step.title,
                    why=step.why,
                    proposer=SUBMITTED,
                    fingerprint=step.fingerprint,
                )
                return Idea(proposal=proposal, parents=step.parents, submission=job)
        return None

    def carried(self, say: Callable[[str], None], *, is_foreign_barred: bool) -> Idea | None:
        """Return what was found on another rung, and waits to be tried on the working line."""
        jobs = self._ledger.store.jobs
        under_way = {job.step.carried for job in jobs.open_jobs(self._ledger.key, ExperimentStep)}
        for job, made in carried_ideas(self._ledger, under_way=under_way):
            if not isinstance(made, Idea):
                say(f"not carried here: {job.step.title}: {UNFIT[made]}")
            elif not (is_foreign_barred and made.author):
                return made
        return None

    def again(self) -> Idea | None:
        """Return what showed promise on a line that moved on meanwhile, on the present one.

        It is no new experiment, but one that goes on.
        """
        idea = self._waiting()
        if idea is not None:
            self._again.pop(0)
            self._tried.add(idea.proposal.fingerprint)
        return idea

    def take(self) -> Idea | None:
        """Return something new to try on the working line, None when there is nothing."""
        idea = self._next()
        if idea is not None:
            self._handed_out += 1
            self._tried.add(idea.proposal.fingerprint)
        return idea

    def prepare(self) -> None:
        """Have the next proposals written, unless they are at hand."""
        wanting = self._slow if self._slow is not None and self._slow.is_wanting else None
        if self._ledger.line is None or not (wanting or self._prepared is None):
            return
        context = self.context()
        if self._prepared is None:
            propose = asyncio.to_thread(self._proposer.propose, context)
            self._prepared = asyncio.create_task(propose)
        if wanting is not None:
            wanting.begin(context)
            self._outcomes.forget_crash()  # it has its chance to be mended; then something else

    def plan_by(self, left: Callable[[], Left]) -> None:
        """Have proposers told from now on what is left of the session."""
        self._left = left

    def mark_tried(self, mark: bytes) -> None:
        """Remember that a source with this canonical AST ran."""
        self._tried.add(mark)

    def learn(self, job: Job[ExperimentStep]) -> None:
        """Take in what came of an experiment."""
        self._outcomes.learn(job)

    def try_again(self, job: Job[ExperimentStep], patch: bytes) -> None:
        """Put a promising experiment whose base moved on in front, on the new working line."""
        step = job.step
        tried = Proposal(
            parent=step.base,
            source=self._ledger.source(step.tree),
            edits=step.edits,
            key=step.key,
            title=step.title,
            why=step.why,
            proposer=step.proposer,
            fingerprint=step.fingerprint,
        )
        if (proposal := self._on_working(tried)) is not None:
            self._again.append(Idea(proposal=proposal, parents=(patch,)))

    async def close(self) -> None:
        """Let go of a proposal that is being written."""
        if self._slow:
            await self._slow.close()
        if self._prepared:
            self._prepared.cancel()
            await asyncio.gather(self._prepared, return_exceptions=True)

    def _waiting(self) -> Idea | None:
        """Return the first that waits to be tried again; those that cannot be are let go."""
        while self._again:
            idea = self._again[0]
            # The line may have moved on once more since.
            proposal = self._on_working(idea.proposal)
            if proposal is not None and self._is_new(proposal):
                self._again[0] = replace(idea, proposal=proposal)
                return self._again[0]
            self._again.pop(0)
        return None

    def _next(self) -> Idea | None:
        if written := self._written():
            return Idea(proposal=written, parents=written.parents)
        prepared, self._prepared = self._prepared, None
        ready = prepared.result() if prepared and prepared.done() else None
        taken = self._ledger.others_titles(self._ledger.known_line.working)
        if ready and self._is_new(ready) and ready.title not in taken:
            return Idea(proposal=ready, parents=ready.parents)
        proposal = self._untaken(taken)
        return Idea(proposal=proposal, parents=proposal.parents) if proposal else None

    def _written(self) -> Proposal | None:
        """Return what a slow proposer has written, on the present working line, if it is new."""
        written = self._slow.take() if self._slow else None
        moved = self._on_working(written) if written else None
        return moved if moved and self._is_new(moved) else None

    def _on_working(self, proposal: Proposal) -> Proposal | None:
        """Return a proposal on the present working line, None if its edits do not fit that."""
        working = self._ledger.known_line.working
        if proposal.parent == working:
            return proposal
        if not proposal.edits or not (
            source := reapply(proposal.edits, self._ledger.source(working))
        ):
            return None
        return replace(proposal, parent=working, source=source, fingerprint=fingerprint(source))

    def _untaken(self, taken: Collection[str]) -> Proposal | None:
        """Return something that nobody else is trying; if there is nothing, what somebody is."""
        passed_over: dict[bytes, Proposal] = {}
        while len(passed_over) < _MOST_PASSED_OVER:
            proposal = self._proposer.propose(self.context(passed_over))
            if proposal is None:
                break
            if proposal.title not in taken:
                return proposal
            passed_over[proposal.fingerprint] = proposal
        return next(iter(passed_over.values()), None)

    def _is_new(self, proposal: Proposal) -> bool:
        is_current = proposal.parent == self._ledger.known_line.working
        working = self._ledger.explored
        return is_current and not self._was_tried(self._tried, working, proposal.fingerprint)

    def _was_tried(self, here: Collection[bytes], working: Source, mark: bytes) -> bool:
        """Say whether a canonical AST ran here, or another tool tried that step on this source."""
        imported = self._briefing.imported
        return mark in here or (imported is not None and imported.has(mark, working))

    @property
    def program(self) -> str:
        """The owner's text, as it is now."""
        return self._briefing.program()

    def context(self, passed_over: Collection[bytes] = ()) -> Context:
        """Return what a proposer is told now; `passed_over` counts as tried."""
        return self._briefing.context(
            tried=partial(
                self._was_tried,
                frozenset(self._tried).union(passed_over),
                self._ledger.explored,
            ),
            seed=self._seed + len(self._outcomes.all) + self._handed_out,
            left=self._left(),
        )
