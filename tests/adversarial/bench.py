"""A calibrated runner shared by untrusted sources, and a watch over every sandbox it starts.

Free of pytest, so that the soak can use it too.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

from tests.trainer.audits import audited
from tests.trainer.runners import SPLIT
from trainer.host.processes import uids_in_use
from trainer.language_model import stages
from trainer.language_model.data import TaskData
from trainer.language_model.evaluator import AnswerShape, LogProbs
from trainer.language_model.scoring import ScoredRows, ask_log_probs
from trainer.language_model.text.vocabulary import TokenRows
from trainer.measuring import outcome as outcome_module
from trainer.measuring.outcome import RunOutcome
from trainer.runner import Runner
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import _TAIL_BYTES, Sandbox
from trainer.task_folder.task import Task

HONEST_SEED = 2
ATTEMPTS = 4
_KEEP = Sandbox._keep

# Roomy for an honest run of a second even on a crowded machine.
LIMIT_S = 30
WARMUP_LIMIT_S = 20
SERVE_WALL_S = 30.0
HURRIED_S = 4  # for the stage that is going to hang
MEMORY_MB = 700
LOG_CHARACTERS = 40_000  # several attacks in one run say much


class Watch:
    """Looks whether a closed sandbox has left processes behind.

    By its pid namespace (holding it open keeps its number from being given to the next one), in
    tier container by its uid. In tier partial both are our own.
    """

    def __init__(self) -> None:
        self.left_behind: list[str] = []
        self._namespaces: dict[int, int] = {}
        self._uids: dict[int, int] = {}
        self.claims: LogProbs | None = (
            None  # of the last run, of all rows: no runner gives these out
        )

    def note_start(self, sandbox: Sandbox) -> None:
        """Remember a sandbox's pid namespace or uid."""
        process = Path(f"/proc/{sandbox._pid}")
        if process.stat().st_uid != os.getuid():
            self._uids[id(sandbox)] = process.stat().st_uid
        elif (process / "ns/pid").readlink() != Path("/proc/self/ns/pid").readlink():
            self._namespaces[id(sandbox)] = os.open(process / "ns/pid", os.O_RDONLY)

    def note_close(self, sandbox: Sandbox) -> None:
        """Look for processes in the namespace of a sandbox that says that it is closed."""
        if self._uids.pop(id(sandbox), None) in uids_in_use():
            self.left_behind.append("a process of a throw-away uid")
        namespace = self._namespaces.pop(id(sandbox), None)
        if namespace is None:
            return  # it never started
        number = os.fstat(namespace).st_ino
        for path in Path("/proc").glob("[0-9]*/ns/pid"):
            try:
                state = (path.parents[1] / "stat").read_text().rpartition(") ")[2][0]
                if path.stat().st_ino == number and state != "Z":
                    self.left_behind.append((path.parents[1] / "cmdline").read_text())
            except OSError:
                continue  # gone since, or somebody else's
        os.close(namespace)


@contextmanager
def watched_sandboxes() -> Iterator[Watch]:
    """Record every sandbox's pid namespace as it starts, with limits that are roomy for a test.

    The whole output of an attack is kept, even what a node would drop: it shows how far it got.
    """
    watch = Watch()
    launch, close = Sandbox.launch, Sandbox.close

    async def watched_launch(profile: Profile) -> Sandbox:
        sandbox = await launch(profile)
        watch.note_start(sandbox)
        return sandbox

    async def watched_claims(
        sandbox: Sandbox, question: AnswerShape, rows: TokenRows, *, on_first: Callable[[], None]
    ) -> LogProbs:
        claims = await ask_log_probs(sandbox, question, rows, on_first=on_first)
        if watch.claims is None or len(claims) >= len(watch.claims):  # else of secret rows alone
            watch.claims = claims
        return claims

    def keep_all(sandbox: Sandbox, chunk: bytes) -> None:
        sandbox._output = (sandbox._output + chunk)[-_TAIL_BYTES:]

    async def watched_close(sandbox: Sandbox) -> None:
        await close(sandbox)
        watch.note_close(sandbox)

    with (
        mock.patch.object(Sandbox, "launch", watched_launch),
        mock.patch.object(Sandbox, "close", watched_close),
        mock.patch.object(Sandbox, "_keep", keep_all),
        mock.patch.object(stages, "ask_log_probs", watched_claims),
        mock.patch.object(stages, "_SERVE_WALL_S", SERVE_WALL_S),
        mock.patch.object(outcome_module, "_LOG_CHARACTERS", LOG_CHARACTERS),
    ):
        yield watch


@dataclass
class Bench:
    """A calibrated runner with its event loop, so that tests can be plain functions."""

    loop: asyncio.Runner
    runner: Runner
    watch: Watch
    honest: RunOutcome
    honest_log_probs: LogProbs  # of all rows, in the order in which they are scored
    honest_runs: dict[tuple[int, bytes], RunOutcome] = field(default_factory=dict)

    def run(
        self,
        train: str,
        seed: int = HONEST_SEED,
        *,
        needs_audit: bool = True,
        split: bytes = SPLIT,
    ) -> RunOutcome:
        """Run a source of one file."""
        source = self.runner.task.source.replacing("train.py", train.encode())
        outcome = self.loop.run(
            self.runner.run(source, seed, split=split, needs_audit=audited(needs_audit))
        )
        assert self.watch.left_behind == []
        return outcome

    def run_uncrowded(self, train: str) -> RunOutcome:
        """Run a source within its time limit; run it again if other load stretched it."""
        for _ in range(ATTEMPTS - 1):
            if (outcome := self.run(train)).status != "timeout":
                return outcome
        return self.run(train)

    def run_overlong(self, train: str) -> RunOutcome:
        """Run a source that exceeds its time limit.

        Other programs that stretched the baseline's timing widened its ceilings, so where the
        source got through, the baseline is timed again first.
        """
        for _ in range(ATTEMPTS - 1):
            if (outcome := self.run(train)).status == "timeout":
                return outcome
            self.loop.run(self.runner.calibrate(HONEST_SEED, split=SPLIT))
        return self.run(train)

    @property
    def baseline(self) -> str:
        """The text of the task's own train.py."""
        return self.runner.task.source["train.py"].decode()

    @property
    def noise_sd(self) -> float:
        """The standard deviation of one run, by the task's manifest."""
        return self.runner.task.manifest.noise_floor_nano / 1e9

    def honest_run(self, seed: int, split: bytes = SPLIT) -> RunOutcome:
        """Run the baseline with a seed, once."""
        if (seed, split) not in self.honest_runs:
            self.honest_runs[seed, split] = self.run(self.baseline, seed, split=split)
        return self.honest_runs[seed, split]

    def scored(self, split: bytes = SPLIT) -> ScoredRows:
        """Return what runs on a split are scored on."""
        return self.runner._stages.splits.draw(split)

    def check_that_the_next_run_is_clean(self) -> None:
        """Run the baseline again: the same bits as before whatever ran in between."""
        outcome = self.run(self.baseline, needs_audit=False)
        assert (outcome.status, outcome.reason) == ("ok", None)
        assert outcome.metric_nano == self.honest.metric_nano
        assert outcome.secret_nano == self.honest.secret_nano


@contextmanager
def logs_as_of_a_node() -> Iterator[None]:
    """Keep of what sandboxes print what a node keeps, no more."""
    with mock.patch.object(Sandbox, "_keep", _KEEP):
        yield


MakeBench = Callable[[Task, TaskData], Bench]


@contextmanager
def benches(watch: Watch) -> Iterator[MakeBench]:
    """Make calibrated benches, which end with the block."""
    made: list[Bench] = []
    with asyncio.Runner() as loop:

        async def make(task: Task, data: TaskData) -> tuple[Runner, RunOutcome]:
            runner = Runner(
                task,
                data,
                audit_key=b"a test's key",
                patience_s=0.0,  # other tests running now are a crowd that never goes
            )
            return runner, await runner.calibrate(HONEST_SEED, split=SPLIT)

        def make_and_keep(task: Task, data: TaskData) -> Bench:
            runner, honest = loop.run(make(task, data))
            claims, watch.claims = watch.claims, None
            assert claims is not None
            made.append(Bench(loop, runner, watch, honest, claims, {(HONEST_SEED, SPLIT): honest}))
            return made[-1]

        yield make_and_keep
        for bench in made:
            loop.run(bench.runner.close())
        assert watch.left_behind == []


def limited(task: Task) -> Task:
    """Return the task with limits that are roomy for a test."""
    limits = replace(
        task.manifest.limits,
        limit_s=LIMIT_S,
        warmup_limit_s=WARMUP_LIMIT_S,
        memory_mb=MEMORY_MB,
    )
    return replace(task, manifest=replace(task.manifest, limits=limits))


@contextmanager
def hurried(runner: Runner, stage: str, limit_s: int = HURRIED_S) -> Iterator[None]:
    """Shorten the limit of the one stage in which a source is going to hang."""
    task = runner.task
    limits = task.manifest.limits
    serve_wall_s = SERVE_WALL_S
    match stage:
        case "before the data":
            limits = replace(limits, warmup_limit_s=limit_s)
        case "training" | "before the export" | "within the export":
            limits = replace(limits, limit_s=limit_s)
        case "loading" | "claiming" | "within an answer":
            serve_wall_s = float(limit_s)
    sooner = replace(task, manifest=replace(task.manifest, limits=limits))
    with (
        mock.patch.object(runner._stages, "_task", sooner),
        mock.patch.object(stages, "_SERVE_WALL_S", serve_wall_s),
    ):
        yield


def with_processes(task: Task) -> Task:
    """Return the task with a budget of seconds: its training may start processes.

    The baseline of a budget of tokens would take no step; this one takes a few.
    """
    text = task.source["train.py"].decode()
    steps = "steps = TOKEN_BUDGET // (BATCH * SEQUENCE)"
    assert text.count(steps) == 1
    manifest = task.manifest
    return replace(
        task,
        manifest=replace(manifest, budget=replace(manifest.budget, unit="seconds", amount=2)),
        source=task.source.replacing("train.py", text.replace(steps, "steps = 4").encode()),
    )
