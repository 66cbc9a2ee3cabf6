"""The stages of a program's run: build → instances → the candidate meets each → the judge checks.

Each is in sandboxes of its own, and what came before has ended by then. Instances of the secret
split are met as those of the public one are; of these nothing is told but whether all were answered
rightly, and one coarse figure.
"""

import asyncio
import contextlib
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final
from weakref import WeakKeyDictionary

from protocol.errors import ConfigurationError
from protocol.manifest import TaskManifest
from protocol.program import ModelBudget, ProgramSpec
from protocol.source import Source
from trainer.cards.cards import probe_cards
from trainer.host.capacity import usable_cores
from trainer.host.counting import require_counter
from trainer.host.device import CARD, Device
from trainer.measuring.cost import StageCosts
from trainer.measuring.host_load import HostLoad, LaneWork
from trainer.measuring.kind import Request, Scores
from trainer.measuring.metering import RunFailed
from trainer.measuring.models import KeptModels
from trainer.measuring.outcome import BaselineCost, Meter
from trainer.program.asking import Asking, Questions
from trainer.program.building import Builder, Package
from trainer.program.candidate import Candidate, Meeting, Met
from trainer.program.failing import ProgramFailed
from trainer.program.judge import Conversation, Judge
from trainer.program.manifest import (
    BATCH,
    counts_instructions,
    is_exact,
    is_of_baseline,
    is_timed,
    recipe_of,
    spec_of,
)
from trainer.program.metric import (
    Measured,
    Unfit,
    coarse,
    guard_fault,
    guarded,
    impossible,
    metric_nano,
)
from trainer.program.product import (
    answers_in,
    evidence_of,
    mean_of,
    measured_of,
    met_of,
    packed,
    unpacked,
)
from trainer.program.seeds import PUBLIC, SECRET, WARM_UP, InstanceName, drawn, fixed
from trainer.task_folder.task import Task

if TYPE_CHECKING:
    from trainer.cards.watch import CardWatch

_KEPT_INSTANCES: Final = 2  # runs' instances: a pair's, and those of the one before
_LOG_CHARACTERS: Final = 4000
_UNCOUNTED: Final = 2  # meetings of a timed instance, one of each


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An instance of a run, by its name and its bytes."""

    name: InstanceName
    data: bytes
    run_seed: int

    @property
    def is_secret(self) -> bool:
        return self.name.split == SECRET

    @property
    def words(self) -> str:
        """What it is called to people; of a secret one not even its number."""
        if self.is_secret:
            return "an instance of the secret split"
        if self.name.split == PUBLIC:
            return f"instance {self.name.index + 1}"
        return f"instance {self.name.split}"


class ProgramStages:
    """Runs them for one lane, one run at a time; instances stand beside each other if they may."""

    # Of all lanes of a process' loop: a core has one candidate.
    _cores: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]] = (
        WeakKeyDictionary()
    )

    def __init__(
        self,
        task: Task,
        *,
        task_key: bytes,
        device: Device | None = None,
        models: KeptModels | None = None,
    ) -> None:
        """Raises ConfigurationError for a task that needs a card, where `device` is none, or that
        counts what this machine does not.
        """
        if counts_instructions(task.manifest):
            require_counter()
        self.watch: CardWatch | None = None
        self.baseline_cost: BaselineCost | None = None
        self.work = LaneWork()
        self._task = task
        self._manifest = task.manifest
        self._spec = spec = spec_of(task.manifest)
        self._own_split = hashlib.sha256(task_key + task.id).digest()  # of runs that name none
        self._is_timed = is_timed(task.manifest)
        self._is_of_baseline = is_of_baseline(task.manifest)
        self._is_exact = is_exact(task.manifest)
        recipe = recipe_of(task)
        self._builder = Builder(task.manifest, recipe, self.work)
        self._data = recipe.data
        card = _card(task.manifest, device)
        self._candidate = Candidate(task, self.work, card=card)
        self._on_card = None if card is None else asyncio.Lock()
        self._asking: Asking | None = None
        if spec.llm is not None:
            self._asking = self._asking_of(spec.llm, models)
        self._judges_asking: Asking | None = None
        if spec.judge_llm is not None:
            self._judges_asking = self._asking_of(spec.judge_llm, models)
        self._judge = Judge(
            task.name,
            recipe,
            encoding=spec.encoding,
            interactive=spec.interactive,
            asks=spec.judge_llm is not None,
            work=self.work,
        )
        self._instances: OrderedDict[tuple[bytes, int], list[Asked]] = OrderedDict()
        self._warm_ups: tuple[bytes, ...] | None = None  # the same for every run
        self._running = asyncio.Lock()
        self._judging = asyncio.Lock()

    @property
    def budget_tokens(self) -> int:
        return 0

    @property
    def metric_tolerance(self) -> float:
        return 0.0

    async def grown(self) -> None:
        """Nothing is on its way."""

    async def completed(self) -> None:
        """All is here."""

    def expect_no_more(self) -> None:
        """Nothing is started ahead."""

    def _asking_of(self, budget: ModelBudget, models: KeptModels | None) -> Asking:
        task, recipe = self._task, recipe_of(self._task)
        instances = self._spec.instances
        return Asking(task.name, budget, instances, recipe, models=models, work=self.work)

    async def close(self) -> None:
        await self._judge.close()
        for asking in (self._asking, self._judges_asking):
            if asking is not None:
                await asking.close()
        self._builder.close()

    async def run(self, request: Request, meter: Meter) -> bytes:
        """Return the answers of a source to all its instances, with what each took."""
        async with self._running:
            timeline = meter.timeline
            timeline.enter("train", "build")
            host_load = HostLoad(self.work)
            try:
                if self._data is not None:
                    await asyncio.to_thread(self._data.check)
                package = await self._builder.package(request.source)
                meter.log_tail = package.log[-_LOG_CHARACTERS:]
                base = await self._base(request.source)
                asked = await self.asked(request)
                await self._make_warm_ups()
                timeline.enter("train", "train")
                met = await self._met(package, base, asked, meter)
            except ProgramFailed as failed:
                meter.log_tail = (meter.log_tail + failed.log)[-_LOG_CHARACTERS:]
                raise
            finally:
                timeline.leave("train")
                meter.strangers_share = host_load.share()
                meter.others_share = host_load.share_with_lanes()
            public = [one for one, name in zip(met, asked, strict=True) if not name.is_secret]
            meter.wall_s = sum(one.wall_s for one, _ in public)
            meter.train_cpu_s = sum(one.cpu_s for one, _ in public)
            meter.cost = StageCosts(train_s=meter.train_cpu_s)
            meter.peak_mem_bytes = max(one.peak_bytes for one, _ in public)
            return packed(met)

    async def score(self, request: Request, product: bytes, meter: Meter) -> Scores:
        """Return what answers are worth on both splits."""
        async with self._judging:
            began_s = time.monotonic()
            meter.timeline.enter("claim", "score")
            try:
                asked = await self.asked(request)
                answers = unpacked(product)
                # A model that is away is nobody's doing, and what it judges is nobody else's.
                meter.has_rows = self._judges_asking is None
                measured = await self._checked(asked, answers)
            finally:
                meter.timeline.leave("claim")
                meter.claim_wall_s = time.monotonic() - began_s
        size = await self.size_of(request.source)
        public = [one for one, name in zip(measured, asked, strict=True) if not name.is_secret]
        secret = [one for one, name in zip(measured, asked, strict=True) if name.is_secret]
        found = self._guarded(public, secret)
        public_nano = self._figure(public, size)
        secret_nano = self._secret_figure(secret, size) if secret else public_nano
        if self.baseline_cost is None and request.source.tree == self._task.source.tree:
            self.baseline_cost = BaselineCost(cost=meter.cost, product=b"", audited=found)
        return Scores(
            answers=None,
            public_nano=public_nano,
            secret_nano=secret_nano,
            audit=None,
            evidence=evidence_of(answers) if self._is_exact else None,
        )

    async def judged(self, evidence: bytes, meter: Meter) -> Scores:
        """Return what somebody's answers to the fixed instances are worth."""
        fixed = self._spec.instances.fixed
        answers = answers_in(evidence, most_bytes=self._spec.limits.answer_mb * 1_000_000)
        if not self._is_exact or answers is None or len(answers) != len(fixed):
            raise RunFailed("rejected", "what is shown is no answer to the task's instances")
        async with self._judging:
            began_s = time.monotonic()
            asked = await self._asked(self._own_split, seed=0)
            try:
                measured = await self._checked(asked, [(met_of(one), None) for one in answers])
            finally:
                meter.claim_wall_s = time.monotonic() - began_s
        nano = self._figure(measured, size=0)
        return Scores(
            answers=None, public_nano=nano, secret_nano=nano, audit=None, evidence=evidence
        )

    # Instances

    async def asked(self, request: Request) -> list[Asked]:
        """Return a run's instances; those of its secret split hang on the key of that."""
        return await self._asked(request.split or self._own_split, seed=request.seed)

    async def _asked(self, key: bytes, *, seed: int) -> list[Asked]:
        at = (key, 0 if self._spec.instances.fixed else seed)
        if at not in self._instances:
            names = self._names(seed, key)
            most_bytes = self._spec.limits.instance_mb * 1_000_000
            made = await self._judge.make(names, most_bytes=most_bytes)
            both = zip(names, made, strict=True)
            asked = [Asked(name=name, data=data, run_seed=seed) for name, data in both]
            self._instances[at] = asked
            while len(self._instances) > _KEPT_INSTANCES:
                self._instances.popitem(last=False)
        self._instances.move_to_end(at)
        return [replace(one, run_seed=seed) for one in self._instances[at]]

    def _names(self, seed: int, key: bytes) -> list[InstanceName]:
        counts, task = self._spec.instances, self._task.id
        if counts.fixed:
            return [fixed(task, name, index) for index, name in enumerate(counts.fixed)]
        return [
            drawn(task, seed, split=split, index=index, key=key)
            for split, count in ((PUBLIC, counts.public), (SECRET, counts.secret))
            for index in range(count)
        ]

    async def _make_warm_ups(self) -> None:
        """Make what every candidate is warmed up with, once."""
        if self._warm_ups is None:
            task, count = self._task.id, self._spec.limits.warmup
            names = [drawn(task, 0, split=WARM_UP, index=index, key=b"") for index in range(count)]
            most_bytes = self._spec.limits.instance_mb * 1_000_000
            made = await self._judge.make(names, most_bytes=most_bytes) if names else []
            self._warm_ups = tuple(made)

    # Candidates

    async def _base(self, source: Source) -> Package | None:
        """Return what is measured beside a source, where that is told as a share of it."""
        return await self._builder.package(self._task.source) if self._is_of_baseline else None

    async def _met(
        self, package: Package, base: Package | None, asked: Sequence[Asked], meter: Meter
    ) -> list[tuple[Met, Met | None]]:
        """Let a candidate meet all its instances; the first that fails ends it."""
        if base is not None and self._is_timed:
            timed: list[tuple[Met, Met | None]] = []
            for number, batch in enumerate(batches(self._spec, asked)):
                timed += await self._timed(package, base, batch, number, meter)
            return timed
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._beside(package, base, one, meter))
                    for one in batches(self._spec, asked)
                ]
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        return [met for task in tasks for met in task.result()]

    async def _beside(
        self, package: Package, base: Package | None, batch: Sequence[Asked], meter: Meter
    ) -> list[tuple[Met, Met | None]]:
        """Let a candidate meet a batch, and the baseline after it where that is beside it."""
        async with self._core():
            met = await self._in_turn(package, batch)
            beside: Sequence[Met | None] = [None] * len(batch)
            if base is not None:
                beside = await self._in_turn(base, batch)
        self._note_log(met, batch, meter)
        return list(zip(met, beside, strict=True))

    async def _timed(
        self, package: Package, base: Package, batch: Sequence[Asked], number: int, meter: Meter
    ) -> list[tuple[Met, Met | None]]:
        """Time a candidate beside the baseline on a batch: A B B A, or B A A B in turn.

        Each has been started once before, uncounted: a first start finds less in memory.
        """
        first = number % 2 == 0  # whether that is the candidate
        taken: dict[bool, list[list[Met]]] = {True: [], False: []}
        async with self._core():
            for turn, is_own in enumerate((first, not first, first, not first, not first, first)):
                met = await self._in_turn(package if is_own else base, batch)
                if turn >= _UNCOUNTED:
                    taken[is_own].append(met)
        self._note_log(taken[True][0], batch, meter)
        own, beside = (map(mean_of, zip(*taken[whose], strict=True)) for whose in (True, False))
        return list(zip(own, beside, strict=True))

    async def _in_turn(self, package: Package, batch: Sequence[Asked]) -> list[Met]:
        """Let a process of its own meet the instances of a batch, one after the other."""
        meetings = [self._meeting(package, one) for one in batch]
        if len(meetings) == 1:
            return [await self._candidate.meet(meetings[0])]
        return await self._candidate.meet_in_turn(meetings)

    def _meeting(self, package: Package, asked: Asked) -> Meeting:
        most_bytes = self._spec.limits.instance_mb * 1_000_000
        talk = None
        if self._spec.interactive:

            def talk(instance: bytes) -> contextlib.AbstractAsyncContextManager[Conversation]:
                return self._judge.talk(instance, most_bytes=most_bytes)

        questions = None
        if self._asking is not None:
            seed = asked.name.model_seed
            questions = self._asking.questions(seed, run_seed=asked.run_seed)
        return Meeting(
            package=package.sealed,
            instance=asked.data,
            seed=asked.name.candidate_seed,
            name=asked.words,
            is_heard=not asked.is_secret,
            warm_ups=self._warm_ups or (),
            talk=talk,
            questions=questions,
        )

    @contextlib.asynccontextmanager
    async def _core(self) -> AsyncIterator[None]:
        """Hold one of this machine's cores; where seconds are measured no other candidate runs, nor
        on a card, whose memory is one's alone."""
        if self._on_card is not None:
            async with self._on_card:
                yield
            return
        loop = asyncio.get_running_loop()
        cores = self._cores.setdefault(loop, asyncio.Semaphore(usable_cores()))
        async with cores:
            yield

    def _note_log(self, met: Sequence[Met], batch: Sequence[Asked], meter: Meter) -> None:
        if not batch[0].is_secret:
            meter.log_tail = (meter.log_tail + met[-1].log)[-_LOG_CHARACTERS:]

    # Judging

    async def _checked(
        self, asked: Sequence[Asked], answers: Sequence[tuple[Met, Met | None]]
    ) -> list[Measured]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._check(one, *met))
                    for one, met in zip(asked, answers, strict=True)
                ]
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        return [task.result() for task in tasks]

    async def _check(self, asked: Asked, met: Met, base: Met | None) -> Measured:
        async with self._core():
            verdict = await self._judge.check(asked.data, met.answer, self.judges_asking(asked))
        if verdict.wrong:
            told = f"{asked.words} is answered wrong"
            if asked.is_secret:
                raise RunFailed("rejected", told)
            raise RunFailed("rejected", f"{told}: {verdict.wrong}", unquoted=told)
        beside = None if base is None else measured_of(base)
        return replace(measured_of(met), figures=verdict.figures, base=beside)

    def judges_asking(self, asked: Asked) -> Callable[[], Questions] | None:
        """Return what makes the answers to a judge that asks a model about an instance."""
        asking = self._judges_asking
        if asking is None:
            return None
        seed = asked.name.judges_model_seed
        return lambda: asking.questions(seed, run_seed=asked.run_seed)

    async def size_of(self, source: Source) -> int:
        """Return the bytes of a source, or of what it is built into where the metric is that."""
        if self._manifest.metric.name == "build_bytes":
            return (await self._builder.package(source)).built_bytes
        return sum(len(data) for _, data in source.files)

    def _figure(self, measured: Sequence[Measured], size: int) -> int:
        try:
            nano = metric_nano(self._manifest, measured, size=size)
        except Unfit as fault:
            raise RunFailed("rejected", str(fault)) from fault
        if impossible(nano, self._manifest):
            raise RunFailed(
                "rejected", "better than what is possible: a bug of the judge, or a lie"
            )
        return nano if self._is_exact else coarse(nano, self._manifest)

    def _secret_figure(self, measured: Sequence[Measured], size: int) -> int:
        """As `_figure`; what is wrong with one would tell of the split in digits."""
        try:
            return self._figure(measured, size)
        except RunFailed as failed:
            raise RunFailed(failed.status, "no metric on the secret split") from failed

    def _guarded(self, public: Sequence[Measured], secret: Sequence[Measured]) -> dict[str, float]:
        """Hold a run against the task's guards and what the baseline's first run came to.

        Return what this one comes to.
        """
        try:
            found = guarded(self._spec.guards, [*public, *secret])
        except Unfit as fault:
            raise RunFailed("rejected", str(fault)) from fault
        base: dict[str, float] = {}
        if self.baseline_cost is not None:
            base = self.baseline_cost.audited  # type: ignore[assignment]  # what this has put there
        if guard_fault(self._spec.guards, found, base):
            # In digits of what was public alone.
            shown = guard_fault(self._spec.guards, guarded(self._spec.guards, public), base)
            raise RunFailed("rejected", shown or "a guard does not hold, the secret split included")
        return found


def _card(manifest: TaskManifest, device: Device | None) -> Device | None:
    """Return the card that a task's candidates use, None for those that use none."""
    if spec_of(manifest).device != CARD:
        return None
    if device is None or device.cuda is None:
        raise ConfigurationError(
            f"task {manifest.name} needs an NVIDIA card, and"
            f" {probe_cards().fault or 'none is found here'}",
            'run it where `nvidia-smi` lists one; if its programs need none, write `device = "cpu"`'
            " in its task.toml",
        )
    return device


def batches(spec: ProgramSpec, asked: Sequence[Asked]) -> list[list[Asked]]:
    """Return the instances by the process that meets them; a secret one is never with a public."""
    if spec.isolation != BATCH:
        return [[one] for one in asked]
    splits = ([one for one in asked if one.is_secret == is_secret] for is_secret in (False, True))
    return [batch for batch in splits if batch]


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return what ended a group: a run's own failure before anything else."""
    flat: list[BaseException] = []
    waiting: list[BaseException] = list(failures.exceptions)
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        else:
            flat.append(one)
    faults = [one for one in flat if not isinstance(one, RunFailed)]
    return faults[0] if faults else flat[0]
