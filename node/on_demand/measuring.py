"""Measurements for a command: a source with some seeds, or pairs of two sources until a verdict.

Nothing is recorded, and the research loop does not change.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from node.home.home import Home
from node.home.next_start import unless_running
from node.line.head_by_hand import the_line, tree_of
from node.line.noise import floor_sd
from node.line.open_task import Session
from node.line.splits import fresh_nonce, random_seed
from node.line.trial import Confirmation, MetricReading, Pair, next_of_confirmation
from node.store.blobs import Blobs
from node.store.jobs import PlannedRun, StoredOutcome
from node.store.records import ID_PREFIX
from node.store.store import Store
from node.terminal.durations import slept_words
from protocol.errors import Rejected, UsageError
from protocol.hygiene import check_for_task
from protocol.manifest import TaskManifest
from protocol.rule import MIN_PAIRS, Claim, Judgement, Policy
from protocol.runs import Role, Run
from protocol.source import Source
from protocol.statistics import NoiseEstimate
from protocol.styles import Style
from protocol.units import from_nano
from trainer.host.power_state import Steady
from trainer.measuring.outcome import RunOutcome
from trainer.task_folder.task import Task

WORDS = ("baseline", "head", "working")
_BAR_WIDTH = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The result of comparing two sources, with its runs and seconds.

    `judged` has the figures of the complete pairs, even without a verdict.
    """

    confirmation: Confirmation
    judged: Judgement | None
    runs: int
    seconds: float


def find_source(home: Home, task: Task, wanted: str) -> Source:
    """Return the source that a file, `baseline`, `head`, `working`, a tree or an id names."""
    if wanted == "baseline":
        return task.source
    path = Path(wanted)
    if path.is_file():
        source = task.source.replacing(task.editable[0], path.read_bytes())
        fault = check_for_task(source, task.manifest, baseline=task.source)
        if isinstance(fault, Rejected):
            raise UsageError(f"{wanted} cannot be measured: {fault.reason}", "fix the file")
        return source
    if wanted not in WORDS and not ID_PREFIX.fullmatch(wanted):
        raise UsageError(
            f"`{wanted}` is neither a file here nor an id",
            "name a file, the id of a tree or record, `baseline`, `head` or `working`",
        )
    with Store.open_read_only(home) as store:
        if task.id not in {line.task for line in store.jobs.lines()}:
            raise UsageError(
                f"nothing has been measured on task {task.name} here yet",
                unless_running("`arnode start` works on it")
                + "; `baseline` and files need no node",
            )
        line = the_line(store, task.id.hex())
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
    """Run sources with seeds, one by one. A run trains while the previous run is scored.

    The next item of `runs` is requested when its run may start. `on_run` is called when a run has
    ended. `nonce` selects the secret split of all runs (default: a new one).
    """
    split = session.split(fresh_nonce() if nonce is None else nonce)
    tasks: list[asyncio.Task[RunOutcome]] = []

    async def run_one(source: Source, seed: int, trained: asyncio.Event) -> RunOutcome:
        try:
            outcome = await _awake(
                lambda: session.runner.run(source, seed, split=split, on_trained=trained.set)
            )
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
                    task.result()  # start nothing more once a run has failed
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _awake(run: Callable[[], Awaitable[RunOutcome]]) -> RunOutcome:
    """Make a run, and repeat it if the machine was suspended during it."""
    while True:
        steady = Steady()
        outcome = await run()
        if not (slept_s := steady.slept_s):  # otherwise drop the outcome and repeat
            return outcome
        print(f"  {slept_words(slept_s)}", file=sys.stderr, flush=True)


async def compare(
    session: Session,
    base: Source,
    candidate: Source,
    *,
    policy: Policy,
    prior_runs: int,
    on_pair: Callable[[Pair, Judgement], None],
) -> Comparison:
    """Make pairs of two sources until the rule has a verdict, at most `policy.max_pairs`.

    A new secret split is drawn for these pairs alone. See `CommandSession` for `prior_runs`.
    `on_pair` is called with each pair and the judgement of all pairs so far.
    """
    nonce, started_s = fresh_nonce(), time.monotonic()
    memorised = session.memorised(base, candidate, prior_runs=prior_runs)
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
        elif (failed := confirmation.unfinished) is not None:
            seed, order = failed.seed, [base if failed.role == "base" else candidate]
        else:
            break
        for source in order:  # close in time, so conditions are the same
            await measure(session, [(source, seed)], on_run=keep, nonce=nonce)
    return Comparison(
        confirmation=confirmation,
        judged=judged,
        runs=len(runs),
        seconds=time.monotonic() - started_s,
    )


def weigh(
    runs: Sequence[tuple[bytes, Run]],
    manifest: TaskManifest,
    policy: Policy,
    *,
    tolerance: float,
    memorised: float,
    claim: Claim | None = None,
) -> Confirmation:
    """Return the state of a trial, given its ended runs with their trees, oldest first.

    `tolerance` is the largest error of a score that an audit accepts. `memorised` is the largest
    gain that the candidate could reach by memorising the text. Both are in the metric's unit. The
    trial ends with the verdict: no pairs are added for other readers, since the trial is not
    published.
    """
    planned = [
        PlannedRun(
            job_id=0,
            ordinal=ordinal,
            role=cast("Role", run.role),  # from this program itself
            tree=tree,
            seed=run.seed,
            outcome=StoredOutcome(run=run, log_tail=""),
        )
        for ordinal, (tree, run) in enumerate(runs)
    ]
    reading = MetricReading(
        sign=manifest.metric.sign,
        noise=NoiseEstimate.from_class(floor_sd(manifest.noise_floor_nano)),
        policy=policy,
        minimum_gain=2 * tolerance,
        memorised=memorised,
        style=Style.of(manifest),
    )
    return next_of_confirmation(
        planned, reading, needs_anchor=False, anchor_pairs=MIN_PAIRS, claim=claim
    )


def pair_words(pair: Pair, share: float) -> str:
    """Return a pair's metrics on the secret split, and the evidence so far as a percentage."""
    base, candidate = from_nano(pair.base.secret_nano), from_nano(pair.candidate.secret_nano)
    bar = "█" * round(share * _BAR_WIDTH)
    return f"{base:.6f}  {candidate:.6f}  evidence {share:4.0%} {bar}"


def pair_json(pair: Pair) -> dict[str, object]:
    """Return a pair as a JSON document; its metrics are in the task's unit."""
    return {
        "seed": pair.seed,
        "base": from_nano(pair.base.secret_nano),
        "candidate": from_nano(pair.candidate.secret_nano),
    }
