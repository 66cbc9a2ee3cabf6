"""The stages of a program's run as single steps, for checking a task with its baseline.

`trainer.program.stages` makes the runs. The bench adds two judges with different hash seeds. They
differ in the order of sets and in memory layout, which reveals a judge that depends on either.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from trainer.host.device import Device
from trainer.measuring.cost import UNLIMITED
from trainer.measuring.host_load import LaneWork
from trainer.measuring.kind import Request, always
from trainer.measuring.models import KeptModels
from trainer.measuring.outcome import Meter
from trainer.program.candidate import Forge, InstanceResult
from trainer.program.instances import DrawnInstance
from trainer.program.judge import Judge, Verdict, verdict_of
from trainer.program.manifest import recipe_of, spec_of
from trainer.program.metric import MEASURED, InstanceMeasurement, Unfit, metric_nano
from trainer.program.product import Product
from trainer.program.stages import ProgramStages
from trainer.sandbox.frames import ForgedFrame, SandboxEnded
from trainer.task_folder.task import Task

_KEY: Final = hashlib.sha256(b"arnode/task check/1").digest()  # not secret: no result is kept
_MOST_MESSAGES: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedVerdict:
    """A judge's verdict, and the seconds that it took."""

    verdict: Verdict
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRun:
    """A run of the baseline: its instances, its answers and its duration."""

    seed: int
    asked: Sequence[DrawnInstance]
    results: Sequence[tuple[InstanceResult, InstanceResult | None]]
    seconds: float
    judged: Sequence[TimedVerdict] = field(default=())

    @property
    def answers(self) -> list[bytes]:
        return [one.answer for one, _ in self.results]


class Bench:
    """Makes single instances of a task, runs its baseline on them and judges the answers."""

    def __init__(
        self, task: Task, *, device: Device | None = None, models: KeptModels | None = None
    ) -> None:
        self.task = task
        self.manifest = task.manifest
        self.spec = spec_of(task.manifest)
        self.judge, self.other_judge = (self._judge(seed) for seed in (0, 1))
        self._stages = ProgramStages(task, task_key=_KEY, device=device, models=models)

    def _judge(self, hash_seed: int) -> Judge:
        return Judge(
            self.task.name,
            recipe_of(self.task),
            encoding=self.spec.encoding,
            interactive=self.spec.interactive,
            asks=self.spec.judge_llm is not None,
            has_evaluated=self.spec.module is not None,
            work=LaneWork(),
            hash_seed=hash_seed,
        )

    async def close(self) -> None:
        """End all sandboxes."""
        await self._stages.close()
        await self.judge.close()
        await self.other_judge.close()

    async def asked(self, seed: int) -> list[DrawnInstance]:
        """Return a run's instances. Raises ConfigurationError if the judge makes none."""
        return await self._stages.asked(self._request(seed))

    async def again(self, judge: Judge, asked: Sequence[DrawnInstance]) -> list[bytes]:
        """Let a judge make the same instances again, in the given order."""
        names = [one.name for one in asked]
        return await judge.make(names, most_bytes=self.spec.limits.instance_mb * 1_000_000)

    async def run(self, seed: int) -> BaselineRun:
        """Run the baseline with a seed. Raises RunFailed."""
        request = self._request(seed)
        began_s = time.monotonic()
        product = Product.unpacked(await self._stages.run(request, Meter()))
        seconds = time.monotonic() - began_s
        asked = await self._stages.asked(request, product.nonce)
        return BaselineRun(seed=seed, asked=asked, results=product.results, seconds=seconds)

    async def judged(self, run: BaselineRun) -> BaselineRun:
        """Return a run with the judge's verdict on each answer."""
        both = zip(run.asked, run.answers, strict=True)
        judged = [await self.check(asked, answer) for asked, answer in both]
        return replace(run, judged=judged)

    async def check(
        self, asked: DrawnInstance, answer: bytes, judge: Judge | None = None
    ) -> TimedVerdict:
        """Return a judge's verdict on an answer, by default the first judge's."""
        began_s = time.monotonic()
        asking = self._stages.judges_asking(asked)
        verdict = await (judge or self.judge).check(asked.data, answer, asking)
        return TimedVerdict(verdict=verdict, seconds=time.monotonic() - began_s)

    async def forged(self, asked: DrawnInstance, forge: Forge) -> TimedVerdict:
        """Return an evaluator's verdict on the baseline after `forge` changed its replies.

        Raises RunFailed.
        """
        began_s = time.monotonic()
        verdict = verdict_of(await self._stages.forged(asked, forge))
        return TimedVerdict(verdict=verdict, seconds=time.monotonic() - began_s)

    async def spoken(self, instance: bytes, replies: Sequence[bytes]) -> bytes | None:
        """Return the transcript of a conversation in which the candidate sends these replies.

        The last reply is repeated if the judge sends more messages. Returns None if the
        conversation does not end properly.
        """
        most_bytes = self.spec.limits.instance_mb * 1_000_000
        try:
            async with self.judge.talk(instance, most_bytes=most_bytes) as conversation:
                for number in range(_MOST_MESSAGES):
                    if await conversation.message() is None:
                        return conversation.transcript
                    await conversation.reply(replies[min(number, len(replies) - 1)])
        except (SandboxEnded, ForgedFrame, OSError):
            return None
        return None

    def figure(self, verdict: Verdict, answer: bytes) -> float:
        """Return an answer's value of the metric; 0 if the metric does not depend on answers.

        Raises Unfit if the judge does not report the metric.
        """
        name = self.manifest.metric.name
        if name in MEASURED:
            return float(len(answer)) if name == "answer_bytes" else 0.0
        if name not in verdict.figures:
            raise Unfit(f"the judge's check() did not return {name!r}")
        return verdict.figures[name]

    async def metric(self, run: BaselineRun, *, secret: bool) -> int:
        """Return a judged run's metric on one of its splits, in 1e-9 units. Raises Unfit."""
        if self.spec.instances.fixed:
            secret = False
        measured = [
            _measured(result, base, judged.verdict)
            for asked, (result, base), judged in zip(
                run.asked, run.results, run.judged, strict=True
            )
            if asked.is_secret == secret
        ]
        size = await self._stages.size_of(self.task.source)
        return metric_nano(self.manifest, measured, size=size)

    def measured(self, run: BaselineRun) -> list[InstanceMeasurement]:
        """Return the measurements and figures of each of a run's instances."""
        both = zip(run.results, run.judged, strict=True)
        return [_measured(result, base, judged.verdict) for (result, base), judged in both]

    def _request(self, seed: int) -> Request:
        return Request(
            source=self.task.source,
            seed=seed,
            split=_KEY,
            needs_audit=always,
            incumbent=None,
            ceiling=UNLIMITED,
        )


def _measured(
    result: InstanceResult, base: InstanceResult | None, verdict: Verdict
) -> InstanceMeasurement:
    return InstanceMeasurement(
        wall_s=result.wall_s,
        cpu_s=result.cpu_s,
        instructions=result.instructions,
        peak_bytes=result.peak_bytes,
        answer_bytes=len(result.answer),
        figures=verdict.figures,
        base=None if base is None else _measured(base, None, verdict),
    )
