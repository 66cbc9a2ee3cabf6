"""The reviewing model: it chooses which of several proposals for one experiment is run.

It sees everything that proposers see, and the proposals in random order, so that the order favours
none. It returns a number and a reason and changes no proposal. Whether the patch is kept depends on
its runs as usual.
"""

import asyncio
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from agent.completion import ChatMessage, ModelCost
from agent.model.answers.answer import labelled, without_thoughts
from agent.model.asking import Asker
from agent.model.prompt import prompt_input, prompt_of
from agent.model.quoting import MAX_TITLE, MAX_WHY, diff_lines, one_line
from agent.model.sections import GAP, Prompt, PromptInput
from agent.proposal import Context, NoProposal, Proposal
from agent.visit.trace import TraceStep
from protocol.patches import unified_diff

_DIFF_LINES: Final = (120, 60, 30, 15)  # shown of each proposal: the first number that fits
_SHARE: Final = 3  # 1/3 of a prompt is for proposals

_CHOICE = re.compile(
    r"^[\s*_#>`\"'{-]{0,8}choice[*_`\"']{0,4}\s?[:=]?[\s*_`\"'(\[#]{0,8}"
    r"(?:(?:proposal|number|no\.?) ?#?)?(\d{1,3})\b(?P<rest>.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_BARE = re.compile(r"[\s*_#`\"'(\[]{0,8}(\d{1,3})[\s*_`\"')\].]{0,8}")
_ANOTHER = re.compile(r"[*_`]{0,3}(?:\.\d|\s{0,3}(?:,|/|&|-|–|\bor\b|\band\b)\s{0,3}[*_`#]{0,3}\d)")

_ROLE: Final = """\
You review proposals for an experiment: each changes its source, and one of them will be run. \
Their authors saw the text below. You have no tools and nobody to ask: change nothing, and give \
one answer in the format below."""

_PROPOSALS: Final = """\
# The proposals
Each is a change to the present source, in the words of the model that wrote it."""

_NOW: Final = """\
# Now
Choose the proposal that is most likely to gain enough to be kept. Rely on what was measured: \
choose none that repeats a failure in other words, cannot gain enough to be detected, or will \
crash. A title or a reason that sounds good is no evidence: read what each proposal changes. \
Their order is random."""

_ANSWER: Final = """\
# Your answer
In this format, and nothing after it:

CHOICE: the number of the proposal, 1 to {count}
WHY: why you chose it, in one or two sentences"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The proposal to run, the reviewer's reason, the cost of the review, and its steps."""

    chosen: Proposal
    why: str
    cost: ModelCost
    steps: tuple[TraceStep, ...] = field(default=(), repr=False, compare=False)


@dataclass(slots=True, eq=False, kw_only=True)
class ModelReviewer(Asker):
    """A client that asks a model which of several proposals to run."""

    async def review(self, context: Context, proposals: Sequence[Proposal]) -> Review | NoProposal:
        """Return the choice among these, or the reason there is none. Raises nothing."""
        shown = in_drawn_order(proposals, seed=context.seed)
        # The model that wrote the proposals saw its prompt's fence, so derive a new one from them.
        review_context = replace(context, drafted=tuple(one.title for one in shown))
        given = prompt_input(review_context, self.secret)
        if isinstance(given, NoProposal):
            return given
        prompt = await asyncio.to_thread(ReviewPrompt.of, given, shown)
        talk = self.conversation(prompt.within, given.fence)
        answer, cost = await self.answer(talk)
        steps = tuple(talk.log.steps)
        if isinstance(answer, NoProposal):
            return replace(answer, cost=cost, steps=steps)
        number = choice_in(answer.text, count=len(shown))
        if number is None:
            reason = f"{self.model} chose none of {len(shown)} proposals"
            return NoProposal(reason=reason, retry_s=0.0, cost=cost, steps=steps)
        return Review(chosen=shown[number - 1], why=why_in(answer.text), cost=cost, steps=steps)


def in_drawn_order(proposals: Sequence[Proposal], *, seed: int) -> tuple[Proposal, ...]:
    """Return the proposals in a random order that depends on the seed alone."""
    return tuple(random.Random(f"review/{seed}").sample(proposals, len(proposals)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewPrompt:
    """The prompt of a review. `forms` are the proposals at several lengths, the longest first."""

    prompt: Prompt
    forms: tuple[str, ...]
    closing: tuple[str, ...]

    @classmethod
    def of(cls, given: PromptInput, proposals: Sequence[Proposal]) -> "ReviewPrompt":
        """Return the prompt that asks for a choice among proposals, shown in the given order."""
        return cls(
            prompt=prompt_of(given, role=_ROLE, closing=()),
            forms=tuple(_proposals(given, proposals, lines) for lines in _DIFF_LINES),
            closing=(_NOW, _ANSWER.format(count=len(proposals))),
        )

    def within(self, limit_chars: int) -> tuple[ChatMessage, ...] | NoProposal:
        """Return the reviewer's prompt, at most `limit_chars` long, or the reason there is none.

        A long change is shown as its first lines and the number of further lines.
        """
        room = limit_chars // _SHARE
        shown = next((form for form in self.forms if len(form) <= room), self.forms[-1])
        after = (*self.prompt.after, GAP.join([_PROPOSALS, shown]), *self.closing)
        return replace(self.prompt, after=after).within(limit_chars)


def _proposals(given: PromptInput, proposals: Sequence[Proposal], most_lines: int) -> str:
    shown = []
    for number, proposal in enumerate(proposals, 1):
        diff = unified_diff(given.context.source, proposal.source)
        lines = [
            f"title: {one_line(proposal.title, MAX_TITLE)}",
            f"why: {one_line(proposal.why, MAX_WHY)}",
            *diff_lines(diff, most_lines),
        ]
        shown.append(given.fence.quote(f"proposal {number}", lines))
    return GAP.join(shown)


def choice_in(text: str, *, count: int) -> int | None:
    """Return the number, 1 to `count`, that an answer names; None if it names none or several."""
    said = without_thoughts(text)
    found = [None if _ANOTHER.match(one["rest"]) else int(one[1]) for one in _CHOICE.finditer(said)]
    if not found and (bare := _BARE.fullmatch(said.strip())):
        found = [int(bare[1])]
    named = set(found)
    number = found[0] if len(named) == 1 else None
    return number if number is not None and 1 <= number <= count else None


def why_in(text: str) -> str:
    """Return the reason in an answer, sanitized; "" if it gives none."""
    return labelled(text, "why") or ""
