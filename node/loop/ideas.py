"""Where the next experiment comes from: what was handed in, then ideas whose base moved on, then
what a model or a coding agent has written, then the proposer that always has something.

Proposals are written while runs train, so that the device never waits for one. No canonical AST
that anybody ran is handed out again.
"""

import asyncio
from collections.abc import Collection
from dataclasses import replace

from agent.proposal import Context, Proposal, Proposer
from agent.source.canonical import fingerprint
from agent.source.edits import reapply
from node.line.experiment import ExperimentStep
from node.line.idea import Idea
from node.line.intents import titles_on
from node.line.ledger import Ledger
from node.line.submission import SUBMITTED, SubmissionStep
from node.loop.briefing import Briefing
from node.loop.outcomes import Outcomes
from node.loop.slow_ideas import SlowIdeas
from node.store.jobs import Job

_MOST_PASSED_OVER = 8  # proposals that others are trying: to ask for one may be dear


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
        self._handed_out = 0
        self._again: list[Idea] = []
        self._prepared: asyncio.Task[Proposal | None] | None = None
        self._tried = ledger.store.jobs.fingerprints(ledger.key.task)

    @property
    def has_unfinished_business(self) -> bool:
        """Whether an idea waits to be tried again on the new working line."""
        return bool(self._again)

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

    def mark_tried(self, mark: bytes) -> None:
        """Remember that a source with this canonical AST ran."""
        self._tried.add(mark)

    def learn(self, job: Job[ExperimentStep]) -> None:
        """Take in what came of an experiment."""
        self._outcomes.learn(job)

    def try_again(self, job: Job[ExperimentStep], patch: bytes) -> None:
        """Put a promising experiment whose base moved on in front, on the new working line."""
        step = job.step
        working = self._ledger.source(self._ledger.known_line.working)
        source = reapply(step.edits, working)
        if source is None:
            return
        proposal = Proposal(
            parent=working.tree,
            source=source,
            edits=step.edits,
            key=step.key,
            title=step.title,
            why=step.why,
            proposer=step.proposer,
            fingerprint=fingerprint(source),
        )
        self._again.append(Idea(proposal=proposal, parents=(patch,)))

    async def close(self) -> None:
        """Let go of a proposal that is being written."""
        if self._slow:
            await self._slow.close()
        if self._prepared:
            self._prepared.cancel()
            await asyncio.gather(self._prepared, return_exceptions=True)

    def _next(self) -> Idea | None:
        while self._again:
            idea = self._again.pop(0)
            if self._is_new(idea.proposal):
                return idea
        if written := self._written():
            return Idea(proposal=written, parents=written.parents)
        prepared, self._prepared = self._prepared, None
        ready = prepared.result() if prepared and prepared.done() else None
        taken = titles_on(self._ledger.others_intents(), self._ledger.known_line.working)
        if ready and self._is_new(ready) and ready.title not in taken:
            return Idea(proposal=ready, parents=ready.parents)
        proposal = self._untaken(taken)
        return Idea(proposal=proposal, parents=proposal.parents) if proposal else None

    def _written(self) -> Proposal | None:
        """Return what a slow proposer has written, on the present working line, if it is new."""
        written = self._slow.take() if self._slow else None
        working = self._ledger.known_line.working
        if written is not None and written.parent != working:
            source = reapply(written.edits, self._ledger.source(working)) if written.edits else None
            if source is None:
                return None
            written = replace(
                written, parent=working, source=source, fingerprint=fingerprint(source)
            )
        return written if written and self._is_new(written) else None

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
        return is_current and proposal.fingerprint not in self._tried

    def context(self, passed_over: Collection[bytes] = ()) -> Context:
        """Return what a proposer is told now; `passed_over` counts as tried."""
        return self._briefing.context(
            tried=frozenset(self._tried).union(passed_over).__contains__,
            seed=self._seed + len(self._outcomes.all) + self._handed_out,
        )
