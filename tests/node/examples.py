"""Small honest values for the node's tests: a task, sources, runs and a few experiments."""

import hashlib
import zlib

from node.home.home import Home
from node.store.blobs import Blobs
from node.store.experiments import Experiment
from node.store.jobs import Line, LineKey, StoredOutcome
from node.store.store import Store
from protocol.keys import SigningKey
from protocol.manifest import AuditCaps, Budget, Limits, MetricSpec, TaskManifest
from protocol.record_kinds import (
    AdoptBody,
    Diff,
    FileChange,
    Origin,
    PatchBody,
    ResultBody,
    Stage,
    TaskBody,
)
from protocol.records import Record
from protocol.runs import Cost, Env, Role, Run, Status
from protocol.source import Source

KEY = SigningKey.from_seed(bytes(range(32)))
BASELINE = Source.of({"train.py": b"LEARNING_RATE = 0.1\n"})
BETTER = Source.of({"train.py": b"LEARNING_RATE = 0.2\n"})
BROKEN = Source.of({"train.py": b"LEARNING_RATE = None\n"})
HARDWARE_CLASS = "cpu-x86_64"

MANIFEST = TaskManifest(
    name="tiny",
    version=1,
    kind="language-model",
    files=tuple((path, hashlib.sha256(data).digest()) for path, data in BASELINE.files),
    metric=MetricSpec(name="val_bpb", unit="bpb", direction="min", max_step_nano=100_000_000),
    budget=Budget(unit="tokens", amount=100_000),
    limits=Limits(
        limit_s=60, warmup_limit_s=20, memory_mb=1024, weights_mb=4, max_source_growth_bytes=8192
    ),
    noise_floor_nano=1_000_000,
    audit=AuditCaps(k=64, tolerance_nano=1_000_000, tau_nano=10_000_000),
    data=(),
    tokenizer=bytes(32),
    vocabulary_size=512,
    context=128,
    scored_rows=64,
    evaluator="lm-bpb/1",
)
TASK = MANIFEST.id
LINE = LineKey(task=TASK, hardware_class=HARDWARE_CLASS)

ENTRY = Experiment(
    id=bytes(32),
    n=1,
    task=bytes(32),
    hardware_class="cpu-x86_64",
    ts_ms=0,
    title="baseline",
    origin="task",
    stage="baseline",
    status="ok",
    decision="baseline",
    metric_nano=1_200_000_000,
    gain_nano=None,
    peak_mem_bytes=0,
    tree=bytes(32),
    parent=bytes(32),
    patch=None,
)
"""The baseline of a line, as the page and the terminal list it."""


def run(
    metric_nano: int | None = 1_500_000_000,
    *,
    seed: int = 1,
    role: Role = "candidate",
    status: Status = "ok",
    reason: str | None = None,
) -> Run:
    """Return a run with a secret metric slightly above the public one."""
    return Run(
        seed=seed,
        role=role,
        status=status,
        metric_nano=metric_nano,
        secret_nano=None if metric_nano is None else metric_nano + 1_000,
        ms=5000,
        cpu_ms=4900,
        serve_ms=800,
        tokens=100_000,
        peak_mem_bytes=300_000_000,
        reason=reason,
    )


def outcome(metric_nano: int = 1_500_000_000, *, log_tail: str = "step 1\n") -> StoredOutcome:
    """Return a run as the store keeps it."""
    return StoredOutcome(run=run(metric_nano), log_tail=log_tail)


def patch_body(
    base: Source, source: Source, *, title: str = "Raise LEARNING_RATE", why: str = "Too slow."
) -> PatchBody:
    """Return the patch from one example source to another."""
    old, new = base["train.py"], source["train.py"]
    removed, added = old.decode(), new.decode()
    diff = f"--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-{removed}+{added}"
    return PatchBody(
        task=TASK,
        base=base.tree,
        tree=source.tree,
        files=(
            FileChange(
                path="train.py",
                old=hashlib.sha256(old).digest(),
                new=hashlib.sha256(new).digest(),
                size_bytes=len(new),
            ),
        ),
        diff=Diff(zlib=zlib.compress(diff.encode())),
        title=title,
        why=why,
        parents=(),
        origin=Origin(proposer="search"),
    )


def result_body(
    stage: Stage,
    runs: tuple[Run, ...],
    *,
    base: Source = BASELINE,
    source: Source = BASELINE,
    patch: bytes | None = None,
    status: Status = "ok",
) -> ResultBody:
    """Return a result of the example task."""
    return ResultBody(
        task=TASK,
        hardware_class=HARDWARE_CLASS,
        env=Env.of({"torch": "2.13.0"}),
        patch=patch,
        base=base.tree,
        tree=source.tree,
        stage=stage,
        status=status,
        runs=runs,
        cost=Cost(device_ms=5000),
        note="",
    )


class Notebook:
    """Writes the records of a short research session, one second apart."""

    def __init__(self, home: Home, store: Store) -> None:
        self.store = store
        self.blobs = Blobs(home.blobs)
        self._ts_ms = 1_790_000_000_000
        for source in (BASELINE, BETTER, BROKEN):
            self.blobs.put_source(source)

    def write(self, body: TaskBody | PatchBody | ResultBody | AdoptBody) -> Record:
        """Append one own record."""
        self._ts_ms += 1000
        return self.store.append_own(KEY, body, ts_ms=self._ts_ms)

    def task_and_baseline(self) -> Record:
        """Announce the task and record its baseline at 1.5 bpb."""
        self.write(TaskBody(manifest=MANIFEST))
        runs = (run(1_500_000_000, role="base"), run(1_500_000_001, seed=2, role="base"))
        return self.write(result_body("baseline", runs))

    def kept(self) -> Record:
        """Record a patch that gained 0.02 bpb and was kept."""
        patch = self.write(patch_body(BASELINE, BETTER))
        runs = (run(1_480_000_001), run(1_480_000_001, seed=3))
        return self.write(result_body("keep", runs, source=BETTER, patch=patch.id))

    def crashed(self) -> Record:
        """Record a patch that crashed."""
        patch = self.write(patch_body(BASELINE, BROKEN, title="Break it"))
        runs = (run(None, status="crash", reason="TypeError"),)
        return self.write(
            result_body("screen", runs, source=BROKEN, patch=patch.id, status="crash")
        )

    def unconfirmed(self) -> Record:
        """Record a confirmation that did not pass."""
        patch = self.write(patch_body(BASELINE, BETTER, title="Checkpoint"))
        pairs = tuple(
            one
            for seed in (11, 12, 13)
            for one in (
                run(1_480_000_000, seed=seed),
                run(1_500_000_000, seed=seed, role="base"),
            )
        )
        return self.write(result_body("confirm", pairs, source=BETTER, patch=patch.id))

    def adopted(self) -> Record:
        """Record a confirmation that passed and the adoption that rests on it."""
        result = self.unconfirmed()
        self.write(
            AdoptBody(
                task=TASK,
                hardware_class=HARDWARE_CLASS,
                from_tree=BASELINE.tree,
                to_tree=BETTER.tree,
                evidence=result.id,
                unverified=False,
            )
        )
        return result

    def save_line(self) -> None:
        """Save the line after an adoption."""
        self.store.jobs.save_line(
            Line(
                task=TASK,
                hardware_class=HARDWARE_CLASS,
                verified=BETTER.tree,
                working=BETTER.tree,
                stack=(),
                reference_nano=(),
                promotion_trial_ms=self._ts_ms,
            )
        )
