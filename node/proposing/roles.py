"""The models in the roles of planner and reviewer, which do not propose patches themselves.

A role is only used if a proposer needs it: a planner writes aims for models and coding agents, a
reviewer reviews proposals of models. Each role has its own litellm process, and its questions are
recorded under the role's name.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal, TypeAlias

from agent.model.planner import ModelPlanner
from agent.model.reviewer import ModelReviewer
from node.home.config import Config
from node.home.home import Home
from node.proposing.choice import Arm, ModelChoice, OwnChoice, model_named
from node.proposing.keys import ApiKeys
from node.proposing.prompting import PromptedModel, open_prompted
from node.terminal.progress import Progress
from trainer.task_folder.task import Task

Role: TypeAlias = Literal["planner", "reviewer"]

PLANNED_EXPERIMENTS: Final = 12
"""The number of experiments for one aim. Even in a good direction only about one patch in fourteen
is kept, so fewer experiments show little. A night has a few hundred experiments, so with many more
for one aim, the aim would seldom change."""

_IDLE: Final[dict[Role, str]] = {
    "planner": "no proposer would read its text",
    "reviewer": "no language model proposes",
}


def roles_at_work(config: Config, arms: Sequence[Arm]) -> dict[Role, ModelChoice]:
    """Return the model of each role, in the order of the settings; leave out idle roles."""
    has_model = any(isinstance(arm.choice, ModelChoice) for arm in arms)
    has_reader = any(not isinstance(arm.choice, OwnChoice) for arm in arms)
    named: dict[Role, str | None] = {
        "planner": config.planner if has_reader else None,
        "reviewer": config.reviewer if has_model else None,
    }
    return {role: model_named(name, config.llm_url) for role, name in named.items() if name}


def words_of_roles(config: Config, arms: Sequence[Arm]) -> list[str]:
    """Return sentences about the cost limit of each role, or why a role is not used."""
    at_work = roles_at_work(config, arms)
    limit = f"a day may cost {config.usd_per_day:g} USD (`usd_per_day`)"
    words = [f"{role} {choice.name}: {limit}" for role, choice in at_work.items()]
    named: dict[Role, str | None] = {"planner": config.planner, "reviewer": config.reviewer}
    idle = [role for role, name in named.items() if name and role not in at_work]
    return [*words, *(f"{role} {named[role]} is not asked: {_IDLE[role]}" for role in idle)]


@asynccontextmanager
async def open_role(
    role: Role,
    home: Home,
    config: Config,
    task: Task,
    arms: Sequence[Arm],
    keys: ApiKeys,
    progress: Progress,
) -> AsyncIterator[PromptedModel | None]:
    """Yield the model of a role for these proposers; None if the role is not used.

    Raises ArnodeError if the model cannot answer with these settings.
    """
    choice = roles_at_work(config, arms).get(role)
    if choice is None:
        yield None
        return
    opening = open_prompted(home, config, task, choice, keys, booked_as=role, progress=progress)
    async with opening as model:
        yield model


def planner_of(model: PromptedModel | None) -> ModelPlanner | None:
    """Return a planner that uses a model; None without a model."""
    if model is None:
        return None
    return ModelPlanner(
        model.complete,
        model=model.name,
        limits=model.limits,
        experiments=PLANNED_EXPERIMENTS,
        secret=model.secret,
    )


def reviewer_of(model: PromptedModel | None) -> ModelReviewer | None:
    """Return a reviewer that uses a model; None without a model."""
    if model is None:
        return None
    return ModelReviewer(model.complete, model=model.name, limits=model.limits, secret=model.secret)
