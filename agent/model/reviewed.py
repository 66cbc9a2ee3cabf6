"""A proposer with a reviewer: it writes several proposals, and the reviewer chooses one to run.

If the reviewer gives no usable answer, the first proposal is run. While the reviewer is paused,
only one proposal is written. A repair of a crash is not reviewed, because its idea was chosen
before.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Final

from agent.completion import ModelCost
from agent.model.asking import Resting
from agent.model.quoting import MAX_TITLE, one_line
from agent.model.reviewer import ModelReviewer, Review
from agent.proposal import Context, NoProposal, Proposal, ProposerQuestion, SlowProposer
from agent.visit.trace import TraceLog, TraceStep, numbered

MOST_DRAFTS: Final = 3


@dataclass(slots=True, eq=False)
class ReviewedProposer:
    """A proposer that lets `proposer` write several proposals and `reviewer` choose one.

    The prompt of each proposal shows the earlier ones. `say` receives each choice, and each new
    reason why the reviewer chose none.
    """

    proposer: SlowProposer
    reviewer: ModelReviewer
    _: KW_ONLY
    say: Callable[[str], None]
    clock_s: Callable[[], float] = time.monotonic
    _rest: Resting = field(init=False)

    def __post_init__(self) -> None:
        self._rest = Resting(self.clock_s)

    @property
    def name(self) -> str:
        """The proposer's display name."""
        return self.proposer.name

    async def propose(self, context: Context) -> Proposal | NoProposal:
        """Return the chosen proposal with the cost and steps of all, or the reason for none."""
        first = await self.proposer.propose(context)
        is_alone = context.crash is not None or self._rest.is_on
        if isinstance(first, NoProposal) or is_alone:
            return first
        drafts, cost = [first], first.cost
        steps = [*numbered(first.steps, 1)]
        while len(drafts) < MOST_DRAFTS:
            another = await self.proposer.propose(_next_draft_context(context, drafts))
            cost += another.cost
            steps += numbered(another.steps, len(drafts) + 1)
            if isinstance(another, NoProposal):
                break
            drafts.append(another)
        if len(drafts) == 1:
            return replace(first, cost=cost, steps=tuple(steps))
        chosen, spent, reviewed = await self._chosen(context, drafts)
        return replace(chosen, cost=cost + spent, steps=(*steps, *reviewed))

    def question(self, context: Context) -> ProposerQuestion | NoProposal:
        """Return the proposer's first question. Asks no model."""
        return self.proposer.question(context)

    async def _chosen(
        self, context: Context, drafts: Sequence[Proposal]
    ) -> tuple[Proposal, ModelCost, tuple[TraceStep, ...]]:
        """Return the proposal to run, with the cost and the steps of the review."""
        review = await self.reviewer.review(context, drafts)
        if isinstance(review, NoProposal):
            if self._rest.begin(review):
                self.say(
                    f"the reviewer {self.reviewer.model}: {review.reason}; the first"
                    " proposal is run instead"
                )
            return drafts[0], review.cost, _as_choices(review.steps)
        self._rest.end()
        self.say(self._words(review, drafts))
        return review.chosen, review.cost, (*_as_choices(review.steps), *_refusals(review, drafts))

    def _words(self, review: Review, drafts: Sequence[Proposal]) -> str:
        others = [_named(one) for one in drafts if one is not review.chosen]
        why = f": {review.why}" if review.why else ""
        return (
            f"the reviewer {self.reviewer.model} chose {_named(review.chosen)} of {self.name}, not"
            f" {' or '.join(others)}{why}"
        )


def _next_draft_context(context: Context, drafts: Sequence[Proposal]) -> Context:
    """Return the context for another proposal for the same experiment."""
    written = {one.fingerprint for one in drafts}
    return replace(
        context,
        drafted=tuple(one.title for one in drafts),
        tried=lambda fingerprint: fingerprint in written or context.tried(fingerprint),
    )


def _as_choices(steps: Sequence[TraceStep]) -> tuple[TraceStep, ...]:
    """Return a reviewer's steps, with its answers marked as choices."""
    return tuple(replace(step, kind="choice") if step.kind == "answer" else step for step in steps)


def _refusals(review: Review, drafts: Sequence[Proposal]) -> list[TraceStep]:
    log = TraceLog()
    for number, draft in enumerate(drafts, 1):
        if draft is not review.chosen:
            log.refused("reviewer", f"Proposal {number}, {_named(draft)}, was not chosen.")
    return log.steps


def _named(proposal: Proposal) -> str:
    return f"`{one_line(proposal.title, MAX_TITLE)}`"
