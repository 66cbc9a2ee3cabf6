"""The planning model: it reads what proposers read, and writes an aim for them.

It proposes and decides nothing. Later prompts quote its aim after the owner's text, sanitized and
shortened like all text by models.
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
You plan how the source of an experiment is improved. Other models propose one change at a time; \
they see the text below and your aim. A program applies and measures each change. You have no \
tools and nobody to ask: write no code, and give one answer in the format below."""

_LAST: Final = """\
# Your last aim
Look at the results since then: repeat it, make it more specific, or replace it."""

_PLATEAU: Final = " No small change has helped for a while: choose a bold step."

_NOW: Final = """\
# Now
Write an aim for the next {experiments} experiments: which direction is the most promising and \
why, what to try first, and what to leave alone. Rely on what was measured, and above all on the \
owner's words.{plateau} Name a direction, not one change to copy: each proposing model looks for a \
change itself."""

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
        return NoProposal(reason=f"{self.model} gave no aim", retry_s=NOTHING_USABLE_S, cost=cost)


def planning_prompt(given: PromptInput, *, experiments: int) -> Prompt:
    """Return the prompt of a planner, which includes its last aim."""
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
    """Return the aim in an answer: the text after its last label, or the whole answer."""
    aim = labelled(text, "aim")
    return tidied(without_thoughts(text)) if aim is None else aim
