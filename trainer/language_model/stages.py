"""The three stages of a run on one device, each in a sandbox of its own.

train (no data until the clock starts) → score (no data, only weights) → audit (positions drawn only
now). This module runs outside the sandboxes and measures every figure. The candidate's output is
only stored as a log, and the loss that it prints during training is only shown as a curve.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from protocol.runs import Audit, Status
from protocol.units import NANO
from trainer.host.device import Device
from trainer.language_model.data import TaskData
from trainer.language_model.evaluator import LogProbs, Tolerance
from trainer.language_model.harness import HARNESS
from trainer.language_model.job import job_message, run_job
from trainer.language_model.manifest import may_run_alongside
from trainer.language_model.scoring import ScoredRows, ask_audit, ask_log_probs, audit_random
from trainer.language_model.secret_splits import LogProbCache, SecretSplits, coarse_audit
from trainer.language_model.supply import Supply
from trainer.language_model.weights import MAX_HEADER_BYTES, check_weights
from trainer.measuring.cost import OVERTIME, UNLIMITED
from trainer.measuring.host_load import HostLoad, LaneWork
from trainer.measuring.kind import Request, Scores
from trainer.measuring.metering import (
    RunFailed,
    check_start,
    given_up,
    held,
    metered_limit,
    restarted,
    stage,
    wall_limit,
)
from trainer.measuring.outcome import BaselineCost, Meter
from trainer.measuring.timeline import Timeline
from trainer.sandbox.compiled import CompiledCode
from trainer.sandbox.inside.channel import DATA, JOB, NEED_DATA, SERVING, WEIGHTS
from trainer.sandbox.pool import WarmPool
from trainer.sandbox.profile import Profile, Role
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.sealed import Sealed, sealed
from trainer.task_folder.task import Task

if TYPE_CHECKING:
    from trainer.cards.watch import CardWatch

_SERVE_WALL_S = 120.0  # needed since a serving script that sleeps uses no CPU seconds
_CALIBRATED = b""  # a key that is no tree's, for the baseline that calibrated this session
_SCRATCH_BYTES = 64 << 20
_CARD_SCRATCH_BYTES = 4 << 30  # room for a compiler's files
_CARD_THREADS = 1024  # room for a compiler's workers on a machine with many processors


@dataclass(frozen=True, slots=True)
class Audited:
    """The baseline's audit, which later audits of this session are compared with.

    `log_probs` are the baseline's log-probabilities on the public rows.
    """

    tolerance: Tolerance
    log_probs: LogProbs


class Stages:
    """Runs the stages: one training and one scoring at a time.

    With a budget of tokens, scoring may overlap the training of the next run, since the metric does
    not depend on the machine's load. With a budget of seconds, or if the metric is a time, nothing
    else of this node uses the device while the clock runs. Then only the part before the clock
    starts may overlap scoring.
    """

    def __init__(
        self,
        task: Task,
        data: TaskData,
        *,
        device: Device,
        compiled: CompiledCode | None,
        audit_key: bytes,
    ) -> None:
        self.watch: CardWatch | None = None  # while there is one
        self.baseline_cost: BaselineCost | None = None
        self.work = LaneWork()
        self._task = task
        self._data = data
        self.splits = SecretSplits(task.manifest, data)
        self._evaluator = self.splits.evaluator
        self._asked = self._evaluator.asked(task.manifest.context, data.vocabulary.size)
        self._log_prob_cache = LogProbCache()
        self._card = device if device.cuda is not None else None
        self._card_settings = device.script_settings
        self._compiled = compiled
        self._audit_key = audit_key
        self._pool = WarmPool({"train": self.profile("train"), "serve": self.profile("serve")})
        self.supply = Supply(data, self.budget_tokens)
        self.grown, self.completed = self.supply.grown, self.supply.completed
        self._training = asyncio.Lock()
        self._scoring = asyncio.Lock()
        self._clock = asyncio.Lock()

    @property
    def metric_tolerance(self) -> float:
        """The largest error of a score that an audit accepts; 0 before there is a baseline.

        It is in the metric's unit.
        """
        if self.baseline_cost is None:
            return 0.0
        return self._audited.tolerance.mean * self.splits.worth_of_one

    @property
    def _audited(self) -> Audited:
        """The findings of the baseline's audit; only available after it."""
        assert self.baseline_cost is not None  # noqa: S101 -- asked by the caller
        return cast("Audited", self.baseline_cost.audited)

    async def close(self) -> None:
        await self._pool.close()
        self.supply.close()

    async def judged(self, evidence: bytes, meter: Meter) -> Scores:
        """Raise RunFailed, since a training leaves no evidence that a judge could check."""
        raise RunFailed("rejected", "a training leaves no evidence that a judge could check")

    def expect_no_more(self) -> None:
        self._pool.start_no_next()

    @property
    def budget_tokens(self) -> int:
        budget = self._task.manifest.budget
        return budget.amount if budget.unit == "tokens" else 0

    async def run(self, request: Request, meter: Meter) -> bytes:
        """Return the weights that a source trains."""
        async with self._training:
            if self.watch is None:
                return await self._train(request, meter)
            async with self.watch.around() as window:
                try:
                    return await self._train(request, meter)
                finally:
                    meter.card = window.report

    async def score(self, request: Request, weights: bytes, meter: Meter) -> Scores:
        """Return the scores of weights on both splits.

        After a script has seen a row, nothing is repeated: the script could then estimate its
        metric, and cause a repetition to get a better one.
        """
        lost = contextlib.nullcontext() if self.watch is None else self.watch.around()
        async with self._scoring, self._nothing_else(), lost:
            scored = await asyncio.to_thread(self.splits.draw, request.split)
            log_probs = await restarted(partial(self._score_rows, request, weights, meter, scored))
            public = self.splits.metric(log_probs, scored, scored.public)
            secret = self.splits.metric(log_probs, scored, scored.secret)
            if (target_nano := self._task.manifest.target_nano) is not None:
                public = secret = self._time_nano((public, secret), target_nano, meter)
            audit, known = None, log_probs[scored.public]
            if await request.needs_audit(public, secret):
                stage = partial(self._audit, request, weights, meter, scored, log_probs)
                audit = await restarted(stage)
        return Scores(answers=known, public_nano=public, secret_nano=secret, audit=audit)

    def _time_nano(self, metrics_nano: tuple[int, int], target_nano: int, meter: Meter) -> int:
        """Return the training time as a share of the baseline's, in 1e-9 units.

        Raises RunFailed for a model that misses the target on either split.
        """
        *_, better = self._evaluator.METRIC
        worse_nano = max(metrics_nano) if better == "min" else min(metrics_nano)
        if worse_nano > target_nano if better == "min" else worse_nano < target_nano:
            reached, target = worse_nano / NANO, target_nano / NANO
            raise RunFailed("timeout", f"it reached {reached:.4f}, not the target of {target:g}")
        if self.baseline_cost is None:
            return NANO
        return round(self._trained_s(meter) / self.baseline_cost.trained_s * NANO)

    def _trained_s(self, meter: Meter) -> float:
        return meter.cost.train_s if self._card is None else meter.wall_s

    @contextlib.asynccontextmanager
    async def _stage(self, sandbox: Sandbox, name: str) -> AsyncIterator[None]:
        """Run the `with` body as a stage, watched on the card if there is one.

        An `oom` failure then names the card's memory limit.
        """
        with contextlib.nullcontext() if self.watch is None else self.watch.ours(sandbox.root):
            try:
                async with stage(sandbox, name):
                    yield
            except RunFailed as failed:
                limit = self.watch.memory_limit() if self.watch and sandbox.keeps_output else None
                if failed.status != "oom" or limit is None:
                    raise
                said, own = (f"{text}; {limit}" for text in (failed.reason, failed.unquoted))
                raise RunFailed("oom", said, unquoted=own) from failed

    def _nothing_else(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Reserve the device if other work on it would slow down the measured training."""
        may_overlap = may_run_alongside(self._task.manifest)
        return contextlib.nullcontext() if may_overlap else self._clock

    async def _train(self, request: Request, meter: Meter) -> bytes:
        limits, timeline = self._task.manifest.limits, meter.timeline
        first = await self.supply.part(request.seed, 0)
        sandbox = await self._pool.take("train", is_fresh=request.is_fresh)
        sandbox.on_output(meter.curve.feed)
        self._pool.warm("serve", is_fresh=request.is_fresh)
        self.work.begin(sandbox)
        host_load, ceiling_s = HostLoad(self.work), request.ceiling.train_s

        def overtime_s() -> float:
            """Return the extra seconds: 0 unless other programs load the machine.

            A fair ceiling for a loaded machine is known only after the training.
            """
            return (OVERTIME - 1) * ceiling_s if host_load.is_noticeable() else 0.0

        # Count from the arrival of the source, not of the data. A script could train before it has
        # data, on text that it contains or on the interpreter's own files.
        before_s, before_cpu_s = sandbox.metered_s(), sandbox.cpu_s()
        started_s: float | None = None
        try:
            async with (
                self._stage(sandbox, "training"),
                metered_limit(sandbox, ceiling_s, "training", overtime_s=overtime_s),
                given_up(lambda: request.is_hopeless(meter.curve)),
            ):
                timeline.enter("train", "build")
                if self._compiled is not None:
                    tree = request.source.tree
                    await asyncio.to_thread(sandbox.fill_compiled, self._compiled, tree)
                await sandbox.send(JOB, self._job("train", request))
                async with wall_limit(limits.warmup_limit_s, "the set-up before the data"):
                    await sandbox.receive(NEED_DATA)
                if self._compiled is not None:
                    await asyncio.to_thread(sandbox.keep_compiled, self._compiled, tree)
                async with self._nothing_else():
                    started_s = time.monotonic()
                    timeline.enter("train", "train")
                    async with wall_limit(limits.limit_s, "training"):
                        weights = await self._feed(sandbox, request, first, timeline)
        finally:
            timeline.leave("train")
            meter.wall_s = 0.0 if started_s is None else time.monotonic() - started_s
            meter.cost = replace(meter.cost, train_s=sandbox.metered_s() - before_s)
            meter.train_cpu_s = sandbox.cpu_s() - before_cpu_s
            meter.outside_share = host_load.share()
            meter.others_share = host_load.share_with_lanes()
            self.work.end(sandbox)
            await sandbox.close()
            meter.note(sandbox, "train")
        if fault := check_weights(weights, limit_bytes=limits.weights_mb * 1_000_000):
            status: Status = "nan" if fault.reason.startswith("nan") else "rejected"
            raise RunFailed(status, fault.reason, unquoted="its weights are rejected")
        return weights

    async def _feed(
        self, sandbox: Sandbox, request: Request, part: Sealed, timeline: Timeline
    ) -> bytes:
        """Hand over data, part by part on request, until the weights come back."""
        weights_bytes = self._task.manifest.limits.weights_mb * 1_000_000
        expected = {NEED_DATA: 0, WEIGHTS: weights_bytes + MAX_HEADER_BYTES}

        def note(tag: bytes) -> None:
            if tag == WEIGHTS:
                timeline.enter("train", "export")

        for number in count(1):
            with part.opened() as descriptor:
                await sandbox.send(DATA, descriptor=descriptor)
            # Seal the next part ahead, since waiting for it would cost the script's time.
            ahead = asyncio.create_task(self.supply.part(request.seed, number))
            try:
                tag, payload = await sandbox.receive_one(expected, on_begun=note)
                if tag == WEIGHTS:
                    break
                part = await ahead
            finally:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)
        return payload

    @contextlib.asynccontextmanager
    async def _serving(
        self, request: Request, weights: bytes, meter: Meter, part: Literal["score", "audit"]
    ) -> AsyncIterator[tuple[Sandbox, Callable[[], None]]]:
        """Yield a fresh sandbox that serves weights, and a function to call at its first answer.

        The sandbox has seen no row yet. Raises SlowStart if it starts too slowly, RunFailed if it
        ends or exceeds a ceiling inside the block.
        """
        name = "scoring" if part == "score" else "the audit"
        ceiling = request.ceiling
        sandbox = await self._pool.take("serve", is_fresh=request.is_fresh)
        if part == "score":
            self._pool.warm("serve", is_fresh=request.is_fresh)  # for its audit
        else:
            sandbox.discard_output()  # its output could carry what the claiming process read
        self.work.begin(sandbox)
        before_s, started_s = sandbox.metered_s(), time.monotonic()

        def note_start(*, has_rows: bool) -> None:
            used_s, limit_s = sandbox.metered_s() - before_s, getattr(ceiling, f"first_{part}_s")
            meter.cost = replace(meter.cost, **{f"first_{part}_s": used_s})
            check_start(sandbox, used_s, limit_s, f"the start of {name}", has_rows=has_rows)
            if part == "score":  # training hidden in the start of scoring counts as training
                both, both_s = "training with the start of scoring", meter.cost.train_s + used_s
                check_start(sandbox, both_s, ceiling.train_s, both, has_rows=has_rows)

        try:
            async with held():
                try:
                    async with (
                        self._stage(sandbox, name),
                        wall_limit(_SERVE_WALL_S, name),
                        metered_limit(sandbox, getattr(ceiling, f"{part}_s"), name),
                    ):
                        meter.timeline.enter(part, "load")
                        await self._serve(sandbox, request, weights)
                        meter.timeline.enter(part, "score")
                        note_start(has_rows=False)
                        meter.has_rows = True
                        yield sandbox, partial(note_start, has_rows=True)
                finally:
                    used_s = sandbox.metered_s() - before_s
                    meter.cost = replace(meter.cost, **{f"{part}_s": used_s})
                    self.work.end(sandbox)
                    await sandbox.close()
                    meter.note(sandbox, part)
        finally:
            meter.timeline.leave(part)
            if part == "score":
                meter.score_wall_s = time.monotonic() - started_s

    async def _score_rows(
        self, request: Request, weights: bytes, meter: Meter, scored: ScoredRows
    ) -> LogProbs:
        async with self._serving(request, weights, meter, "score") as (sandbox, note_first):
            log_probs = await ask_log_probs(
                sandbox, self._asked.score, scored.rows, on_first=note_first
            )
        if fault := self._evaluator.find_log_prob_fault(log_probs):
            raise RunFailed("nan" if fault.startswith("nan") else "rejected", fault)
        return log_probs

    async def _audit(
        self,
        request: Request,
        weights: bytes,
        meter: Meter,
        scored: ScoredRows,
        log_probs: LogProbs,
    ) -> Audit:
        random = audit_random(self._audit_key, request.source.tree, request.seed)
        caps = self._task.manifest.audit
        reference = await self._reference(request, scored, log_probs)
        # The process that scored has ended. Only now are the audited positions drawn.
        positions = self._evaluator.draw_positions(log_probs, reference, caps.k, random)
        async with self._serving(request, weights, meter, "audit") as (sandbox, note_first):
            audited = await ask_audit(
                sandbox,
                self._evaluator,
                self._asked.audit,
                scored,
                positions,
                random,
                on_first=note_first,
            )
        if not np.isfinite(audited).all():
            raise RunFailed("nan", "nan: its answers in the audit are not finite")
        claimed = self._evaluator.log_probs_at(log_probs, positions)
        if self.baseline_cost is None:
            limit = Tolerance(caps.tolerance_nano / NANO, caps.tau_nano / NANO)
            tolerance = self._evaluator.calibrate(claimed, audited, limit)
        else:
            tolerance = self._audited.tolerance
        statistics = self._evaluator.summarise_audit(claimed, audited, tolerance)
        if fault := self._evaluator.find_audit_fault(statistics, tolerance):
            raise RunFailed("rejected", fault)
        if self.baseline_cost is None:  # set it only now, after the baseline passed its own audit
            audited_here = Audited(tolerance=tolerance, log_probs=log_probs[scored.public])
            self.baseline_cost = BaselineCost(
                cost=meter.cost,
                product=weights,
                audited=audited_here,
                trained_s=self._trained_s(meter),
            )
        if request.split is not None:
            self._log_prob_cache.note(scored.key, request.source.tree, log_probs[scored.secret])
        return coarse_audit(statistics, tolerance)

    async def _reference(
        self, request: Request, scored: ScoredRows, log_probs: LogProbs
    ) -> LogProbs | None:
        """Return the log-probabilities with which the audit's weighted draw compares `log_probs`.

        They are another source's, except on secret rows that no other run sees, whose score decides
        nothing. For those rows return `log_probs`, so that the draw gives them no weight.
        Return None before the baseline's first run.
        """
        if self.baseline_cost is None:
            return None
        reference = log_probs.copy()
        known = self._audited.log_probs
        if request.incumbent is not None:
            known = cast("LogProbs", request.incumbent)
        reference[scored.public] = known
        if request.split is not None:
            others = self._log_prob_cache.by_another(scored.key, request.source.tree)
            if others is None:
                others = await self._baseline_on(request, scored, self.baseline_cost.product)
                self._log_prob_cache.note(scored.key, _CALIBRATED, others)
            reference[scored.secret] = others
        return reference

    async def _baseline_on(self, request: Request, scored: ScoredRows, weights: bytes) -> LogProbs:
        """Return the baseline's log-probabilities on secret rows. Raises RunFailed."""
        asked = replace(request, source=self._task.source, seed=0, ceiling=UNLIMITED)
        secret = replace(scored, rows=scored.rows[scored.secret])
        try:
            return await self._score_rows(asked, weights, Meter(), secret)
        except RunFailed:  # an outside cause, not the fault of the run that needs it: try again
            return await self._score_rows(asked, weights, Meter(), secret)

    async def _serve(self, sandbox: Sandbox, request: Request, weights: bytes) -> None:
        await sandbox.send(JOB, self._job("serve", request))
        with sealed(weights) as descriptor:
            await sandbox.send(WEIGHTS, descriptor=descriptor)
        await sandbox.receive(SERVING)
        await sandbox.shut_gate()  # before it sees a row
        sandbox.discard_output()

    def profile(self, role: Role) -> Profile:
        """Return the resources that a sandbox of this role may use."""
        manifest = self._task.manifest
        profile = Profile(
            role=role,
            harness=HARNESS,
            memory_bytes=manifest.limits.memory_mb << 20,
            scratch_bytes=_SCRATCH_BYTES,
            # Scoring is eager, and its CPU seconds are metered for one process. If more processes
            # were allowed, a script with a budget of seconds could train on, unmetered, in a child.
            single_process=role == "serve" or manifest.budget.unit == "tokens",
            card=self._card,
        )
        if self._card is None:
            return profile
        return replace(profile, threads=_CARD_THREADS, scratch_bytes=_CARD_SCRATCH_BYTES)

    def _job(self, role: Role, request: Request) -> bytes:
        parts = 1 if self.budget_tokens else self.supply.count
        job = run_job(
            role, request.seed, request.source, self._task.manifest, self._data,
            parts=parts, card=self._card_settings,
        )  # fmt: skip
        return job_message(job, request.source)
