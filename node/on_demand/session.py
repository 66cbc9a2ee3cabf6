"""A session for one command: as the node, or next to a running node without recording anything.

The module also opens the language models in the settings, which a task's programs may call.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from agent.hyperparameters.proposer import BuiltInSearch
from node.home.config import Config
from node.home.control_socket import is_running
from node.home.home import Home
from node.home.sandboxing import require_sandbox
from node.home.settings_in_force import config_of
from node.line.job_kinds import ON_ONE_SPLIT
from node.line.open_task import AUTO, Session, find_task, opened
from node.line.run_estimates import seconds_of_next_run
from node.line.splits import random_seed
from node.loop.session_plan import Goal
from node.proposing.asked import asks_of_nodes, lent_models
from node.proposing.choice import choose, lender
from node.proposing.opening import Proposers, take_means
from node.running.answers import answers_of
from node.running.node import Node, open_node
from node.running.served import run_node
from node.store.named_tasks import line_of_session, task_source
from node.store.store import Store
from node.terminal.interrupts import STOPPING
from node.terminal.progress import Progress, reporting
from node.terminal.terminal import say
from protocol.errors import UsageError
from protocol.manifest import TaskManifest
from trainer.cards.cards import chosen_cards, probe_devices
from trainer.measuring.models import KeptModels
from trainer.measuring.outcome import RunOutcome
from trainer.measuring.training import WAITS
from trainer.task_folder.task import Task

POLL_S: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSession:
    """The home, settings and task of a command, before its session is opened, which is slow."""

    home: Home
    config: Config
    task: Task

    def prior_runs(self) -> int:
        """Return the number of earlier runs that may have leaked facts about the user's text.

        These runs were compared on a secret split. The number is 0 for generated text, which is new
        each time, and for public text in shards.
        """
        if self.task.recipe.name != "text" or not self.home.store.exists():
            return 0
        with Store.open_read_only(self.home) as store:
            return store.jobs.count_runs(self.task.id, *ON_ONE_SPLIT)


def find_command_session(task: str | None, text: Path | None) -> CommandSession:
    """Return the home and task that the flags, the environment and the settings choose.

    If they name no task, it is the task of the current or last session.
    """
    home = Home.here()
    config = config_of(home, {"task": task, "text": text})
    require_sandbox(config)
    chosen_cards(config.gpus)
    home.prepare()
    config, found = task_meant(home, config, is_named=task is not None)
    return CommandSession(home=home, config=config, task=found)


def task_meant(home: Home, config: Config, *, is_named: bool) -> tuple[Config, Task]:
    """Return the settings with the task's name, and the task. `is_named`: a flag names it.

    Raises UsageError if there is no task of that name.
    """
    text = Path(config.text) if config.text and not is_named else None
    of_session = _task_of_session(home) if config.task == AUTO and text is None else None
    config = replace(config, task=of_session or config.task)
    with reporting() as progress:
        try:
            return config, find_task(home, name=config.task, text=text, progress=progress)
        except UsageError as fault:
            if of_session is None:
                raise
            raise UsageError(
                f"the last session worked on {of_session}, which is not found under that name",
                "name its folder with --task, or your training text with --text",
            ) from fault


def _task_of_session(home: Home) -> str | None:
    with Store.open_read_only(home) as store:
        line = line_of_session(store)
        return task_source(store, line.task) if line else None


@contextlib.asynccontextmanager
async def calibrated_session(
    command: CommandSession,
    takes: Callable[[float], str] | None = None,
    *,
    on_baseline: Callable[[RunOutcome], None] = lambda _outcome: None,
) -> AsyncIterator[Session]:
    """Open a session and run the baseline, whose cost determines resource limits and tolerances.

    `takes` returns a sentence about the remaining time, given the seconds of a run, and the
    sentence is printed on stderr. `on_baseline` is called with the baseline's run.
    """
    home, config, manifest = command.home, command.config, command.task.manifest
    devices = probe_devices(manifest, config.gpus)[:1]
    with reporting() as progress:
        async with (
            models_here(home, config, manifest, progress) as models,
            opened(
                home, config, command.task, progress, devices=devices, needs_all=True, models=models
            ) as session,
        ):
            session.runner.notify_waits(_say_wait)
            progress("measuring the cost of the baseline here", 1.0)
            outcome = await session.runner.calibrate(random_seed())
            on_baseline(outcome)
            if takes is not None:
                said = takes(seconds_of_next_run(outcome))
                print(f"  {said}", file=sys.stderr, flush=True)
            yield session


async def act_as_node(
    home: Home,
    config: Config,
    task: Task,
    hand_in: Callable[[Node], Callable[[], object]],
    *,
    runs_untrusted: bool = False,
    is_log_shown: bool = True,
) -> None:
    """Act as the node until the queued work is decided. The caller holds the home's lock.

    `hand_in` queues the work and returns a function that prints the progress and is called
    repeatedly. `runs_untrusted`: the work runs a peer's code. `is_log_shown`: the terminal shows
    the log, which also answers a Ctrl-C.
    """
    with reporting() as progress:
        async with (
            models_here(
                home, config, task.manifest, progress, runs_untrusted=runs_untrusted
            ) as models,
            open_node(
                home,
                config,
                task,
                Goal(is_on_demand=True),
                proposers=Proposers(fast=BuiltInSearch()),
                progress=progress,
                models=models,
            ) as node,
        ):
            show = hand_in(node)
            following = asyncio.create_task(_repeat(show))
            try:
                answered = (lambda: None) if is_log_shown else partial(say, STOPPING, err=True)
                await run_node(node, answers_of(node), on_interrupt=answered)
                show()
            finally:
                following.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await following


def follow(home: Home, show: Callable[[Store], bool]) -> bool:
    """Wait while a node runs until `show` returns True; return True if the node ended first.

    The node may still have finished the work just before it ended.
    """
    while True:
        is_there = is_running(home.socket)
        with Store.open_read_only(home) as store:
            if show(store):
                return False
        if not is_there:
            return True
        time.sleep(POLL_S)


async def _repeat(show: Callable[[], object]) -> None:
    while True:
        show()
        await asyncio.sleep(POLL_S)


def _say_wait() -> None:
    print(f"  {WAITS}", file=sys.stderr, flush=True)


@asynccontextmanager
async def models_here(
    home: Home,
    config: Config,
    manifest: TaskManifest,
    progress: Progress,
    *,
    runs_untrusted: bool = False,
) -> AsyncIterator[KeptModels | None]:
    """Yield the models that a task's programs may call; None if they need no model of the node.

    `runs_untrusted`: a peer's program may call them. API keys are removed from the environment
    before any process starts that inherits it. Raises ArnodeError as `lent_models` does.
    """
    if not asks_of_nodes(manifest):
        yield None
        return
    means = take_means(os.environ, config)
    choice = lender(choose(config, means.keys, means.environment).arms)
    async with lent_models(
        home, config, manifest, choice, means.keys, has_company=runs_untrusted, progress=progress
    ) as models:
        yield models
