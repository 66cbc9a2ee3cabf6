"""The planning model: it reads what proposers read, and writes what they should aim at.

It proposes nothing and decides nothing. Its text is quoted in later prompts, after the owner's. It
is sanitized and cut like everything that a model writes.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from agent.completion import ModelCost
from agent.model.answers.answer import labelled, tidied, without_thoughts
from agent.model.asking import NOTHING_USABLE_S, Asker
from agent.model.prompt import prompt_input, prompt_of
from agent.model.quoting import MAX_WHY, one_line
from agent.model.sections import Prompt, PromptInput
from agent.proposal import Context, NoProposal

MAX_AIM: Final = MAX_WHY  # characters, as for any reason

_ROLE: Final = """\
You plan how the source of an experiment is improved. Others propose one change at a time, told \
what follows here and what you aim for, and a program applies and measures it. You have no tools \
and nobody to ask: you write no code, and give one answer in the format below."""

_LAST: Final = """\
# Your last aim
Look at what came of it since: it may stand, be made sharper, or give way to another."""

_PLATEAU: Final = " Nothing small has helped for a while: a bold step is wanted."

_NOW: Final = """\
# Now
Write what those who propose are to aim at in their next {experiments} experiments: which \
direction is the most promising and why, what of it to try first, and what to leave alone. Go by \
what was measured, and by the owner's words above all.{plateau} Name a direction and no one \
change to be copied: each of those who propose looks for its own."""

_ANSWER: Final = """\
# Your answer
In this format, and nothing after it:

AIM: what to aim at, in plain sentences, at most {chars} characters in all"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A planner's text, sanitized, and its cost."""

    text: str
    cost: ModelCost


@dataclass(slots=True, eq=False, kw_only=True)
class ModelPlanner(Asker):
    """A client that asks a model for the aim of the next `experiments` experiments."""

    experiments: int

    async def plan(self, context: Context) -> Planned | NoProposal:
        """Return the aim, or the reason there is none. Raises nothing."""
        given = prompt_input(replace(context, crash=None), self.secret)
        if isinstance(given, NoProposal):
            return given
        prompt = await asyncio.to_thread(planning_prompt, given, experiments=self.experiments)
        talk = self.conversation(prompt.within, given.fence)
        answer, cost = await self.answer(talk)
        if isinstance(answer, NoProposal):
            return replace(answer, cost=cost)
        if text := aim_in(answer.text):
            return Planned(text=text, cost=cost)
        return NoProposal(reason=f"{self.model} named no aim", retry_s=NOTHING_USABLE_S, cost=cost)


def planning_prompt(given: PromptInput, *, experiments: int) -> Prompt:
    """Return the prompt of a planner, which shows its last aim in a section of its own."""
    last = given.brief.planner_aim
    shown = "\n".join([_LAST, given.fence.quote("the aim", [one_line(last, MAX_AIM)])])
    plateau = "" if given.context.aim == "improve" else _PLATEAU
    closing = [
        *([shown] if last else []),
        _NOW.format(experiments=experiments, plateau=plateau),
        _ANSWER.format(chars=MAX_AIM),
    ]
    others = replace(given, brief=replace(given.brief, planner_aim=""))
    return prompt_of(others, role=_ROLE, closing=closing)


def aim_in(text: str) -> str:
    """Return the aim in an answer: the text after its last label, "" if there is none.

    An answer without a label is the aim itself.
    """
    aim = labelled(text, "aim")
    return tidied(without_thoughts(text)) if aim is None else aim
