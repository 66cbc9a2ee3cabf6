"""One run: train a source in a sandbox, score what it predicts in others, judge whether it lied.

train (sandbox 1, no data until the clock starts) → claim (sandbox 2, no data, only weights) →
audit (sandbox 3, positions drawn only now). Every figure is taken on this side: the clock, CPU
seconds, rows, byte counts and arithmetic. What the candidate prints is kept as a log, never read.
"""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from protocol.errors import ArnodeError
from protocol.runs import CONTENDED, Audit, Status
from protocol.source import Source
from protocol.units import NANO
from trainer.cost import UNLIMITED, Cost
from trainer.crowd import Crowd
from trainer.data import TaskData
from trainer.evaluators import lm_bpb_1 as evaluator
from trainer.evaluators.lm_bpb_1 import Floats, Rows, Tolerance
from trainer.harness.channel import DATA, JOB, NEED_DATA, SERVING, WEIGHTS
from trainer.metering import (
    CpuCeiling,
    RunFailed,
    check_start,
    cpu_limit,
    restarted,
    stage,
    wall_limit,
)
from trainer.outcome import Meter, RunOutcome, Yardstick
from trainer.pool import WarmPool
from trainer.profile import Profile, Role
from trainer.sandbox import Sandbox
from trainer.scoring import ScoredRows, ask_audit, ask_claims
from trainer.sealed import Sealed, sealed
from trainer.task import Task
from trainer.visible import visible_tree
from trainer.weights import MAX_HEADER_BYTES, check_weights

_SERVE_WALL_S = 120.0  # a serving script that sleeps uses no CPU seconds
_SLOWER = 1.05  # a baseline that takes this much longer means a crowded machine
_ATTEMPTS = 3  # on one
_CALIBRATIONS = 2
_SCRATCH_BYTES = 64 << 20


class CeilingExceeded(Exception):  # noqa: N818 -- an outcome that `run` looks at once more
    """A run ended at its ceiling of CPU seconds; `outcome` says so."""

    def __init__(self, outcome: RunOutcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """One run as it was asked for. `ceiling` is what it may cost."""

    source: Source
    seed: int
    needs_audit: Callable[[int, int], bool]
    incumbent: Floats | None
    ceiling: Cost


class Runner:
    """Measures sources of one task on one device, one training at a time.

    The scoring of one run may stand beside the training of the next: with a token budget a metric
    is the same bits whatever else the machine does.
    """

    def __init__(
        self,
        task: Task,
        data: TaskData,
        *,
        secret_rows: Rows,
        random_seed: Callable[[], int],
    ) -> None:
        self.task = task
        self.yardstick: Yardstick | None = None
        self._data = data
        self._random_seed = random_seed
        self._scored = ScoredRows.mixed(
            data.public_rows,
            secret_rows,
            byte_counts=data.byte_counts,
            vocabulary_size=data.vocabulary.size,
            random=np.random.default_rng(np.frombuffer(task.id, dtype=np.uint32)),
        )
        self._pool = WarmPool({"train": self._profile("train"), "serve": self._profile("serve")})
        self._everything: Sealed | None = None
        self._training = asyncio.Lock()
        self._scoring = asyncio.Lock()

    @property
    def metric_tolerance(self) -> float:
        """The audit's tolerance in the metric's unit (bits per byte); 0 before `calibrate`."""
        if self.yardstick is None:
            return 0.0
        return self.yardstick.tolerance.mean * self._scored.bits_per_nat

    async def close(self) -> None:
        """End the sandboxes that wait for a source."""
        await self._pool.close()
        if self._everything is not None:
            self._everything.close()

    async def calibrate(self, seed: int) -> RunOutcome:
        """Run the task's baseline tree and make it this session's yardstick.

        Raises ArnodeError when the baseline itself does not come through.
        """
        self.yardstick = None
        warming_up = asyncio.create_task(asyncio.to_thread(visible_tree().warm_up))
        try:
            for _ in range(_CALIBRATIONS):
                outcome = await self.run(self.task.source, seed)
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
        needs_audit: Callable[[int, int], bool] = lambda _public, _secret: True,
        incumbent: Floats | None = None,
        on_trained: Callable[[], None] = lambda: None,
    ) -> RunOutcome:
        """Train a source with a seed and score it.

        `needs_audit` is asked with (public, secret) in 1e-9 units once the claims are known;
        `incumbent` are the claims to aim the audit with (default: the baseline's); `on_trained`
        is called when the next run may train. Raises ValueError before `calibrate`.
        """
        if self.yardstick is None and source.tree != self.task.source.tree:
            raise ValueError("a session measures its baseline before anything else")
        request = _Request(
            source=source,
            seed=seed,
            needs_audit=needs_audit,
            incumbent=incumbent,
            ceiling=UNLIMITED if self.yardstick is None else self._ceiling(self.yardstick.cost),
        )
        contended = False
        for _ in range(_ATTEMPTS):
            crowd = Crowd()
            try:
                outcome = await self._attempt(request, Meter(), on_trained)
                break
            except CeilingExceeded as exceeded:
                outcome = exceeded.outcome
            # Before a candidate is blamed, the baseline is timed beside it. Its metric is not
            # known yet: repeating the run picks nothing.
            fresh = await self._cost_now()
            if fresh is None or self.yardstick is None:
                break
            known = self.yardstick.cost
            if not (crowd.is_noticeable() or fresh.exceeds(known, _SLOWER)):
                break
            contended = True
            request = replace(request, ceiling=self._ceiling(known.at_least(fresh)))
        return replace(outcome, flags=(CONTENDED,)) if contended else outcome

    async def _cost_now(self) -> Cost | None:
        """What the baseline tree costs at this moment; None when even that fails."""
        request = _Request(
            source=self.task.source,
            seed=0,
            needs_audit=lambda _public, _secret: True,
            incumbent=None,
            ceiling=UNLIMITED,
        )
        meter = Meter()
        outcome = await self._attempt(request, meter, lambda: None)
        return meter.cost if outcome.status == "ok" else None

    async def _attempt(
        self, request: _Request, meter: Meter, on_trained: Callable[[], None]
    ) -> RunOutcome:
        """Run once. Raises CeilingExceeded, which carries the outcome, if CPU seconds ran out."""
        claims: Floats | None = None
        metrics: tuple[int | None, int | None] = (None, None)
        audit: Audit | None = None
        failed: RunFailed | None = None
        try:
            try:
                async with self._training:
                    weights = await self._train(request, meter)
            finally:
                on_trained()
            async with self._scoring:
                claims = await restarted(partial(self._claim, request, weights, meter))
                scored = (self._scored.public_metric(claims), self._scored.secret_metric(claims))
                if request.needs_audit(*scored):
                    audit = await restarted(partial(self._audit, request, weights, meter, claims))
                metrics = scored
        except RunFailed as failure:
            failed = failure
        outcome = RunOutcome(
            seed=request.seed,
            status=failed.status if failed else "ok",
            metric_nano=metrics[0],
            secret_nano=metrics[1],
            ms=round(meter.wall_s * 1000),
            cpu_ms=round(meter.train_cpu_s * 1000),
            serve_ms=round(meter.claim_wall_s * 1000),
            tokens=self._budget_tokens,
            peak_mem_bytes=meter.peak_mem_bytes,
            audit=audit,
            flags=(),
            reason=failed.reason if failed else None,
            unquoted=failed.unquoted if failed else None,
            log_tail=meter.log_tail,
            claims=None if failed else claims,
            stages=meter.timeline.stages,
        )
        if isinstance(failed, CpuCeiling):
            raise CeilingExceeded(outcome)
        return outcome

    async def _train(self, request: _Request, meter: Meter) -> bytes:
        limits, timeline = self.task.manifest.limits, meter.timeline
        data = await asyncio.to_thread(self._training_data, request.seed)
        sandbox = await self._pool.take("train")
        self._pool.warm("serve")
        # From the source's arrival on, not from the data's: what a script knows of the text, or
        # the interpreter's own files, is enough to train on before there is any data.
        before_s = sandbox.cpu_s()
        started_s: float | None = None
        try:
            async with (
                stage(sandbox, "training"),
                cpu_limit(sandbox, request.ceiling.train_cpu_s, "training"),
            ):
                timeline.enter("train", "build")
                await sandbox.send(JOB, self._job("train", request))
                async with wall_limit(limits.warmup_limit_s, "what comes before the data"):
                    await sandbox.receive(NEED_DATA, at_most=0)
                weights_bytes = limits.weights_mb * 1_000_000
                with data as descriptor:
                    started_s = time.monotonic()
                    timeline.enter("train", "train")
                    await sandbox.send(DATA, descriptor=descriptor)
                async with wall_limit(limits.limit_s, "training"):
                    with_header = weights_bytes + MAX_HEADER_BYTES
                    weights = await sandbox.receive(
                        WEIGHTS,
                        at_most=with_header,
                        on_begun=partial(timeline.enter, "train", "export"),
                    )
        finally:
            timeline.leave("train")
            meter.wall_s = 0.0 if started_s is None else time.monotonic() - started_s
            meter.train_cpu_s = sandbox.cpu_s() - before_s
            await sandbox.close()
            meter.note(sandbox, "train")
        if fault := check_weights(weights, limit_bytes=weights_bytes):
            status: Status = "nan" if fault.reason.startswith("nan") else "rejected"
            raise RunFailed(status, fault.reason, unquoted="its weights are refused")
        return weights

    async def _claim(self, request: _Request, weights: bytes, meter: Meter) -> Floats:
        ceiling, sandbox = request.ceiling, await self._pool.take("serve")
        before_s, started_s = sandbox.cpu_s(), time.monotonic()

        def note_first() -> None:
            meter.first_claim_cpu_s = sandbox.cpu_s() - before_s
            check_start(meter.first_claim_cpu_s, ceiling.first_claim_cpu_s, "the start of scoring")
            # A script that trains on there has that much less of it before.
            both_s = meter.train_cpu_s + meter.first_claim_cpu_s
            check_start(both_s, ceiling.train_cpu_s, "training with the start of scoring")

        try:
            async with (
                stage(sandbox, "scoring"),
                wall_limit(_SERVE_WALL_S, "scoring"),
                cpu_limit(sandbox, ceiling.claim_cpu_s, "scoring"),
            ):
                meter.timeline.enter("claim", "load")
                await self._serve(sandbox, request, weights)
                meter.timeline.enter("claim", "score")
                claims = await ask_claims(sandbox, self._scored.rows, on_first=note_first)
        finally:
            meter.timeline.leave("claim")
            meter.claim_cpu_s = sandbox.cpu_s() - before_s
            meter.claim_wall_s = time.monotonic() - started_s
            await sandbox.close()
            meter.note(sandbox, "claim")
        if fault := evaluator.find_claim_fault(claims):
            raise RunFailed("nan" if fault.startswith("nan") else "rejected", fault)
        return claims

    async def _audit(
        self, request: _Request, weights: bytes, meter: Meter, claims: Floats
    ) -> Audit:
        random = np.random.default_rng(self._random_seed())
        caps = self.task.manifest.audit
        incumbent = request.incumbent
        if incumbent is None and self.yardstick:
            incumbent = self.yardstick.claims
        ceiling, sandbox = request.ceiling, await self._pool.take("serve")
        before_s = sandbox.cpu_s()

        def note_first() -> None:
            meter.first_audit_cpu_s = sandbox.cpu_s() - before_s
            check_start(
                meter.first_audit_cpu_s, ceiling.first_audit_cpu_s, "the start of the audit"
            )

        try:
            # The process that claimed is dead; only now is it decided what will be looked at.
            positions = evaluator.draw_positions(claims, incumbent, caps.k, random)
            async with (
                stage(sandbox, "the audit"),
                wall_limit(_SERVE_WALL_S, "the audit"),
                cpu_limit(sandbox, ceiling.audit_cpu_s, "the audit"),
            ):
                meter.timeline.enter("audit", "load")
                await self._serve(sandbox, request, weights)
                meter.timeline.enter("audit", "score")
                audited = await ask_audit(
                    sandbox, self._scored, positions, random, on_first=note_first
                )
        finally:
            meter.timeline.leave("audit")
            meter.audit_cpu_s = sandbox.cpu_s() - before_s
            await sandbox.close()
            meter.note(sandbox, "audit")
        if not np.isfinite(audited).all():
            raise RunFailed("nan", "nan: audited log-probabilities are not finite")
        claimed = claims[positions[:, 0], positions[:, 1]]
        if self.yardstick is None:
            limit = Tolerance(caps.tolerance_nano / NANO, caps.tau_nano / NANO)
            tolerance = evaluator.calibrate(claimed, audited, limit)
        else:
            tolerance = self.yardstick.tolerance
        statistics = evaluator.summarise_audit(claimed, audited, tolerance)
        if fault := evaluator.find_audit_fault(statistics, tolerance):
            raise RunFailed("rejected", fault)
        if self.yardstick is None:  # not before: a baseline beyond the caps measures nothing
            self.yardstick = Yardstick(cost=meter.cost, tolerance=tolerance, claims=claims)
        return Audit(
            k=statistics.k,
            mean_nano=round(statistics.mean * NANO),
            se_nano=round(statistics.standard_error * NANO),
            max_nano=round(statistics.largest * NANO),
        )

    async def _serve(self, sandbox: Sandbox, request: _Request, weights: bytes) -> None:
        await sandbox.send(JOB, self._job("serve", request))
        with sealed(weights) as descriptor:
            await sandbox.send(WEIGHTS, descriptor=descriptor)
        await sandbox.receive(SERVING, at_most=0)
        sandbox.shut_gate()  # before it sees a row

    def _ceiling(self, baseline: Cost) -> Cost:
        return baseline.ceiling(has_token_budget=bool(self._budget_tokens))

    @property
    def _budget_tokens(self) -> int:
        budget = self.task.manifest.budget
        return budget.amount if budget.unit == "tokens" else 0

    def _training_data(self, seed: int) -> AbstractContextManager[int]:
        """Return what yields the descriptor that a script trains on.

        With a budget of seconds that is all there is, the same for every run: the harness decides
        the order of rows by the seed.
        """
        if self._budget_tokens:
            return sealed(self._data.training_tokens(seed, self._budget_tokens + 1).data)
        if self._everything is None:
            self._everything = Sealed(part.data for part in self._data.training_parts)
        return self._everything.opened()

    def _profile(self, role: Role) -> Profile:
        return Profile(
            role=role,
            memory_bytes=self.task.manifest.limits.memory_mb << 20,
            scratch_bytes=_SCRATCH_BYTES,
            # Scoring is eager and its CPU seconds are those of one process: were more allowed, a
            # script of a task with a budget of seconds could train on in a child unmetered.
            single_process=role == "serve" or self.task.manifest.budget.unit == "tokens",
        )

    def _job(self, role: Role, request: _Request) -> bytes:
        manifest, vocabulary = self.task.manifest, self._data.vocabulary
        message = {
            "role": role,
            "seed": request.seed,
            "entry": request.source.files[0][0],
            "context": manifest.context,
            "budget_tokens": self._budget_tokens,
            "budget_seconds": 0.0 if self._budget_tokens else float(manifest.budget.amount),
            "vocabulary_size": vocabulary.size,
            "bos": vocabulary.bos,
            "vocabulary": {
                "pattern": vocabulary.pattern,
                "ranks": [token.hex() for token in vocabulary.token_bytes if token is not None],
            },
            "files": {path: base64.b64encode(data).decode() for path, data in request.source.files},
        }
        return json.dumps(message).encode()
