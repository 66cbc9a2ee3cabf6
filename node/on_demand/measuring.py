"""Measuring by hand: a source with some seeds, or two sources in fresh pairs until it is known.

Nothing is recorded; the node's own loop and its records are untouched.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from node.home.home import Home
from node.line.heads import the_line, tree_of
from node.line.kinds import ON_ONE_SPLIT
from node.line.session import Session, find_task, open_session
from node.line.splits import fresh_nonce
from node.line.trial import Confirmation, Pair
from node.on_demand.pairs import weigh
from node.running.books import random_seed
from node.settings.config import Config, config_of
from node.settings.sandboxing import require_sandbox
from node.store.blobs import Blobs
from node.store.store import Store
from node.terminal.progress import in_thread, reporting
from protocol.errors import Rejected, UsageError
from protocol.hygiene import check_for_task
from protocol.rule import Judgement, Policy
from protocol.runs import Role, Run
from protocol.source import Source
from trainer.cards.probing import probe_devices
from trainer.measuring.outcome import RunOutcome
from trainer.measuring.training import WAITS
from trainer.task_folder.task import Task

WORDS = ("baseline", "head", "working")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a trial of two sources ended, after so many runs and seconds.

    `judged` are the figures of its whole pairs, also if it ended without a verdict.
    """

    confirmation: Confirmation
    judged: Judgement | None
    runs: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """What a command measures with before the slow part, the session, is opened."""

    home: Home
    config: Config
    task: Task

    def told_runs(self) -> int:
        """How many runs could have told of own text: those on splits that counted.

        Generated text is new each time, and what shards hold anybody may know.
        """
        if self.task.recipe.name != "text" or not self.home.store.exists():
            return 0
        with Store.open_read_only(self.home) as store:
            return store.jobs.count_runs(self.task.id, *ON_ONE_SPLIT)


def find_workbench(task: str | None, text: Path | None) -> Workbench:
    """Return the home and task that the flags, the environment and the settings mean."""
    home = Home.here()
    config = config_of(home, {"task": task, "text": text})
    require_sandbox(config)
    wanted = Path(config.text) if config.text and task is None else None
    home.prepare()
    with reporting() as progress:
        found = find_task(home, name=config.task, text=wanted, progress=progress)
    return Workbench(home=home, config=config, task=found)


@contextlib.asynccontextmanager
async def calibrated_session(bench: Workbench) -> AsyncIterator[Session]:
    """Open a session and measure what the baseline costs, which ceilings and tolerances follow."""
    with reporting() as progress:
        opening = partial(
            open_session,
            bench.home,
            bench.task,
            devices=probe_devices(bench.task.manifest, bench.config.gpus)[:1],
            data_url=bench.config.data_url,
        )
        session = await in_thread(opening, progress)
        try:
            await in_thread(session.data.load_rest, progress)
            await session.open()
            session.runner.tell_waits(_say_wait)
            progress("measuring what the baseline costs here", 1.0)
            await session.runner.calibrate(random_seed())
            yield session
        finally:
            await session.close()


def _say_wait() -> None:
    print(f"  {WAITS}", file=sys.stderr, flush=True)


def find_source(home: Home, task: Task, wanted: str) -> Source:
    """Return the source that a file, `baseline`, `head`, `working`, a tree or an id means."""
    if wanted == "baseline":
        return task.source
    path = Path(wanted)
    if path.is_file():
        source = task.source.replacing(task.editable[0], path.read_bytes())
        fault = check_for_task(source, task.manifest, baseline=task.source)
        if isinstance(fault, Rejected):
            raise UsageError(f"{wanted} cannot be measured: {fault.reason}", "mend the file")
        return source
    if "/" in wanted or wanted.endswith(".py"):
        raise UsageError(f"there is no file {wanted}", "give a file, a tree or an id")
    with Store.open_read_only(home) as store:
        line = the_line(store, task.name)
        if wanted in WORDS:
            tree = line.verified if wanted == "head" else line.working
        else:
            tree = tree_of(store, line, wanted)
    return Blobs(home.blobs).get_source(tree)


async def measure(
    session: Session,
    runs: Iterable[tuple[Source, int]],
    *,
    on_run: Callable[[Source, RunOutcome], None],
    nonce: bytes | None = None,
) -> list[RunOutcome]:
    """Run sources with seeds, in turn; training of one overlaps the scoring of the one before.

    `runs` is asked for the next when that may begin, `on_run` is told as soon as one has ended;
    `nonce` names the secret split that all of them share (default: a new one).
    """
    split = session.split(fresh_nonce() if nonce is None else nonce)
    tasks: list[asyncio.Task[RunOutcome]] = []

    async def run_one(source: Source, seed: int, trained: asyncio.Event) -> RunOutcome:
        try:
            outcome = await session.runner.run(source, seed, split=split, on_trained=trained.set)
        finally:
            trained.set()
        on_run(source, outcome)
        if outcome.fault is not None:
            raise outcome.fault
        return outcome

    try:
        for source, seed in runs:
            trained = asyncio.Event()
            tasks.append(asyncio.create_task(run_one(source, seed, trained)))
            await trained.wait()
            for task in tasks:
                if task.done():
                    task.result()  # nothing more is begun once one has failed
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def compare(
    session: Session,
    base: Source,
    candidate: Source,
    *,
    policy: Policy,
    told_runs: int,
    on_pair: Callable[[Pair, Judgement], None],
) -> Comparison:
    """Put a source on trial against another until the rule knows, within `policy.max_pairs`.

    The secret split is drawn now and serves this trial alone; `told_runs` is what
    `Workbench.told_runs` says. `on_pair` is told each pair with what all pairs so far show.
    """
    nonce, started_s = fresh_nonce(), time.monotonic()
    memorised = session.memorised(base, candidate, told_runs=told_runs)
    runs: list[tuple[bytes, Run]] = []
    judged: Judgement | None = None

    def keep(source: Source, outcome: RunOutcome) -> None:
        role: Role = "base" if source.tree == base.tree else "candidate"
        runs.append((source.tree, outcome.to_run(role)))

    while True:
        confirmation = weigh(
            runs,
            session.task.manifest,
            policy,
            tolerance=session.runner.metric_tolerance,
            memorised=memorised,
        )
        if confirmation.latest is not None:
            judged = confirmation.latest
            on_pair(confirmation.pairs[-1], judged)
        if confirmation.move == "pair":
            seed = random_seed()
            order = [base, candidate] if random_seed() % 2 else [candidate, base]
        elif confirmation.unfinished is not None:
            seed, order = confirmation.unfinished, [base]
        else:
            break
        for source in order:  # one after the other: they are to have the same machine
            await measure(session, [(source, seed)], on_run=keep, nonce=nonce)
    return Comparison(
        confirmation=confirmation,
        judged=judged,
        runs=len(runs),
        seconds=time.monotonic() - started_s,
    )
