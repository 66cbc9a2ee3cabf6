"""Makes one run of a source: train it in a sandbox, score it in others, audit its answers.

The limits for the stages of a run come from the cost of the baseline's stages on this machine.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

from protocol.errors import ArnodeError
from protocol.runs import CONTENDED, SHOWN, TIGHT
from protocol.source import Source
from trainer.host.device import Device, processor
from trainer.measuring.cost import UNLIMITED, Pace, StageCosts
from trainer.measuring.host_load import HostLoad
from trainer.measuring.kind import NeedsAudit, Prepared, Request, Scores, always
from trainer.measuring.loss_curve import LossCurve
from trainer.measuring.metering import RunFailed
from trainer.measuring.models import KeptModels
from trainer.measuring.outcome import Answers, BaselineCost, Meter, RunOutcome
from trainer.measuring.timeline import Timeline, in_order
from trainer.measuring.training import PATIENCE_S, Trained, Training
from trainer.sandbox.compiled import CompiledCode
from trainer.sandbox.visible import visible_tree
from trainer.task_folder.task import Task
from trainer.task_kinds import kind_of

_CALIBRATIONS = 2


class Runner:
    """Measures sources of one task on one device (default: the processor), one at a time.

    `audit_key` is a secret. Together with the run it determines the positions that an audit checks.
    If other programs disturb a run, it may wait up to `patience_s` for an idle minute. `models` are
    the language models that sources may call, if the task allows it.

    Raises ConfigurationError if the task cannot be measured, for example because its evaluator does
    not compute its metric.
    """

    def __init__(
        self,
        task: Task,
        data: Prepared,
        *,
        device: Device | None = None,
        compiled: CompiledCode | None = None,
        audit_key: bytes,
        patience_s: float = PATIENCE_S,
        models: KeptModels | None = None,
    ) -> None:
        self.task = task
        self.device = device = device or processor()
        self._watching = AsyncExitStack()
        self._stages = kind_of(task.manifest).measuring(
            task, data, device=device, compiled=compiled, audit_key=audit_key, models=models
        )
        self._training = Training(
            self._stages,
            baseline=task.source,
            is_card_used=self.is_used_by_others,
            patience_s=patience_s,
        )
        self._pace: Pace | None = None

    @property
    def baseline_cost(self) -> BaselineCost | None:
        """The cost of the baseline, measured on this machine in this session.

        It is None before `calibrate`.
        """
        return self._stages.baseline_cost

    @baseline_cost.setter
    def baseline_cost(self, measured: BaselineCost | None) -> None:
        self._stages.baseline_cost = measured
        self._pace = None if measured is None else self._pace_from(measured.cost, share=0.0)

    @property
    def is_timed(self) -> bool:
        """True if `calibrate` has measured the cost of the baseline."""
        return self.baseline_cost is not None

    @property
    def machine(self) -> str:
        """The name of the remote machine that measures; empty, since this runner is local."""
        return ""

    @property
    def is_there(self) -> bool:
        """True if runs can be measured now. Always True here, since the device is local."""
        return True

    def notify_presence(self, on_change: Callable[[], None]) -> None:
        """Do nothing, since `is_there` never changes."""

    @property
    def metric_tolerance(self) -> float:
        """The audits' tolerance in the metric's unit; 0 before `calibrate`."""
        return self._stages.metric_tolerance

    async def close(self) -> None:
        """End the sandboxes that are waiting for a source."""
        await self._stages.close()
        await self._watching.aclose()

    async def open(self) -> None:
        """Start watching the device if it is a card. Raises CardLost.

        This must happen before the first run, so that the watch learns the idle card's load.
        """
        if self.device.cuda is not None and self._stages.watch is None:
            from trainer.cards.watch import watching

            watch = await self._watching.enter_async_context(watching(self.device.cuda))
            await watch.rested()
            self._stages.watch = watch

    def expect_no_more(self) -> None:
        """Announce that the next run may be the last, so that no sandbox is started for another."""
        self._stages.expect_no_more()

    def hurry(self) -> None:
        """Stop runs from waiting for an idle minute: `run` raises PutOff instead."""
        self._training.hurry()
        self.expect_no_more()

    def notify_waits(self, on_wait: Callable[[], None]) -> None:
        """Set the function to call whenever a run begins to wait for an idle minute."""
        self._training.on_wait = on_wait

    @property
    def waits_s(self) -> tuple[float, ...]:
        """For each run that waits for an idle minute, the seconds that it may still wait."""
        return self._training.waits_s

    def is_used_by_others(self) -> bool:
        """Return True if other programs used the card noticeably since the last call."""
        return self._stages.watch is not None and self._stages.watch.is_used_by_others()

    async def calibrate(self, seed: int, *, split: bytes | None = None) -> RunOutcome:
        """Run the baseline, and store its cost for this session; `split` is as in `run`.

        Raises ArnodeError if the baseline fails.
        """
        self.baseline_cost = None
        tree = visible_tree(with_cuda=self.device.cuda is not None)
        warming_up = asyncio.create_task(asyncio.to_thread(tree.warm_up))
        load = HostLoad(self._stages.work)
        try:
            for _ in range(_CALIBRATIONS):
                outcome = await self.run(self.task.source, seed, split=split)
                if outcome.status != "crash":  # retry a crash once: its cause may be temporary
                    break
        finally:
            await warming_up
        if self.baseline_cost is None:
            raise ArnodeError(
                f"the task's baseline failed here ({outcome.status}): {outcome.reason}",
                "`arnode doctor` checks this machine; `arnode task check` checks a task of yours",
                printed=outcome.log_tail,
            )
        self._pace = self._pace_from(self.baseline_cost.cost, share=load.share_with_lanes())
        return outcome

    async def run(
        self,
        source: Source,
        seed: int,
        *,
        split: bytes | None = None,
        needs_audit: NeedsAudit = always,
        incumbent: Answers | None = None,
        on_trained: Callable[[], None] = lambda: None,
        session_ends_s: float = math.inf,
        is_fresh: bool = False,
        on_training: Callable[[LossCurve], None] = lambda _curve: None,
        is_hopeless: Callable[[LossCurve], str | None] = lambda _curve: None,
        on_product: Callable[[bytes], None] = lambda _product: None,
    ) -> RunOutcome:
        """Train a source with a seed and score it.

        - `split`: the 32-byte key of a secret split. Without it the run draws a secret split of its
          own.
        - `needs_audit`: decides if the run is audited. It is called with the public and the secret
          metric in 1e-9 units, once both are known.
        - `incumbent`: the answers on the public split that the audit compares with (default: the
          baseline's).
        - `on_trained`: called when the next run may train.
        - `session_ends_s`: the time (`time.monotonic`) after which the run no longer waits for an
          idle minute.
        - `is_fresh`: use only sandboxes that are not forked.
        - `on_training`: receives the loss curve, which fills during training. It receives a new
          curve if the source is trained again.
        - `is_hopeless`: called with the curve during training. If it returns a reason, the run is
          stopped.
        - `on_product`: receives the product of a successful run, such as weights.

        A disturbed run is repeated only if the source has not seen a scored row yet.

        Raises ValueError before `calibrate`. Raises PutOff if the run would have to wait after
        `session_ends_s`, or if `hurry` is called while it waits.
        """
        if self.baseline_cost is None and source.tree != self.task.source.tree:
            raise ValueError("the baseline is not measured yet: call calibrate() first")
        request = Request(
            source=source,
            seed=seed,
            split=split,
            needs_audit=needs_audit,
            incumbent=incumbent,
            is_fresh=is_fresh,
            on_training=on_training,
            is_hopeless=is_hopeless,
            ceiling=UNLIMITED if self._pace is None else self._pace.ceiling(0.0),
        )
        uncounted = Timeline()
        try:
            trained = await self._training.run(
                request, self._pace, on_trained, uncounted, session_ends_s=session_ends_s
            )
        finally:
            on_trained()
        outcome = await self._scored_outcome(trained, uncounted)
        if outcome.status == "ok":
            on_product(trained.product)
        if self._pace is None and self.baseline_cost is not None:
            # The first run of a new line is the baseline's: it sets the limits of later runs.
            share = trained.meter.others_share
            self._pace = self._pace_from(self.baseline_cost.cost, share=share)
        return replace(outcome, stages=in_order((*uncounted.stages, *outcome.stages)))

    async def judged(self, evidence: bytes, seed: int) -> RunOutcome:
        """Judge a peer's evidence, without executing its code; the outcome has the flag `SHOWN`."""
        meter, scores, failed = Meter(), None, None
        try:
            scores = await self._stages.judged(evidence, meter)
        except RunFailed as failure:
            failed = failure
        return _outcome(meter, seed, scores, failed, flags=(SHOWN,))

    async def _scored_outcome(self, trained: Trained, uncounted: Timeline) -> RunOutcome:
        meter, failed = trained.meter, trained.failed
        scores: Scores | None = None
        fault: ArnodeError | None = None
        if failed is None:
            request = await self._as_loaded(trained, uncounted)
            try:
                scores = await self._stages.score(request, trained.product, meter)
            except RunFailed as failure:
                failed = failure
            except ArnodeError as error:
                if not meter.has_rows:
                    raise
                # This counts as a failed run: a source must not gain a second run by an error.
                fault, failed = error, RunFailed("crash", f"cut off while scored: {error.message}")
        flags = meter.card.flags if meter.card else ()
        if trained.is_contended and CONTENDED not in flags:
            flags = (CONTENDED, *flags)
        if trained.is_tight:
            flags = (*flags, TIGHT)
        outcome = _outcome(meter, trained.request.seed, scores, failed, flags=flags)
        return replace(outcome, tokens=self._stages.budget_tokens, fault=fault)

    async def _as_loaded(self, trained: Trained, uncounted: Timeline) -> Request:
        """Return the request with scoring ceilings that fit the machine's present load.

        The ceilings must be known before the source sees its first row. If they are unknown for
        this load, measure them by scoring the baseline's weights.
        """
        request, pace, share = trained.request, self._pace, trained.meter.others_share
        if pace is None or self.baseline_cost is None or self.device.cuda is not None:
            return request
        if not pace.knows_serving(share) and self.baseline_cost.product:
            meter, load = Meter(), HostLoad(self._stages.work)
            began_s = time.monotonic()
            timed = replace(request, source=self.task.source, split=None, ceiling=UNLIMITED)
            timed = replace(timed, needs_audit=always, incumbent=None)
            with contextlib.suppress(RunFailed):
                await self._stages.score(timed, self.baseline_cost.product, meter)
                pace.learn_serving(load.share_with_lanes(), meter.cost, wanted=share)
            uncounted.add("train", "baseline", began_s, time.monotonic())
        serving = pace.ceiling(share)
        return replace(request, ceiling=replace(serving, train_s=request.ceiling.train_s))

    def _pace_from(self, cost: StageCosts, *, share: float) -> Pace:
        return Pace(
            cost,
            share,
            has_token_budget=bool(self._stages.budget_tokens),
            by_clock=self.device.cuda is not None,
        )


def _outcome(
    meter: Meter,
    seed: int,
    scores: Scores | None,
    failed: RunFailed | None,
    *,
    flags: tuple[str, ...],
) -> RunOutcome:
    return RunOutcome(
        seed=seed,
        status=failed.status if failed else "ok",
        metric_nano=scores.public_nano if scores else None,
        secret_nano=scores.secret_nano if scores else None,
        ms=round(meter.wall_s * 1000),
        cpu_ms=round(meter.train_cpu_s * 1000),
        serve_ms=round(meter.score_wall_s * 1000),
        tokens=0,
        peak_mem_bytes=meter.peak_bytes,
        audit=scores.audit if scores else None,
        flags=flags,
        reason=failed.reason if failed else None,
        unquoted=failed.unquoted if failed else None,
        log_tail=meter.log_tail,
        answers=scores.answers if scores else None,
        stages=meter.timeline.stages,
        curve=meter.curve.points,
        steps=meter.curve.steps,
        evidence=scores.evidence if scores else None,
    )
