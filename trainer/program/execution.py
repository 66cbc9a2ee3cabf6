"""Runs a candidate on the instances of a run: on all cores at once, or timed one by one.

A candidate executes once on each instance of a run. If its cost is compared with the baseline's, no
two runs of any candidates share an instance (`trainer.program.instances`). So no process can find
traces of the instance that an earlier candidate left in a cache or in memory.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import ClassVar, Final, Protocol, TypeVar
from weakref import WeakKeyDictionary

from trainer.host.capacity import usable_core_numbers
from trainer.measuring.loss_curve import LossCurve
from trainer.measuring.metering import RunFailed
from trainer.measuring.outcome import Meter
from trainer.program.asking import Asking
from trainer.program.building import Package
from trainer.program.candidate import Forge, InstanceResult, InstanceRun
from trainer.program.instances import DrawnInstance, MadeInstances, batches
from trainer.program.judge import Conversation, Judge
from trainer.program.manifest import is_timed, spec_of
from trainer.task_folder.task import Task

T = TypeVar("T")

LOG_CHARACTERS: Final = 4000


class InstanceRunner(Protocol):
    """An interface for running candidates on instances, directly or through an evaluator."""

    async def run_on(self, instance_runs: Sequence[InstanceRun]) -> list[InstanceResult]: ...

    async def close(self) -> None: ...


class Cores:
    """The CPU cores for one lane. Each of its candidates and judges has a core to itself."""

    # Shared by all lanes of an event loop: a core runs one candidate at a time.
    _of_loops: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, "asyncio.Queue[int]"]] = (
        WeakKeyDictionary()
    )

    def __init__(self, *, is_on_card: bool) -> None:
        """With `is_on_card`, candidates take turns, because the card's memory fits only one."""
        self._on_card = asyncio.Lock() if is_on_card else None

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[int | None]:
        """Reserve a core during a with block and yield its number; None for programs on a card."""
        if self._on_card is not None:
            async with self._on_card:
                yield None
            return
        loop = asyncio.get_running_loop()
        if (free := self._of_loops.get(loop)) is None:
            free = self._of_loops[loop] = asyncio.Queue()
            for core in usable_core_numbers():
                free.put_nowait(core)
        core = await free.get()
        try:
            yield core
        finally:
            free.put_nowait(core)


class Executor:
    """Runs candidates on instances, for one lane and one task."""

    def __init__(
        self,
        task: Task,
        *,
        candidate: InstanceRunner,
        judge: Judge,
        instances: MadeInstances,
        asking: Asking | None,
        cores: Cores,
    ) -> None:
        self._manifest = task.manifest
        self._spec = spec_of(task.manifest)
        self._is_timed = is_timed(task.manifest)
        self._candidate = candidate
        self._judge = judge
        self._instances = instances
        self._asking = asking
        self._cores = cores

    async def run_all(
        self, package: Package, base: Package | None, asked: Sequence[DrawnInstance], meter: Meter
    ) -> list[tuple[InstanceResult, InstanceResult | None]]:
        """Run a candidate on all its instances. The first failure ends the run.

        `base` is the baseline, if it is measured in the same run. `meter` receives the loss curve
        of the first batch only. Raises RunFailed.
        """
        if base is not None and self._is_timed:
            return await self._timed(package, base, asked, meter)
        public: list[asyncio.Task[list[tuple[InstanceResult, InstanceResult | None]]]] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks = []
                for number, one in enumerate(batches(self._manifest, asked)):
                    results = self._run_batch(package, base, one, number, meter)
                    if one[0].is_secret:
                        results = _raise_after_public(public, results)
                    tasks.append(group.create_task(results))
                    if not one[0].is_secret:
                        public.append(tasks[-1])
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from None
        return [pair for task in tasks for pair in task.result()]

    async def _run_batch(
        self,
        package: Package,
        base: Package | None,
        batch: Sequence[DrawnInstance],
        number: int,
        meter: Meter,
    ) -> list[tuple[InstanceResult, InstanceResult | None]]:
        """Run a candidate on a batch, then the baseline if the two are compared."""
        async with self._cores.one() as core:
            curve = None if number else meter.curve
            results = await self._in_turn(package, batch, core=core, curve=curve)
            base_results: Sequence[InstanceResult | None] = [None] * len(batch)
            if base is not None:
                base_results = await self._in_turn(base, batch, core=core)
        self._note_log(results, batch, meter)
        return list(zip(results, base_results, strict=True))

    async def _timed(
        self, package: Package, base: Package, asked: Sequence[DrawnInstance], meter: Meter
    ) -> list[tuple[InstanceResult, InstanceResult | None]]:
        """Time a candidate and the baseline on each batch, in alternating order.

        Both run once before on an instance that does not count, because the first process of a
        source tree has to read its files from disk.
        """
        results: dict[DrawnInstance, tuple[InstanceResult, InstanceResult | None]] = {}
        async with self._cores.one() as core:
            uncounted = [await self._instances.first()]
            for one in (package, base):
                await self._in_turn(one, uncounted, core=core)
            for number, batch in enumerate(batches(self._manifest, asked)):
                taken: dict[bool, list[InstanceResult]] = {}
                is_first = number % 2 == 0
                for is_own in (is_first, not is_first):
                    curve = meter.curve if is_own and number == 0 else None
                    taken[is_own] = await self._in_turn(
                        package if is_own else base, batch, core=core, curve=curve
                    )
                self._note_log(taken[True], batch, meter)
                results |= zip(batch, zip(taken[True], taken[False], strict=True), strict=True)
        return [results[one] for one in asked]

    async def _in_turn(
        self,
        package: Package,
        batch: Sequence[DrawnInstance],
        *,
        core: int | None,
        curve: LossCurve | None = None,
    ) -> list[InstanceResult]:
        """Run one new process on the instances of a batch, in sequence."""
        kept_to = core if self._spec.limits.threads == 1 else None
        instance_runs = [await self._instance_run(package, one, kept_to) for one in batch]
        instance_runs[0] = replace(instance_runs[0], curve=curve)
        return await self._candidate.run_on(instance_runs)

    async def forged(self, package: Package, asked: DrawnInstance, forge: Forge) -> bytes:
        """Return an evaluator's verdict on a program after `forge` changed its replies."""
        instance_run = replace(await self._instance_run(package, asked, None), forge=forge)
        (result,) = await self._candidate.run_on([instance_run])
        return result.answer

    async def _instance_run(
        self, package: Package, asked: DrawnInstance, core: int | None
    ) -> InstanceRun:
        talk = self._talk if self._spec.interactive else None
        questions = None
        if self._asking is not None:
            seed = asked.name.model_seed
            questions = self._asking.questions(seed, run_seed=asked.run_seed)
        return InstanceRun(
            package=package.secret if asked.is_secret else package.sealed,
            instance=asked.data,
            seed=asked.name.candidate_seed,
            name=asked.words,
            keeps_output=not asked.is_secret,
            core=core,
            warm_ups=await self._instances.warm_ups(),
            talk=talk,
            questions=questions,
        )

    def _talk(self, instance: bytes) -> AbstractAsyncContextManager[Conversation]:
        most_bytes = self._spec.limits.instance_mb * 1_000_000
        return self._judge.talk(instance, most_bytes=most_bytes)

    def _note_log(
        self, results: Sequence[InstanceResult], batch: Sequence[DrawnInstance], meter: Meter
    ) -> None:
        if not batch[0].is_secret:
            meter.log_tail = (meter.log_tail + results[-1].log)[-LOG_CHARACTERS:]


async def _raise_after_public(
    public: Sequence[asyncio.Task[T]], results: Coroutine[None, None, T]
) -> T:
    """Await a secret batch. If it fails, wait for the public ones before raising.

    A public failure is then reported first, and its reason may be shown.
    """
    try:
        return await results
    except RunFailed:
        await asyncio.wait(public)
        raise


def first_failure(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first exception of a group that is not a RunFailed, or else the first one."""
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
