"""The program `arnode start`: set up logging, open the node, display it and run it."""

import asyncio
import contextlib
import logging
import os
import random
import shutil
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from node.home.clock import boottime_s
from node.home.config import Config
from node.home.consent import (
    Offline,
    TaskOf,
    Wishes,
    network_terms,
    plan_network,
)
from node.home.faults import explaining_faults
from node.home.home import Home
from node.home.keyfile import keep_to_oneself, load_keys
from node.home.network_definition import Network
from node.home.sandboxing import require_sandbox
from node.home.settings_in_force import config_of
from node.ladder.time_share import FIRST, Effort
from node.line.open_task import STAND_IN, find_task, load_named, require_known
from node.line.run_estimates import run_seconds
from node.loop.research import Research
from node.loop.session_plan import Goal
from node.peering.book_file import book_path, read_book
from node.proposing.asked import lent_models
from node.proposing.choice import AUTO, Arm, choose, lender
from node.proposing.cost_limits import cost_limits
from node.proposing.opening import Means, open_proposers, require_texts, take_means
from node.reporting.status import line_document
from node.reporting.status_text import parting_words
from node.running.alert_watching import watching
from node.running.alerts import Alerts, open_alerts
from node.running.card_selftest import StoppedError, passes_selftest
from node.running.first_card import UntestedCard, task_here
from node.running.lanes import are_elsewhere
from node.running.log_file import logging_to
from node.running.node import open_node
from node.running.page import PagePlace, page_place, with_page
from node.running.power import limiting_power
from node.running.served import run_node, run_watched
from node.running.stand_in import Preparation, awaited_download, preparing, require_use
from node.running.turns import TURN_S, TimeShare, Turn, Turns, for_a_turn, run_in_turn, rungs_of
from node.store.named_tasks import line_of_session
from node.store.store import Store
from node.terminal.progress import reporting
from node.terminal.terminal import ask_at_terminal, say
from protocol.codecs import plain
from protocol.errors import ConfigurationError, UsageError
from trainer.cards.cards import chosen_cards, idle_cards
from trainer.host.system_packages import install_hint
from trainer.sandbox.tier import probe_tier
from trainer.task_folder.folder import builtin_tasks
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

_log = logging.getLogger("node")


def start_node(
    home: Home,
    config: Config,
    goal: Goal,
    wishes: Wishes,
    *,
    shares: Sequence[TimeShare] = (),
    turn_s: float | None = None,
) -> None:
    """Run the node in this process until it ends. Raises ArnodeError if it cannot start.

    `wishes` are the network options of the command line. `shares` are tasks that take turns,
    instead of the task in the settings. In each round, a task gets `turn_s` seconds (None: the
    default) for each of its parts.
    """
    keep_to_oneself()
    again = "the same command" if shares else _again(home, config)
    means = take_means(os.environ, config)  # before starting a process that would inherit keys
    require_sandbox(config)
    are_elsewhere(config)  # report unusable settings before any data loads
    chosen_cards(config.gpus)  # report missing cards before any data loads
    if not config.text:
        for name in [share.task for share in shares] or [config.task]:
            require_known(home, name)  # report a misspelled task before the home is made
    with (
        at_work(home, config, to_terminal=not sys.stdout.isatty()),
        open_alerts(home, config) as alerts,
        page_place(home, config) as page,
    ):
        chosen = choose(config, means.keys, means.environment)
        if config.agent == AUTO:
            say(plain(chosen.reason), err=True)
        for text_of_limit in cost_limits(home, config, chosen.arms, means):
            say(plain(text_of_limit), err=True)
        start = _Start(
            home=home,
            config=config,
            goal=goal,
            arms=chosen.arms,
            means=means,
            alerts=alerts,
            page=page,
        )
        text = Path(config.text) if config.text else None
        if shares or (config.ladder and text is None):
            turns = _shared(start, shares, turn_s or TURN_S) if shares else _ladder(start, turn_s)
            running = _start_in_turn(start, turns, wishes)
            with contextlib.suppress(StoppedError):
                asyncio.run(running)
            _print_state(home, again)
            return
        if text is None:
            here = task_here(home, config)
            config = replace(config, task=here.task)
            start = replace(start, config=config, untested_card=here.untested_card)
        download = awaited_download(home, config.task) if text is None else None
        if download is not None:
            require_texts(home, start.arms, [Path(config.task).name])
            if start.untested_card is None:  # otherwise the card reports it, and `tiny` runs
                require_use(download, config)
            whose = TaskOf.EVERYBODY if config.task in builtin_tasks() else TaskOf.THIS_MACHINE
            network = agreed_network(home, config, wishes, whose)
            running = _run_awaited(replace(start, network=network))
        else:
            with reporting() as progress:
                task = find_task(home, name=config.task, text=text, progress=progress)
            if idle := idle_cards(task.manifest):
                say(plain(idle), err=True)
            require_texts(home, start.arms, [task.name])
            whose = TaskOf.of(task, data_dir=home.data)
            network = agreed_network(home, config, wishes, whose)
            running = _run_at_once(replace(start, network=network), task)
        with contextlib.suppress(StoppedError):
            asyncio.run(running)
    _print_state(home, again)


def _print_state(home: Home, again: str) -> None:
    with Store.open_read_only(home) as store:
        key = line_of_session(store)
        line = store.jobs.line(key) if key else None
        words = parting_words(line_document(store, line) if line else None, again)
    say(words, err=True, hang=0)


def _again(home: Home, config: Config) -> str:
    """Return the command that resumes a session's task."""
    usual = config_of(home)
    if config.text != usual.text:
        return f"arnode start --text {config.text}"
    return "arnode start" if config.task == usual.task else f"arnode start --task {config.task}"


@contextlib.contextmanager
def at_work(home: Home, config: Config, *, to_terminal: bool) -> Iterator[None]:
    """Lock the home, open its log and limit the cards' power for a node in this process."""
    if shutil.which("git") is None:
        raise ConfigurationError(
            "git is not installed, so no journal can be kept",
            install_hint("git"),
        )
    with (
        explaining_faults(home.root),  # explains a full disk wherever the error occurs first
        home.lock(),
        logging_to(home, to_terminal=to_terminal),
        limiting_power(home, config.max_watts),
    ):
        yield


def agreed_network(home: Home, config: Config, wishes: Wishes, whose: TaskOf) -> Network | None:
    """Return the network to join if the user agrees; otherwise log and print the reason.

    Raises what `plan_network` raises.
    """
    book = read_book(book_path(home, config.net), clock=time.time, chance=random.Random())
    terms = network_terms(load_keys(home).author.public, probe_tier(), config)
    plan = plan_network(
        home,
        config,
        wishes,
        terms=terms,
        task=whose,
        has_met=bool(book.entries),
        ask=ask_at_terminal if sys.stdin.isatty() and sys.stderr.isatty() else None,
    )
    if isinstance(plan, Offline):
        _log.info("%s", plan.reason)
        if sys.stdout.isatty():  # otherwise the log goes only to its file
            say(plain(plan.reason), err=True)
        return None
    ways = {"the DHT": plan.dht, "signed lists": plan.lists}
    others = " and ".join(way for way, is_there in ways.items() if is_there)
    _log.info(
        "network %s, %d addresses to start from%s",
        *(plan.name, len(plan.bootstrap), others and f", more from {others}"),
    )
    return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """The arguments of a start that are the same for every task."""

    home: Home
    config: Config
    goal: Goal
    arms: tuple[Arm, ...]
    means: Means
    network: Network | None = None
    untested_card: UntestedCard | None = None
    alerts: Alerts | None = None
    page: PagePlace | None = None


async def _run_at_once(start: _Start, task: Task) -> None:
    """Run a task whose data are here; run the stand-in if its card fails the self-test."""
    if start.untested_card is not None and not await passes_selftest(
        start.home, start.config, start.untested_card
    ):
        task = load_task(STAND_IN, data_dir=start.home.data)
        start = replace(start, config=replace(start.config, task=STAND_IN))
    await _run(start, task)


async def _run_awaited(start: _Start) -> None:
    """Run the stand-in until the task's data are here, then the task; both share one goal."""
    began_s, home, goal = boottime_s(), start.home, start.goal
    meanwhile = replace(
        start,
        config=replace(start.config, task=STAND_IN),
        goal=replace(goal, max_experiments=None),
    )
    task = load_task(STAND_IN, data_dir=home.data)
    async with preparing(home, start.config.task) as preparation:
        untested_card = start.untested_card
        has_passed = untested_card is None or await passes_selftest(
            home, start.config, untested_card
        )
        research = None
        if has_passed and not preparation.is_done:
            research = await _run(meanwhile, task, preparation=preparation)
    if not has_passed:  # nothing more is downloaded
        await _run(replace(meanwhile, goal=goal), task)
        return
    if research is not None and not research.has_given_way:
        return
    if goal.duration_s is not None:
        goal = replace(goal, duration_s=max(0.0, goal.duration_s - boottime_s() + began_s))
    task = load_named(home, start.config.task)
    await _run(replace(start, goal=goal), task, before=research)


def _shared(start: _Start, shares: Sequence[TimeShare], turn_s: float) -> Turns:
    """Return the turns of several tasks. The data of all of them must already be here."""
    tasks = [_task_that_waits_for_nothing(start, share.task) for share in shares]
    return Turns.of_shares(tasks, shares, turn_s)


def _ladder(start: _Start, turn_s: float | None) -> Turns:
    """Return the turns of a task and the rungs below it."""
    home, config = start.home, start.config
    name = task_here(home, config).task
    task = _task_that_waits_for_nothing(start, name)

    rungs = rungs_of(task, name, config.ladder or 0, home.data)
    effort = Effort(task=task.id, rungs=[one.id for _, one in rungs[:-1]])

    def share_below(took_s: float | None) -> float:
        with Store.open_read_only(home) as store:
            effort.read_on(store)
        return FIRST if took_s is None else effort.share_below(1000 * took_s)

    def run_s() -> float | None:
        with Store.open_read_only(home) as store:
            lines = [line.key for line in store.jobs.lines() if line.task == task.id]
            took_s = [took_s for line in lines if (took_s := run_seconds(store, line)) is not None]
        return max(took_s, default=None)

    return Turns.of_ladder(
        rungs, run_s=run_s, turn_s=turn_s, share_below=share_below, kept_ms=effort.kept_ms.get
    )


def _task_that_waits_for_nothing(start: _Start, name: str) -> Task:
    if awaited_download(start.home, name) is not None:
        raise UsageError(
            f"the data of task {name} are not here, and tasks in turns do not wait for data",
            f"fetch them first: arnode task prepare {name}",
        )
    with reporting() as progress:
        return find_task(start.home, name=name, text=None, progress=progress)


def _start_in_turn(start: _Start, turns: Turns, wishes: Wishes) -> Coroutine[None, None, None]:
    """Ask the user about the network, and return the coroutine that runs tasks in turns."""
    require_texts(start.home, start.arms, [task.name for task in turns.tasks])
    owners = [TaskOf.of(task, data_dir=start.home.data) for task in turns.tasks]
    whose = max(owners, key=list(TaskOf).index)  # the most private task decides for all
    network = agreed_network(start.home, start.config, wishes, whose)
    agreed = replace(start, network=network)

    async def run(
        task: Task, name: str, goal: Goal, before: Research | None, turn: Turn | None
    ) -> Research:
        own = replace(agreed, config=replace(agreed.config, task=name), goal=goal)
        return await _run(own, task, before=before, turn=turn)

    return run_in_turn(turns, start.goal, run, _print_message)


def _print_message(message: str) -> None:
    _log.warning("%s", message)
    if sys.stdout.isatty():  # otherwise the log goes only to its file
        say(plain(message), err=True)


async def _run(
    start: _Start,
    task: Task,
    *,
    preparation: Preparation | None = None,
    before: Research | None = None,
    turn: Turn | None = None,
) -> Research:
    """Run a node until it ends by itself, its turn is over, or the task in preparation is ready.

    `turn` limits the time of the task, and names the task that follows.
    """
    home, config = start.home, start.config
    with reporting() as progress:
        async with contextlib.AsyncExitStack() as stack:
            proposers = await stack.enter_async_context(
                open_proposers(home, config, task, start.arms, start.means, progress)
            )
            models = await stack.enter_async_context(
                lent_models(
                    home,
                    config,
                    task.manifest,
                    lender(start.arms),
                    start.means.keys,
                    has_company=start.network is not None,
                    progress=progress,
                )
            )
            node = await stack.enter_async_context(
                open_node(
                    home,
                    config,
                    task,
                    start.goal,
                    proposers=proposers,
                    progress=progress,
                    network=start.network,
                    models=models,
                )
            )
            _log.info(
                "task %s on %s, home %s", task.name, node.session.subject.hardware_class, home.root
            )
            author = node.line_resources.keys.author.public
            await stack.enter_async_context(
                watching(
                    start.alerts, node.line_resources.store, author, net=config.net, place=home.root
                )
            )
            if proposers.slow:
                propose = "proposes" if len(start.arms) == 1 else "propose"
                _log.info("%s %s; the search fills the gaps", proposers.names, propose)
            if preparation is not None:
                await stack.enter_async_context(preparation.reporting_to(node.research))
            if before is not None:
                node.research.pause_as(before)
            if turn is not None:
                await stack.enter_async_context(for_a_turn(node.research, turn))
            answers = await stack.enter_async_context(
                with_page(node, start.page, is_shown=before is None)
            )
            if sys.stdout.isatty():
                await run_watched(node, answers)
            else:
                await run_node(node, answers)
            return node.research
