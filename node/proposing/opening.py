"""The slow proposers of one task, which write patches while runs are made."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from agent.command import TITLE_FILE
from agent.hyperparameters.proposer import BuiltInSearch
from agent.model.planner import ModelPlanner
from agent.model.prompt import errand
from agent.model.proposer import ModelProposer
from agent.model.reviewed import ReviewedProposer
from agent.model.reviewer import ModelReviewer
from agent.plugin import PluggedProposer, ProposerPlugin
from agent.proposal import Context, NoProposal, NullProposer, Proposer, SlowProposer
from agent.source.capabilities import Check, Checked
from agent.worker.prices import FREE
from node.home.clock import clock_ms
from node.home.config import Config
from node.home.home import Home, program_file
from node.home.plugins import PROPOSERS, plugin
from node.proposing.budget import ModelCostBudget, limits_of, open_cost_database
from node.proposing.choice import NOBODY, SEARCH, Arm, ModelChoice, OwnChoice, ProgramChoice
from node.proposing.command import command_proposer
from node.proposing.keys import ApiKeys, take_keys
from node.proposing.presets import is_shown_files
from node.proposing.prompting import fence_secret, open_prompted
from node.proposing.redaction import Redaction
from node.proposing.roles import open_role, planner_of, reviewer_of
from node.proposing.traced import TracedProposer
from node.source_review.inspection import inspect
from node.terminal.progress import Progress
from protocol.errors import ConfigurationError
from protocol.hygiene import check_for_task
from protocol.manifest import TaskManifest
from protocol.source import Source
from trainer.task_folder.task import Task

_ERRAND_CHARS: Final = (64_000, 32_000)  # prompt lengths; the first whose bytes fit is used
_ARGUMENT_BYTES: Final = 128 * 1024 - 1  # limit of a command-line argument (execve(2))
_HOPELESS_S: Final = 3600.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The inputs for slow proposers: API keys, and the environment before they were removed."""

    keys: ApiKeys
    environment: Mapping[str, str]


def take_means(env: MutableMapping[str, str], config: Config) -> Means:
    """Remove the API keys from an environment, so that no child process inherits them."""
    found = dict(env)
    return Means(keys=take_keys(env, config.llm_key), environment=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedArm:
    """An arm and its opened slow proposer."""

    arm: Arm
    proposer: SlowProposer


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposers:
    """All proposers: the fast one, and the arms with slow ones, which write while runs are made.

    `has_hyperparameters`: the hyperparameter search is an arm itself, instead of only filling gaps.
    `planner` writes the aim for the slow proposers.
    """

    fast: Proposer
    slow: tuple[OpenedArm, ...] = ()
    has_hyperparameters: bool = False
    planner: ModelPlanner | None = None

    @property
    def names(self) -> str:
        """Their names, for people."""
        slow = [
            f"{one.proposer.name} with `{one.arm.text}`" if one.arm.text else one.proposer.name
            for one in self.slow
        ]
        return ", ".join([*slow, "search"] if self.has_hyperparameters else slow)


def fast_proposer(arms: Sequence[Arm]) -> Proposer:
    """Return the fast proposer: the hyperparameter search, or a null proposer for `none`."""
    return NullProposer() if [arm.choice for arm in arms] == [NOBODY] else BuiltInSearch()


def first_slow(arms: Sequence[Arm]) -> Arm:
    """Return the arm for a single proposal: the first slow arm, or else the first arm."""
    return next((arm for arm in arms if arm.choice not in (SEARCH, NOBODY)), arms[0])


def require_texts(home: Home, arms: Sequence[Arm], tasks: Iterable[str]) -> None:
    """Raise ConfigurationError if a file of instructions is missing for one of these tasks."""
    for task in tasks:
        for arm in arms:
            path = home.programs / program_file(task, arm.text)
            if arm.text and not path.is_file():
                raise ConfigurationError(
                    f"`agent` has {arm.name}, but there is no file {path}",
                    "write it, or remove the name after #",
                )


@asynccontextmanager
async def open_proposers(
    home: Home,
    config: Config,
    task: Task,
    arms: Sequence[Arm],
    means: Means,
    progress: Progress,
) -> AsyncIterator[Proposers]:
    """Yield all proposers for a task. Raises ArnodeError if one of them cannot work."""
    async with AsyncExitStack() as stack:
        reviewing = open_role("reviewer", home, config, task, arms, means.keys, progress)
        reviewer = reviewer_of(await stack.enter_async_context(reviewing))
        slow: list[OpenedArm] = []
        for arm in arms:
            opening = open_slow(home, config, task, arm, means, progress, reviewer=reviewer)
            if (proposer := await stack.enter_async_context(opening)) is not None:
                slow.append(OpenedArm(arm=arm, proposer=proposer))
        planning = open_role("planner", home, config, task, arms, means.keys, progress)
        planner = planner_of(await stack.enter_async_context(planning))
        yield Proposers(
            fast=fast_proposer(arms),
            slow=tuple(slow),
            has_hyperparameters=any(arm.choice == SEARCH for arm in arms),
            planner=planner,
        )


@asynccontextmanager
async def open_slow(
    home: Home,
    config: Config,
    task: Task,
    arm: Arm,
    means: Means,
    progress: Progress,
    *,
    reviewer: ModelReviewer | None,
) -> AsyncIterator[SlowProposer | None]:
    """Yield the slow proposer of an arm; None for the hyperparameter search or `none`.

    Its visits are stored as traces. `reviewer` chooses among a model's proposals for one slot.
    Raises ArnodeError if the arm cannot work with these settings.
    """
    config = arm.settings(config)
    opening = _open_untraced(home, config, task, arm, means, progress, reviewer=reviewer)
    async with opening as proposer:
        if proposer is None:
            yield None
            return
        named = (*config.agent_variables, *([config.llm_key] if config.llm_key else []))
        with open_cost_database(home) as database:
            yield TracedProposer(
                proposer,
                database,
                arm=arm.name,
                task=task.manifest.id,
                redaction=Redaction(means.environment, named=named, home=home.root),
            )


@asynccontextmanager
async def _open_untraced(
    home: Home,
    config: Config,
    task: Task,
    arm: Arm,
    means: Means,
    progress: Progress,
    *,
    reviewer: ModelReviewer | None,
) -> AsyncIterator[SlowProposer | None]:
    match choice := arm.choice:
        case OwnChoice() if choice in (SEARCH, NOBODY):
            yield None
        case OwnChoice(name=name):
            found = plugin(PROPOSERS, name, "proposer")
            made = found.called(found.load(ProposerPlugin).make)
            yield PluggedProposer(name, made, _check_for(task.manifest, task.source))
        case ModelChoice():
            opening = open_prompted(
                home, config, task, choice, means.keys, booked_as=arm.name, progress=progress
            )
            async with opening as model:
                proposer = ModelProposer(
                    model.complete,
                    model=model.name,
                    limits=model.limits,
                    check=_check_for(task.manifest, task.source),
                    secret=model.secret,
                )
                if reviewer is None:
                    yield proposer
                else:
                    yield ReviewedProposer(proposer, reviewer, say=_log.info)

        case ProgramChoice():
            secret = fence_secret(home)

            def prompt(context: Context) -> str | NoProposal:
                return _fitting(
                    errand(
                        context,
                        limit_chars=limit_chars,
                        secret=secret,
                        title_file=TITLE_FILE,
                        shows_source=is_shown_files(choice.name),
                    )
                    for limit_chars in _ERRAND_CHARS
                )

            with open_cost_database(home) as cost_database:
                budget = ModelCostBudget(
                    cost_database,
                    limits=limits_of(config),
                    model=arm.name,
                    price=FREE,
                    clock_ms=clock_ms,
                )
                yield command_proposer(
                    choice.name,
                    config,
                    home,
                    env=means.environment,
                    prompt=prompt,
                    check=_check_for(task.manifest, task.source),
                    budget=budget,
                )


def _check_for(manifest: TaskManifest, baseline: Source) -> Check:
    """Return the check whether an untrusted source may be run for a task.

    The check applies the task's rules for sources, then parses the source in a child process
    (`node.source_review.inspection`). A source is untrusted because peers' patches in a prompt may
    have influenced its model.
    """

    async def check(source: Source) -> Checked:
        fault = check_for_task(source, manifest, baseline=baseline)
        if fault is not None:
            return Checked(fingerprint=None, fault=fault.reason)
        found = await asyncio.to_thread(inspect, source, kind=manifest.kind, baseline=baseline)
        if found.fingerprint is None:  # the child failed, so no line of the source can be named
            return Checked(fingerprint=None, fault=found.marks[0].text)
        # Sources of the node's own proposers may run in a language without a linter.
        read = tuple(mark for mark in found.marks if mark.what != "unread")
        return Checked(fingerprint=found.fingerprint, marks=read)

    return check


def _fitting(prompts: Iterable[str | NoProposal]) -> str | NoProposal:
    """Return the first of `prompts`, longest first, that fits into a command-line argument."""
    size = 0
    for prompt in prompts:
        if isinstance(prompt, NoProposal):
            return prompt
        size = len(prompt.encode("utf-8", "replace"))
        if size <= _ARGUMENT_BYTES:
            return prompt
    return NoProposal(
        reason=f"the prompt with the files has {size} bytes, but a command-line argument may have"
        f" at most {_ARGUMENT_BYTES}",
        retry_s=_HOPELESS_S,
    )
