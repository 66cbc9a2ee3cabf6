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
from dataclasses import dataclass

import numpy as np

from protocol.errors import ArnodeError
from protocol.runs import Audit, Status
from protocol.source import Source
from trainer.data import TaskData
from trainer.evaluators import lm_bpb_1 as evaluator
from trainer.evaluators.lm_bpb_1 import NANO, Floats, Rows, Tolerance
from trainer.harness.channel import DATA, JOB, NEED_DATA, SERVING, WEIGHTS
from trainer.metering import RunFailed, cpu_limit, sealed, stage, wall_limit
from trainer.pool import WarmPool
from trainer.sandbox import Profile, Role, Sandbox
from trainer.scoring import ScoredRows, ask_audit, ask_claims
from trainer.task import Task
from trainer.weights import check_weights

_TRAIN_CEILING = 1.5  # × the baseline tree's CPU seconds, never the parent's: it would ratchet
_SERVE_CEILING = 2.0  # × the baseline tree's: else a script trains on in serve role
_SERVE_WALL_S = 120.0  # a serving script that sleeps uses no CPU seconds
_SCRATCH_BYTES = 64 << 20
_LOG_CHARACTERS = 4000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunOutcome:
    """What this node measured of one run. Metrics in 1e-9 units, None unless status is `ok`.

    `claims` are the log-probabilities by row and position, to aim later audits with.
    """

    seed: int
    status: Status
    metric_nano: int | None
    secret_nano: int | None
    ms: int
    cpu_ms: int
    serve_ms: int
    tokens: int
    peak_mem_bytes: int
    audit: Audit | None
    flags: tuple[str, ...]
    reason: str | None
    log_tail: str
    claims: Floats | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Yardstick:
    """What the task's baseline tree costs on this machine in this session, and how it audits."""

    train_cpu_s: float
    claim_cpu_s: float
    audit_cpu_s: float
    tolerance: Tolerance
    claims: Floats


@dataclass(slots=True)
class _Meter:
    """Fills up while a run goes on; whatever ends the run, these figures stand."""

    wall_s: float = 0.0
    train_cpu_s: float = 0.0
    claim_cpu_s: float = 0.0
    claim_wall_s: float = 0.0
    audit_cpu_s: float = 0.0
    peak_mem_bytes: int = 0
    log_tail: str = ""

    def note(self, sandbox: Sandbox) -> None:
        self.peak_mem_bytes = max(self.peak_mem_bytes, sandbox.peak_memory_bytes)
        self.log_tail = (self.log_tail + sandbox.output_tail())[-_LOG_CHARACTERS:]


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

    async def calibrate(self, seed: int) -> RunOutcome:
        """Run the task's baseline tree and make it this session's yardstick.

        Raises ArnodeError when the baseline itself does not come through.
        """
        self.yardstick = None
        outcome = await self.run(self.task.source, seed)
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
        meter = _Meter()
        claims: Floats | None = None
        audit: Audit | None = None
        status: Status = "ok"
        reason: str | None = None
        try:
            try:
                async with self._training:
                    weights = await self._train(source, seed, meter)
            finally:
                on_trained()
            async with self._scoring:
                claims = await self._claim(source, seed, weights, meter)
                metrics = (self._scored.public_metric(claims), self._scored.secret_metric(claims))
                if needs_audit(*metrics):
                    audit = await self._audit(source, seed, weights, meter, claims, incumbent)
        except RunFailed as failure:
            status, reason, claims = failure.status, failure.reason, None
        return RunOutcome(
            seed=seed,
            status=status,
            metric_nano=None if claims is None else metrics[0],
            secret_nano=None if claims is None else metrics[1],
            ms=round(meter.wall_s * 1000),
            cpu_ms=round(meter.train_cpu_s * 1000),
            serve_ms=round(meter.claim_wall_s * 1000),
            tokens=self._budget_tokens,
            peak_mem_bytes=meter.peak_mem_bytes,
            audit=audit,
            flags=(),
            reason=reason,
            log_tail=meter.log_tail,
            claims=claims,
        )

    async def _train(self, source: Source, seed: int, meter: _Meter) -> bytes:
        limits = self.task.manifest.limits
        tokens = await asyncio.to_thread(self._training_tokens, seed)
        sandbox = await self._pool.take("train")
        self._pool.warm("serve")
        try:
            async with stage(sandbox, "training"):
                await sandbox.send(JOB, self._job("train", source, seed))
                async with wall_limit(limits.warmup_limit_s, "what comes before the data"):
                    await sandbox.receive(NEED_DATA, at_most=0)
                weights_bytes = limits.weights_mb * 1_000_000
                with sealed(tokens) as descriptor:
                    started_s, before_s = time.monotonic(), sandbox.cpu_s()
                    await sandbox.send(DATA, descriptor=descriptor)
                try:
                    async with (
                        wall_limit(limits.limit_s, "training"),
                        cpu_limit(sandbox, self._train_ceiling_s, "training"),
                    ):
                        with_header = weights_bytes + (1 << 20)
                        weights = await sandbox.receive(WEIGHTS, at_most=with_header)
                finally:
                    meter.wall_s = time.monotonic() - started_s
                    meter.train_cpu_s = sandbox.cpu_s() - before_s
        finally:
            await sandbox.close()
            meter.note(sandbox)
        if fault := check_weights(weights, limit_bytes=weights_bytes):
            raise RunFailed("nan" if fault.reason.startswith("nan") else "rejected", fault.reason)
        return weights

    async def _claim(self, source: Source, seed: int, weights: bytes, meter: _Meter) -> Floats:
        known = self.yardstick
        ceiling_s = None if known is None else _SERVE_CEILING * known.claim_cpu_s
        sandbox = await self._pool.take("serve")
        before_s, started_s = sandbox.cpu_s(), time.monotonic()
        try:
            async with (
                stage(sandbox, "scoring"),
                wall_limit(_SERVE_WALL_S, "scoring"),
                cpu_limit(sandbox, ceiling_s, "scoring"),
            ):
                await self._serve(sandbox, source, seed, weights)
                claims = await ask_claims(sandbox, self._scored.rows)
        finally:
            meter.claim_cpu_s = sandbox.cpu_s() - before_s
            meter.claim_wall_s = time.monotonic() - started_s
            await sandbox.close()
            meter.note(sandbox)
        if fault := evaluator.find_claim_fault(claims):
            raise RunFailed("nan" if fault.startswith("nan") else "rejected", fault)
        return claims

    async def _audit(
        self,
        source: Source,
        seed: int,
        weights: bytes,
        meter: _Meter,
        claims: Floats,
        incumbent: Floats | None,
    ) -> Audit:
        random = np.random.default_rng(self._random_seed())
        caps = self.task.manifest.audit
        if incumbent is None and self.yardstick:
            incumbent = self.yardstick.claims
        known = self.yardstick
        ceiling_s = None if known is None else _SERVE_CEILING * known.audit_cpu_s
        sandbox = await self._pool.take("serve")
        before_s = sandbox.cpu_s()
        try:
            # The process that claimed is dead; only now is it decided what will be looked at.
            positions = evaluator.draw_positions(claims, incumbent, caps.k, random)
            async with (
                stage(sandbox, "the audit"),
                wall_limit(_SERVE_WALL_S, "the audit"),
                cpu_limit(sandbox, ceiling_s, "the audit"),
            ):
                await self._serve(sandbox, source, seed, weights)
                audited = await ask_audit(sandbox, self._scored, positions, random)
        finally:
            meter.audit_cpu_s = sandbox.cpu_s() - before_s
            await sandbox.close()
            meter.note(sandbox)
        if not np.isfinite(audited).all():
            raise RunFailed("nan", "nan: audited log-probabilities are not finite")
        claimed = claims[positions[:, 0], positions[:, 1]]
        if self.yardstick is None:
            limit = Tolerance(caps.tolerance_nano / NANO, caps.tau_nano / NANO)
            tolerance = evaluator.calibrate(claimed, audited, limit)
            self.yardstick = Yardstick(
                train_cpu_s=meter.train_cpu_s,
                claim_cpu_s=meter.claim_cpu_s,
                audit_cpu_s=meter.audit_cpu_s,
                tolerance=tolerance,
                claims=claims,
            )
        tolerance = self.yardstick.tolerance
        statistics = evaluator.summarise_audit(claimed, audited, tolerance)
        if fault := evaluator.find_audit_fault(statistics, tolerance):
            raise RunFailed("rejected", fault)
        return Audit(
            k=statistics.k,
            mean_nano=round(statistics.mean * NANO),
            se_nano=round(statistics.standard_error * NANO),
            max_nano=round(statistics.largest * NANO),
        )

    async def _serve(self, sandbox: Sandbox, source: Source, seed: int, weights: bytes) -> None:
        await sandbox.send(JOB, self._job("serve", source, seed))
        with sealed(weights) as descriptor:
            await sandbox.send(WEIGHTS, descriptor=descriptor)
        await sandbox.receive(SERVING, at_most=0)

    @property
    def _budget_tokens(self) -> int:
        budget = self.task.manifest.budget
        return budget.amount if budget.unit == "tokens" else 0

    @property
    def _train_ceiling_s(self) -> float | None:
        if not self._budget_tokens or self.yardstick is None:
            return None
        return _TRAIN_CEILING * self.yardstick.train_cpu_s

    def _training_tokens(self, seed: int) -> bytes:
        count = self._budget_tokens + 1 if self._budget_tokens else None
        return self._data.training_tokens(seed, count).tobytes()

    def _profile(self, role: Role) -> Profile:
        return Profile(
            role=role,
            memory_bytes=self.task.manifest.limits.memory_mb << 20,
            scratch_bytes=_SCRATCH_BYTES,
            single_process=self.task.manifest.budget.unit == "tokens",
        )

    def _job(self, role: Role, source: Source, seed: int) -> bytes:
        manifest, vocabulary = self.task.manifest, self._data.vocabulary
        message = {
            "role": role,
            "seed": seed,
            "entry": source.files[0][0],
            "context": manifest.context,
            "budget_tokens": self._budget_tokens,
            "budget_seconds": 0.0 if self._budget_tokens else float(manifest.budget.amount),
            "vocabulary_size": vocabulary.size,
            "bos": vocabulary.bos,
            "vocabulary": {
                "pattern": vocabulary.pattern,
                "ranks": [token.hex() for token in vocabulary.token_bytes if token is not None],
            },
            "files": {path: base64.b64encode(data).decode() for path, data in source.files},
        }
        return json.dumps(message).encode()
