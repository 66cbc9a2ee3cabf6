"""Measuring by hand: a source with some seeds, or two sources in fresh pairs until it is known.

Nothing is recorded; the node's own loop and its records are untouched.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from node.home.home import Home
from node.line.heads import the_line, tree_of
from node.line.kinds import ON_ONE_SPLIT
from node.line.session import Session, find_task, open_session
from node.line.splits import fresh_nonce
from node.line.trial import Reading
from node.running.books import random_seed
from node.settings.config import Config, config_of
from node.settings.sandboxing import require_sandbox
from node.store.blobs import Blobs
from node.store.store import Store
from node.terminal.progress import in_thread, reporting
from protocol.errors import Rejected, UsageError
from protocol.hygiene import check_for_task
from protocol.rule import Judgement, Policy, judge
from protocol.source import Source
from protocol.statistics import NoiseEstimate, PairedEvidence
from protocol.units import NANO
from trainer.cards.probing import probe_devices
from trainer.measuring.outcome import RunOutcome
from trainer.task_folder.task import Task

WORDS = ("baseline", "head", "working")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A paired test as far as it went; metrics as the task has them, gains positive if better."""

    base: bytes
    candidate: bytes
    pairs: tuple[tuple[int, float, float], ...]
    judgement: Judgement | None
    verdict: str
    reason: str
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
            return store.count_runs(self.task.id, *ON_ONE_SPLIT)


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
            progress("measuring what the baseline costs here", 1.0)
            await session.runner.calibrate(random_seed())
            yield session
        finally:
            await session.close()


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
    on_pair: Callable[[tuple[int, float, float], Judgement], None],
) -> Comparison:
    """Run fresh pairs on a secret split until the rule knows, at most `policy.max_pairs`.

    The split is drawn now and serves this comparison alone; `told_runs` is what
    `Workbench.told_runs` says.
    """
    split = session.split(fresh_nonce())
    manifest = session.task.manifest
    reading = Reading(
        sign=manifest.metric.sign,
        noise=NoiseEstimate.from_class(manifest.noise_floor_nano / NANO),
        policy=policy,
        minimum_gain=2 * session.runner.metric_tolerance,
        memorised=session.memorised(base, candidate, told_runs=told_runs),
    )
    pairs: list[tuple[int, float, float]] = []
    judgement: Judgement | None = None
    verdict, reason, runs = "", "", 0
    started_s = time.monotonic()
    while not verdict:
        seed = random_seed()
        order = [base, candidate] if random_seed() % 2 else [candidate, base]
        outcomes = dict(
            zip(
                (source.tree for source in order),
                await _pair(session, order, seed, split),
                strict=True,
            )
        )
        runs += 2
        for name, source in (("base", base), ("candidate", candidate)):
            if outcomes[source.tree].status != "ok":
                verdict = "unrunnable"
                reason = f"the {name} ended with {outcomes[source.tree].status}: "
                reason += str(outcomes[source.tree].reason)
        if verdict:
            break
        base_nano, candidate_nano = (outcomes[s.tree].secret_nano or 0 for s in (base, candidate))
        pairs.append((seed, base_nano / NANO, candidate_nano / NANO))
        judgement = _judge(pairs, reading)
        on_pair(pairs[-1], judgement)
        verdict = judgement.verdict or ""
    return Comparison(
        base=base.tree,
        candidate=candidate.tree,
        pairs=tuple(pairs),
        judgement=judgement,
        verdict=verdict,
        reason=reason,
        runs=runs,
        seconds=time.monotonic() - started_s,
    )


async def _pair(
    session: Session, order: Sequence[Source], seed: int, split: bytes
) -> list[RunOutcome]:
    trained = asyncio.Event()
    run = partial(session.runner.run, seed=seed, split=split)
    first = asyncio.create_task(run(order[0], on_trained=trained.set))
    try:
        await trained.wait()
        outcomes = [await first, await run(order[1])]
        for outcome in outcomes:
            if outcome.fault is not None:
                raise outcome.fault
        return outcomes
    finally:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


def _judge(pairs: Sequence[tuple[int, float, float]], reading: Reading) -> Judgement:
    evidence = PairedEvidence(
        noise=reading.noise,
        base=tuple(reading.sign * base for _, base, _ in pairs),
        candidate=tuple(reading.sign * candidate + reading.memorised for _, _, candidate in pairs),
    )
    return judge(evidence, reading.policy, minimum_gain=reading.minimum_gain)
