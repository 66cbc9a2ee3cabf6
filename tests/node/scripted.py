"""The research loop with a scripted runner, which replaces sandboxes and torch only."""

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from agent.model.planner import ModelPlanner
from agent.proposal import Context, Proposal, Proposer
from node.home.config import Config
from node.home.home import Home
from node.line.activity import Activity
from node.line.line_writer import LineWriter
from node.line.noise import RunNoise
from node.line.open_task import Session
from node.loop.peer_claims import Peers
from node.loop.research import Research
from node.loop.session_plan import Goal
from node.loop.slow_ideas import SlowIdeas
from node.running.loop_assembly import LoopAssembly
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.ideas import Edit, Move
from protocol.manifest import TaskManifest
from protocol.rule import DEFAULT, Policy
from protocol.source import Source
from tests.node.examples import BASELINE, MANIFEST
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    SUBJECT,
    line_writer_of,
    proposal_by,
    proposal_of,
)
from trainer.language_model.data import TaskData
from trainer.measuring.host_load import Idle
from trainer.measuring.kind import NeedsAudit, always
from trainer.measuring.loss_curve import LossCurve
from trainer.measuring.outcome import RunOutcome
from trainer.measuring.training import PutOff
from trainer.runner import Runner
from trainer.task_folder.task import Task

OUTCOME = RunOutcome(
    seed=0,
    status="ok",
    metric_nano=BASE_NANO,
    secret_nano=BASE_NANO,
    ms=1,
    cpu_ms=1,
    serve_ms=1,
    tokens=1,
    peak_mem_bytes=1,
    audit=None,
    flags=(),
    reason=None,
    unquoted=None,
    log_tail="",
    answers=None,
)
CRASHED = replace(
    OUTCOME,
    status="crash",
    metric_nano=None,
    secret_nano=None,
    reason="it fell over",
    unquoted="it ended",
)


_ANCHOR = "LEARNING_RATE = 0.1\n"


@dataclass(kw_only=True)
class ScriptedRunner:
    """Measures what the table says, a step of the event loop later; `started` is what it was asked.

    `gate` holds back the scoring of every run while it is not set, `training` its training.
    Where there is `disturbed`, every run waits for a quiet minute until somebody is in a hurry.
    `takes` is called when a run was trained: time passes. `ends_s` are when their sessions end.
    `prints` is what every run prints while it trains.
    """

    outcomes: Mapping[bytes, RunOutcome] = field(default_factory=dict)
    started: list[bytes] = field(default_factory=list)
    metric_tolerance: float = 0.0
    baseline_cost: str = "scripted"
    on_start: Callable[[int], None] = lambda _count: None
    hardness_nano: Callable[[bytes | None], int] = lambda _split: 0  # of a split's secret text
    gate: asyncio.Event | None = None
    training: asyncio.Event | None = None
    is_broken_from: int = 10_000
    disturbed: asyncio.Event | None = None
    waiting: int = 0
    on_wait: Callable[[], None] = lambda: None
    calibrations: int = 0
    splits: list[bytes | None] = field(default_factory=list)  # of the runs started
    seeds: list[int] = field(default_factory=list)  # likewise
    takes: Callable[[], None] = lambda: None
    prints: bytes = b""
    ends_s: list[float] = field(default_factory=list)
    fresh: set[bytes] = field(default_factory=set)  # trees of runs whose sandboxes are not forked
    is_there: bool = True
    machine: str = ""
    on_change: Callable[[], None] = lambda: None

    @property
    def is_timed(self) -> bool:
        return self.baseline_cost is not None

    def go(self, *, is_there: bool) -> None:
        """Go away, or come back."""
        self.is_there = is_there
        self.on_change()

    def notify_presence(self, on_change: Callable[[], None]) -> None:
        self.on_change = on_change

    async def calibrate(self, seed: int) -> RunOutcome:
        self.calibrations += 1
        self.takes()
        return OUTCOME

    async def run(
        self,
        source: Source,
        seed: int,
        *,
        split: bytes | None,
        needs_audit: NeedsAudit = always,
        incumbent: object = None,
        on_trained: Callable[[], None] = lambda: None,
        session_ends_s: float = math.inf,
        is_fresh: bool = False,
        on_training: Callable[[LossCurve], None] = lambda _curve: None,
        is_hopeless: Callable[[LossCurve], str | None] = lambda _curve: None,
    ) -> RunOutcome:
        curve = LossCurve()
        on_training(curve)
        curve.feed(self.prints)
        self.started.append(source.tree)
        self.splits.append(split)
        self.seeds.append(seed)
        self.ends_s.append(session_ends_s)
        self.fresh |= {source.tree} if is_fresh else set()
        self.on_start(len(self.started))
        try:
            await asyncio.sleep(0)
            if self.training:
                await self.training.wait()
            if self.disturbed:
                self.waiting += 1
                on_trained()
                self.on_wait()
                await self.disturbed.wait()
                self.waiting -= 1
                raise PutOff
            if len(self.started) >= self.is_broken_from:
                raise ArnodeError("the sandbox went away", "bring it back")
            self.takes()
        finally:
            on_trained()
        await asyncio.sleep(0)
        if self.gate:
            await self.gate.wait()
        outcome = self.outcomes.get(source.tree, OUTCOME)
        if outcome.metric_nano is not None:
            await needs_audit(outcome.metric_nano, outcome.metric_nano)
            # A little noise that the seed decides, as torch's would be.
            wobble = (seed % 7 - 3) * 1000
            nano = outcome.metric_nano + wobble
            secret_nano = nano + self.hardness_nano(split)
            outcome = replace(outcome, metric_nano=nano, secret_nano=secret_nano)
        return replace(outcome, seed=seed, curve=curve.points)

    async def close(self) -> None:
        pass

    @property
    def waits_s(self) -> tuple[float, ...]:
        return (60.0,) * self.waiting

    def hurry(self) -> None:
        if self.disturbed:
            self.disturbed.set()

    def notify_waits(self, on_wait: Callable[[], None]) -> None:
        self.on_wait = on_wait


class Rates:
    """Proposes one learning rate after another on whatever the working line is."""

    def __init__(self, count: int, rates: Sequence[str] = ()) -> None:
        self._rates = rates or [f"0.{n}" for n in range(200, 200 + count)]

    def propose(self, context: Context) -> Proposal | None:
        proposals = (proposal_of(context.source, rate) for rate in self._rates)
        return next((one for one in proposals if not context.tried(one.fingerprint)), None)


class Insertions:
    """Proposes one more line, which fits whatever others have been inserted meanwhile."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def propose(self, context: Context) -> Proposal | None:
        return insertion(next(self._numbers), context.source)


def insertion(number: int, source: Source) -> Proposal | None:
    """Return the proposal of one more line."""
    edit = Edit(path="train.py", search=_ANCHOR, replace=f"{_ANCHOR}K{number} = 1\n")
    return proposal_by(edit, source, key=f"K{number}", title=f"K{number}")


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something holds."""
    while not condition():  # noqa: ASYNC110 (the loop under test has no event for it)
        await asyncio.sleep(0)


@dataclass(kw_only=True)
class Bench:
    """A loop on a store, with everything scripted that is not the node's own."""

    home: Home
    store: Store
    runner: ScriptedRunner = field(default_factory=ScriptedRunner)
    others: Sequence[ScriptedRunner] = ()  # of more devices
    is_shared: bool = False  # they are lanes of the processor
    goal: Goal = field(default_factory=Goal)
    ideas: int = 100
    rates: Sequence[str] = ()  # instead of so many ideas
    proposer: Proposer | None = None  # instead of rates
    pool_bytes: int | None = None
    policy: Policy = DEFAULT
    said: list[str] = field(default_factory=list)
    peers: Callable[[LineWriter], Peers] | None = None
    slow: Sequence[SlowIdeas] = ()
    planner: ModelPlanner | None = None
    has_hyperparameters: bool = False  # slots of their own, besides those
    approve: str = "off"
    has_company: bool = False
    moves: tuple[Move, ...] = ()
    waits_for: str = ""
    forks_untrusted: bool = True
    idle: Idle | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock_s: Callable[[], float] = time.monotonic
    seeds: Iterator[int] | None = None  # that the line writer draws
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def session(self) -> Session:
        """The example task, as if it were open."""
        return Session(
            task=cast("Task", ExampleTask(moves=self.moves)),
            subject=SUBJECT,
            data=cast("TaskData", ExampleData(pool_bytes=self.pool_bytes)),
            runner=cast("Runner", self.runner),
            secret=b"a node's secret",
            others=tuple(cast("Runner", runner) for runner in self.others),
            is_shared=self.is_shared,
            forks_untrusted=self.forks_untrusted,
        )

    def research(self) -> Research:
        """Open the line again, as a start does."""
        self.news = asyncio.Event()
        return self.loop_assembly(line_writer_of(self.home, self.store, seeds=self.seeds)).research(
            self.session(),
            self.goal,
            Activity(self.said.append),
            on_record=lambda: None,
            has_company=self.has_company,
            waits_for=self.waits_for or ("peers' findings" if self.has_company else ""),
            idle=self.idle,
            news=self.news,
            now=self.now,
            clock_s=self.clock_s,
        )

    def loop_assembly(self, line_writer: LineWriter) -> LoopAssembly:
        """Return the loop's parts, without peers' patches, which take a child process each."""
        return LoopAssembly.of(
            self.home,
            Config(planner=self.planner.model if self.planner else None, approve=self.approve),
            line_writer,
            self.session().task,
            noise=RunNoise(line_writer),
            peers=self.peers and self.peers(line_writer),
            proposer=self.proposer or Rates(self.ideas, self.rates),
            say=self.said.append,
            slow=self.slow,
            has_hyperparameters=self.has_hyperparameters,
            planner=self.planner,
            policy=self.policy,
            most_fresh=0,
        )

    def decisions(self) -> list[str]:
        """Return the decisions so far, oldest first."""
        return [entry.decision for entry in self.store.experiments.listed()]


@dataclass(frozen=True, kw_only=True)
class ExampleTask:
    """The part of a task that the loop needs."""

    name: str = MANIFEST.name
    manifest: TaskManifest = MANIFEST
    source: Source = BASELINE
    editable: tuple[str, ...] = ("train.py",)
    hyperparameters: tuple[()] = ()
    moves: tuple[Move, ...] = ()
    program: str = "Lower it."
    program_path: Path = Path(__file__)  # which is there


@dataclass(frozen=True, kw_only=True)
class ExampleData:
    """The part of the data that the views need."""

    floor_nano: int | None = 1_000_000_000
    pool_bytes: int | None = None
    is_pool_public: bool = True
    scored_bytes: int = 10**12  # so much that no message of it arrives


def better(
    rate: str, base: Source = BASELINE, gain_nano: int = GAIN_NANO
) -> tuple[bytes, RunOutcome]:
    """The table's entry of a learning rate that gains."""
    source = proposal_of(base, rate).source
    nano = BASE_NANO - gain_nano
    return source.tree, replace(OUTCOME, metric_nano=nano, secret_nano=nano)
