"""One run: train a source in a sandbox, score what it predicts in others, judge whether it lied.

What the stages cost the task's baseline tree here decides what they may cost a candidate.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

from protocol.errors import ArnodeError
from protocol.runs import CONTENDED
from protocol.source import Source
from trainer.compiled import CompiledCode
from trainer.cost import UNLIMITED, Cost
from trainer.crowd import Crowd
from trainer.device import Device, processor
from trainer.evaluators import check_metric
from trainer.evaluators.lm_bpb_1 import Floats
from trainer.metering import OverCeiling, RunFailed
from trainer.outcome import Meter, RunOutcome, Yardstick
from trainer.sandbox.visible import visible_tree
from trainer.stages import Request, Scores, Stages
from trainer.supply import NotThereYet
from trainer.task import Task
from trainer.text.data import TaskData
from trainer.timeline import Timeline, in_order

_SLOWER = 1.05  # a baseline that takes this much longer means a crowded machine
_ATTEMPTS = 3  # on one
_CALIBRATIONS = 2


class CeilingExceeded(Exception):  # noqa: N818 -- an outcome that `run` looks at once more
    """A run ended at a ceiling of its cost; `outcome` says so."""

    def __init__(self, outcome: RunOutcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class Contended(Exception):  # noqa: N818 -- an event: the run is repeated
    """Others used the card while a run trained on it."""


class Runner:
    """Measures sources of one task on one device (default: the processor), one at a time.

    Raises ConfigurationError for a task whose metric is another one than its evaluator's.
    """

    def __init__(
        self,
        task: Task,
        data: TaskData,
        *,
        device: Device | None = None,
        compiled: CompiledCode | None = None,
        random_seed: Callable[[], int],
    ) -> None:
        check_metric(task.manifest)
        self.task = task
        self.device = device = device or processor()
        self._watching = AsyncExitStack()
        self._stages = Stages(task, data, device=device, compiled=compiled, random_seed=random_seed)

    @property
    def yardstick(self) -> Yardstick | None:
        """What the baseline tree costs here in this session; None before `calibrate`."""
        return self._stages.yardstick

    @yardstick.setter
    def yardstick(self, measured: Yardstick | None) -> None:
        self._stages.yardstick = measured

    @property
    def metric_tolerance(self) -> float:
        """The audit's tolerance in the metric's unit (bits per byte); 0 before `calibrate`."""
        if self.yardstick is None:
            return 0.0
        return self.yardstick.tolerance.mean * self._stages.splits.bits_per_nat

    async def close(self) -> None:
        """End the sandboxes that wait for a source."""
        await self._stages.close()
        await self._watching.aclose()

    async def open(self) -> None:
        """Watch the card, if it is one, before anything of ours is on it. Raises CardLost."""
        if self.device.cuda is not None and self._stages.watch is None:
            from trainer.cards.watch import watching

            watch = await self._watching.enter_async_context(watching(self.device.cuda))
            await watch.rested()
            self._stages.watch = watch

    def is_used_by_others(self) -> bool:
        """Whether others used the card noticeably since this was last asked."""
        return self._stages.watch is not None and self._stages.watch.is_used_by_others()

    async def calibrate(self, seed: int, *, split: bytes | None = None) -> RunOutcome:
        """Run the task's baseline tree and make it this session's yardstick; `split` as in `run`.

        Raises ArnodeError when the baseline itself does not come through.
        """
        self.yardstick = None
        tree = visible_tree(with_cuda=self.device.cuda is not None)
        warming_up = asyncio.create_task(asyncio.to_thread(tree.warm_up))
        try:
            for _ in range(_CALIBRATIONS):
                outcome = await self.run(self.task.source, seed, split=split)
                if outcome.status != "crash":  # as when something outside killed it
                    break
        finally:
            await warming_up
        if self.yardstick is None:
            raise ArnodeError(
                f"the task's own baseline failed here ({outcome.status}): {outcome.reason}",
                "`arnode doctor` looks at this machine, `arnode task check` at an own task",
            )
        return outcome

    async def run(
        self,
        source: Source,
        seed: int,
        *,
        split: bytes | None = None,
        needs_audit: Callable[[int, int], bool] = lambda _public, _secret: True,
        incumbent: Floats | None = None,
        on_trained: Callable[[], None] = lambda: None,
    ) -> RunOutcome:
        """Train a source with a seed and score it.

        `split` is the secret key of a secret split, 32 bytes; without one it is a split that no
        other run sees. `needs_audit` is asked with (public, secret) in 1e-9 units once the claims
        are known; `incumbent` are the claims of the public rows to aim the audit with (default: the
        baseline's); `on_trained` is called when the next run may train. Raises ValueError before
        `calibrate`.
        """
        if self.yardstick is None and source.tree != self.task.source.tree:
            raise ValueError("a session measures its baseline before anything else")
        request = Request(
            source=source,
            seed=seed,
            split=split,
            needs_audit=needs_audit,
            incumbent=incumbent,
            ceiling=UNLIMITED if self.yardstick is None else self._ceiling(self.yardstick.cost),
        )
        contended, aside = False, Timeline()
        for left in reversed(range(_ATTEMPTS)):
            crowd, began_s = Crowd(), time.monotonic()
            try:
                outcome = await self._attempt_on_all(request, on_trained, may_be_contended=not left)
                break
            except Contended:
                aside.add("train", "attempt", began_s, time.monotonic())
                continue
            except CeilingExceeded as exceeded:
                outcome, ended_s = exceeded.outcome, time.monotonic()
            # Before a candidate is blamed, the baseline is timed beside it. Its metric is not
            # known yet: repeating the run picks nothing.
            fresh = await self._cost_now()
            aside.add("train", "baseline", ended_s, time.monotonic())
            if fresh is None or self.yardstick is None:
                break
            known = self.yardstick.cost
            if not (crowd.is_noticeable() or fresh.exceeds(known, _SLOWER)):
                break
            contended = True
            if left:
                aside.add("train", "attempt", began_s, ended_s)
            request = replace(request, ceiling=self._ceiling(known.at_least(fresh)))
        if contended and CONTENDED not in outcome.flags:
            outcome = replace(outcome, flags=(CONTENDED, *outcome.flags))
        return replace(outcome, stages=in_order((*aside.stages, *outcome.stages)))

    async def _cost_now(self) -> Cost | None:
        """What the baseline tree costs at this moment; None when even that fails."""
        request = Request(
            source=self.task.source,
            seed=0,
            split=None,
            needs_audit=lambda _public, _secret: True,
            incumbent=None,
            ceiling=UNLIMITED,
        )
        meter = Meter()
        outcome = await self._attempt(request, meter, lambda: None)
        return meter.cost if outcome.status == "ok" else None

    async def _attempt_on_all(
        self, request: Request, on_trained: Callable[[], None], *, may_be_contended: bool
    ) -> RunOutcome:
        """Run once, again whenever it needed data that were still on their way."""
        while True:
            try:
                return await self._attempt(
                    request, Meter(), on_trained, may_be_contended=may_be_contended
                )
            except NotThereYet:
                await self._stages.wait_for_data()

    async def _attempt(
        self,
        request: Request,
        meter: Meter,
        on_trained: Callable[[], None],
        *,
        may_be_contended: bool = True,
    ) -> RunOutcome:
        """Run once.

        Raises CeilingExceeded, which carries the outcome, if it cost too much, and Contended if
        others kept a card from it and it may not be.
        """
        scores: Scores | None = None
        failed: RunFailed | None = None
        try:
            try:
                weights = await self._stages.train(request, meter)
                # Before anything is known of what it is worth: repeating it picks nothing.
                if meter.is_contended and not may_be_contended:
                    raise Contended
            finally:
                on_trained()
            scores = await self._stages.score(request, weights, meter)
        except RunFailed as failure:
            failed = failure
        outcome = RunOutcome(
            seed=request.seed,
            status=failed.status if failed else "ok",
            metric_nano=scores.public_nano if scores else None,
            secret_nano=scores.secret_nano if scores else None,
            ms=round(meter.wall_s * 1000),
            cpu_ms=round(meter.train_cpu_s * 1000),
            serve_ms=round(meter.claim_wall_s * 1000),
            tokens=self._stages.budget_tokens,
            peak_mem_bytes=meter.peak_bytes,
            audit=scores.audit if scores else None,
            flags=meter.card.flags if meter.card else (),
            reason=failed.reason if failed else None,
            unquoted=failed.unquoted if failed else None,
            log_tail=meter.log_tail,
            claims=scores.claims if scores else None,
            stages=meter.timeline.stages,
        )
        if isinstance(failed, OverCeiling):
            raise CeilingExceeded(outcome)
        return outcome

    def _ceiling(self, baseline: Cost) -> Cost:
        return baseline.ceiling(
            has_token_budget=bool(self._stages.budget_tokens),
            by_clock=self.device.cuda is not None,
        )
