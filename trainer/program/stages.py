"""The stages of a program's run: build, make instances, run the candidate, judge the answers.

Each stage has its own sandboxes, and starts when the previous stage has ended. Secret instances run
like public ones, but only two facts about them are reported: if all answers are right, and one
coarse figure.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from protocol.errors import ConfigurationError
from protocol.manifest import TaskManifest
from protocol.program import ModelBudget
from protocol.source import Source
from trainer.cards.cards import probe_cards
from trainer.host.counting import require_counter
from trainer.host.device import CARD, Device
from trainer.measuring.cost import StageCosts
from trainer.measuring.host_load import HostLoad, LaneWork
from trainer.measuring.kind import Request, Scores
from trainer.measuring.metering import ProgramFailed, RunFailed
from trainer.measuring.models import KeptModels
from trainer.measuring.outcome import BaselineCost, Meter
from trainer.program.asking import Asking, Questions
from trainer.program.building import Builder
from trainer.program.candidate import Candidate, Forge, InstanceResult
from trainer.program.evaluating import Evaluations
from trainer.program.execution import LOG_CHARACTERS, Cores, Executor, first_failure
from trainer.program.instances import NO_NONCE, DrawnInstance, MadeInstances
from trainer.program.judge import Judge
from trainer.program.manifest import (
    counts_instructions,
    is_exact,
    is_of_baseline,
    recipe_of,
    spec_of,
)
from trainer.program.metric import (
    InstanceMeasurement,
    Unfit,
    coarse,
    guard_fault,
    guarded,
    impossible,
    metric_nano,
)
from trainer.program.product import (
    Product,
    answers_in,
    evidence_of,
    measured_of,
    result_of,
)
from trainer.task_folder.task import Task

if TYPE_CHECKING:
    from trainer.cards.watch import CardWatch


class ProgramStages:
    """Runs the stages for one lane, one run at a time. A run's instances may run in parallel."""

    def __init__(
        self,
        task: Task,
        *,
        task_key: bytes,
        device: Device | None = None,
        models: KeptModels | None = None,
    ) -> None:
        """Raise ConfigurationError if this machine lacks what the task needs.

        Some tasks need a card; then `device` must name it. Some need a processor that counts the
        instructions a process executes.
        """
        if counts_instructions(task.manifest):
            require_counter()
        self.watch: CardWatch | None = None
        self.baseline_cost: BaselineCost | None = None
        self.work = LaneWork()
        self._task = task
        self._manifest = task.manifest
        self._spec = spec = spec_of(task.manifest)
        self._own_split = hashlib.sha256(task_key + task.id).digest()  # for runs that name no split
        self._is_of_baseline = is_of_baseline(task.manifest)
        self._is_exact = is_exact(task.manifest)
        recipe = recipe_of(task)
        self._builder = Builder(task.manifest, recipe, self.work)
        self._data = recipe.data
        card = _card(task.manifest, device)
        # An imported evaluator calls the candidate's functions and measures them.
        measuring = Candidate if spec.module is None else Evaluations
        self._candidate = measuring(task, self.work, card=card)
        self._cores = Cores(is_on_card=card is not None)
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
            has_evaluated=spec.module is not None,
            work=self.work,
        )
        self.instances = MadeInstances(task, self._judge)
        self._executor = Executor(
            task,
            candidate=self._candidate,
            judge=self._judge,
            instances=self.instances,
            asking=self._asking,
            cores=self._cores,
        )
        self._running = asyncio.Lock()
        self._judging = asyncio.Lock()

    @property
    def budget_tokens(self) -> int:
        return 0

    @property
    def metric_tolerance(self) -> float:
        return 0.0

    async def grown(self) -> None:
        """Do nothing: no data is still loading."""

    async def completed(self) -> None:
        """Do nothing: all data is loaded."""

    def expect_no_more(self) -> None:
        """Do nothing: no run is started in advance."""

    def _asking_of(self, budget: ModelBudget, models: KeptModels | None) -> Asking:
        task, recipe = self._task, recipe_of(self._task)
        instances = self._spec.instances
        return Asking(task.name, budget, instances, recipe, models=models, work=self.work)

    async def close(self) -> None:
        await self._candidate.close()
        await self._judge.close()
        for asking in (self._asking, self._judges_asking):
            if asking is not None:
                await asking.close()
        self._builder.close()

    async def run(self, request: Request, meter: Meter) -> bytes:
        """Return the answers of a source to all its instances, with the cost of each."""
        async with self._running:
            timeline = meter.timeline
            timeline.enter("train", "build")
            host_load = HostLoad(self.work)
            try:
                if self._data is not None:
                    await asyncio.to_thread(self._data.check)
                package = await self._builder.package(request.source)
                meter.log_tail = package.log[-LOG_CHARACTERS:]
                base = None
                if self._is_of_baseline:
                    base = await self._builder.package(self._task.source)
                nonce = self.instances.fresh_nonce()
                asked = await self.asked(request, nonce)
                await self.instances.warm_ups()  # once, before candidates ask for them
                timeline.enter("train", "train")
                results = await self._executor.run_all(package, base, asked, meter)
            except ProgramFailed as failed:
                meter.log_tail = (meter.log_tail + failed.log)[-LOG_CHARACTERS:]
                raise
            finally:
                timeline.leave("train")
                meter.outside_share = host_load.share()
                meter.others_share = host_load.share_with_lanes()
            public = [one for one, name in zip(results, asked, strict=True) if not name.is_secret]
            meter.wall_s = sum(one.wall_s for one, _ in public)
            meter.train_cpu_s = sum(one.cpu_s for one, _ in public)
            meter.cost = StageCosts(train_s=meter.train_cpu_s)
            meter.peak_mem_bytes = max(one.peak_bytes for one, _ in public)
            return Product(nonce=nonce, results=results).packed()

    async def forged(self, asked: DrawnInstance, forge: Forge) -> bytes:
        """Return an evaluator's verdict on the baseline after `forge` changed its replies."""
        package = await self._builder.package(self._task.source)
        return await self._executor.forged(package, asked, forge)

    async def score(self, request: Request, product: bytes, meter: Meter) -> Scores:
        """Return the scores of a run's answers on both splits."""
        async with self._judging:
            began_s = time.monotonic()
            meter.timeline.enter("score", "score")
            try:
                made = Product.unpacked(product)
                asked, answers = await self.asked(request, made.nonce), made.results
                # If a judge asks a model, scoring may be repeated, because the model may be away.
                meter.has_rows = self._judges_asking is None
                measured = await self._checked(asked, answers)
            finally:
                meter.timeline.leave("score")
                meter.score_wall_s = time.monotonic() - began_s
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
        """Return the score of a peer's answers to the fixed instances. Raises RunFailed."""
        fixed = self._spec.instances.fixed
        answers = answers_in(evidence, most_bytes=self._spec.limits.answer_mb * 1_000_000)
        if not self._is_exact or answers is None or len(answers) != len(fixed):
            raise RunFailed("rejected", "the evidence has no answers to the task's instances")
        async with self._judging:
            began_s = time.monotonic()
            asked = await self.instances.of_run(0, self._own_split)
            try:
                measured = await self._checked(asked, [(result_of(one), None) for one in answers])
            finally:
                meter.score_wall_s = time.monotonic() - began_s
        nano = self._figure(measured, size=0)
        return Scores(
            answers=None, public_nano=nano, secret_nano=nano, audit=None, evidence=evidence
        )

    async def asked(self, request: Request, nonce: bytes = NO_NONCE) -> list[DrawnInstance]:
        """Return a run's instances. The secret ones depend on the key of the split.

        A screen names no split, so it never uses a holdout.
        """
        key = request.split or self._own_split
        found = await self.instances.of_run(request.seed, key, nonce)
        if self._spec.holdout is not None and request.split is None:
            return [one for one in found if not one.is_secret]
        return found

    # Judging

    async def _checked(
        self,
        asked: Sequence[DrawnInstance],
        answers: Sequence[tuple[InstanceResult, InstanceResult | None]],
    ) -> list[InstanceMeasurement]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._check(one, *pair))
                    for one, pair in zip(asked, answers, strict=True)
                ]
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from None
        return [task.result() for task in tasks]

    async def _check(
        self, asked: DrawnInstance, result: InstanceResult, base: InstanceResult | None
    ) -> InstanceMeasurement:
        async with self._cores.one():
            verdict = await self._judge.check(asked.data, result.answer, self.judges_asking(asked))
        if verdict.wrong:
            message = f"{asked.words} is answered wrong"
            if asked.is_secret:
                raise RunFailed("rejected", message)
            raise RunFailed("rejected", f"{message}: {verdict.wrong}", unquoted=message)
        base_measured = None if base is None else measured_of(base)
        return replace(measured_of(result), figures=verdict.figures, base=base_measured)

    def judges_asking(self, asked: DrawnInstance) -> Callable[[], Questions] | None:
        """Return a factory for the models' replies to a judge's questions about an instance."""
        asking = self._judges_asking
        if asking is None:
            return None
        seed = asked.name.judges_model_seed
        return lambda: asking.questions(seed, run_seed=asked.run_seed)

    async def size_of(self, source: Source) -> int:
        """Return the bytes of a source, or of its build if the metric is `build_bytes`."""
        if self._manifest.metric.name == "build_bytes":
            return (await self._builder.package(source)).built_bytes
        return sum(len(data) for _, data in source.files)

    def _figure(self, measured: Sequence[InstanceMeasurement], size: int) -> int:
        try:
            nano = metric_nano(self._manifest, measured, size=size)
        except Unfit as fault:
            raise RunFailed("rejected", str(fault)) from fault
        if impossible(nano, self._manifest):
            raise RunFailed(
                "rejected",
                "better than the bound on what is possible: a fault of the judge or a lie",
            )
        return nano if self._is_exact else coarse(nano, self._manifest)

    def _secret_figure(self, measured: Sequence[InstanceMeasurement], size: int) -> int:
        """Return the figure of the secret split, as `_figure` does.

        The failure message is always the same, because details would reveal digits of the figure.
        """
        try:
            return self._figure(measured, size)
        except RunFailed as failed:
            raise RunFailed(failed.status, "no metric on the secret split") from failed

    def _guarded(
        self, public: Sequence[InstanceMeasurement], secret: Sequence[InstanceMeasurement]
    ) -> dict[str, float]:
        """Check a run against the task's guards and the baseline's first run.

        Return the guards' values in this run. Raises RunFailed if a guard fails.
        """
        try:
            found = guarded(self._spec.guards, [*public, *secret])
        except Unfit as fault:
            raise RunFailed("rejected", str(fault)) from fault
        base: dict[str, float] = {}
        if self.baseline_cost is not None:
            base = self.baseline_cost.audited  # type: ignore[assignment]  # this class set it
        if guard_fault(self._spec.guards, found, base):
            # The message shows digits of the public split only.
            shown = guard_fault(self._spec.guards, guarded(self._spec.guards, public), base)
            raise RunFailed("rejected", shown or "a guard fails on the secret instances")
        return found


def _card(manifest: TaskManifest, device: Device | None) -> Device | None:
    """Return the card that a task's candidates use, None if they use none."""
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
