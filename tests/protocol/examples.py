"""One fixed value of each kind, for tests and for the golden vectors. Never change one."""

import hashlib
import zlib
from dataclasses import replace

from protocol.attestation import attestation_seed, prove_seeds
from protocol.keys import SigningKey, bind
from protocol.kinds import (
    AdoptBody,
    AttestBody,
    Audit,
    Body,
    Cost,
    Diff,
    Env,
    FileChange,
    InsightBody,
    IntentBody,
    NoiseBody,
    Origin,
    PatchBody,
    ProfileBody,
    ResultBody,
    RetractBody,
    Role,
    Run,
    TaskBody,
)
from protocol.manifest import AuditCaps, Budget, Limits, MetricSpec, TaskManifest
from protocol.source import Source

AUTHOR_SEED = bytes(range(32))
TRANSPORT_SEED = bytes(range(32, 64))
AUTHOR = SigningKey.from_seed(AUTHOR_SEED)
TRANSPORT = SigningKey.from_seed(TRANSPORT_SEED)
START_MS = 1_790_000_000_000

BASELINE = Source.of({"train.py": b"DEPTH = 2\n"})
CHANGED = Source.of({"train.py": b"DEPTH = 3\n"})
DIFF = "--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-DEPTH = 2\n+DEPTH = 3\n"


def sha256(data: bytes) -> bytes:
    """Return a digest to fill a field with."""
    return hashlib.sha256(data).digest()


MANIFEST = TaskManifest(
    name="tiny",
    version=1,
    kind="language-model",
    files=(("train.py", sha256(b"DEPTH = 2\n")),),
    metric=MetricSpec(name="val_bpb", unit="bpb", direction="min", max_step_nano=200_000_000),
    budget=Budget(unit="tokens", amount=153_600),
    limits=Limits(
        limit_s=60,
        warmup_limit_s=10,
        memory_mb=2048,
        weights_mb=4,
        max_source_growth_bytes=8192,
    ),
    noise_floor_nano=10_400_000,
    audit=AuditCaps(k=256, tolerance_nano=1_000_000, tau_nano=10_000_000),
    data=(("world", sha256(b"world")),),
    tokenizer=sha256(b"tokenizer"),
    vocabulary_size=1024,
    context=128,
    claim_rows=512,
    evaluator="lm-bpb/1",
)
PROGRAM_MANIFEST = TaskManifest(
    name="sorting",
    version=3,
    kind="program",
    files=(("lib/sort.py", sha256(b"a")), ("main.py", sha256(b"b"))),
    metric=MetricSpec(name="wall", unit="s", direction="min", max_step_nano=10**9),
    budget=Budget(unit="seconds", amount=300),
    limits=MANIFEST.limits,
    noise_floor_nano=0,
    audit=AuditCaps(k=0, tolerance_nano=0, tau_nano=0),
    data=(),
    tokenizer=None,
    vocabulary_size=0,
    context=0,
    claim_rows=0,
    evaluator="command/1",
)

PROFILE = ProfileBody(
    name="Zoë's attic",
    version="0.1.0",
    transport=TRANSPORT.public,
    binding=bind(TRANSPORT, AUTHOR.public),
    classes=("cpu-x86_64", "h200-141g"),
)
TASK = TaskBody(manifest=MANIFEST)
PATCH = PatchBody(
    task=MANIFEST.id,
    base=BASELINE.tree,
    tree=CHANGED.tree,
    files=(
        FileChange(
            path="train.py", old=sha256(b"DEPTH = 2\n"), new=sha256(b"DEPTH = 3\n"), size_bytes=10
        ),
    ),
    # Stored, not deflated: zlib's versions compress differently, and a vector is for ever.
    diff=Diff(zlib=zlib.compress(DIFF.encode(), level=0)),
    title="Three layers instead of two",
    why="Depth was never tried.\nIt costs half as much again.",
    parents=(sha256(b"parent"),),
    origin=Origin(proposer="llm", model="example/model-1", program=sha256(b"program")),
)
GOOD_RUN = Run(
    seed=1_234_567,
    role="candidate",
    status="ok",
    metric_nano=1_256_000_123,
    secret_nano=1_257_912_345,
    ms=3_100,
    cpu_ms=2_900,
    serve_ms=550,
    tokens=153_600,
    peak_mem_bytes=410_000_000,
    flags=("contended",),
    audit=Audit(k=256, mean_nano=-12, se_nano=34, max_nano=5_678),
)
FAILED_RUN = Run(
    seed=2**31 - 1,
    role="base",
    status="timeout",
    metric_nano=None,
    secret_nano=None,
    ms=60_000,
    cpu_ms=59_000,
    serve_ms=0,
    tokens=0,
    peak_mem_bytes=0,
    reason="no weights after 60 s",
)
RESULT = ResultBody(
    task=MANIFEST.id,
    hardware_class="cpu-x86_64",
    env=Env.of({"torch": "torch2.13-cpu", "threads": 1, "note": "größer"}),
    patch=sha256(b"patch"),
    base=BASELINE.tree,
    tree=CHANGED.tree,
    stage="confirm",
    status="ok",
    runs=(GOOD_RUN, FAILED_RUN),
    cost=Cost(device_ms=63_100, tokens=4_096, micro_usd=1_500),
    note="",
)
ADOPT = AdoptBody(
    task=MANIFEST.id,
    hardware_class="cpu-x86_64",
    from_tree=BASELINE.tree,
    to_tree=CHANGED.tree,
    evidence=sha256(b"result"),
    unverified=False,
)

PROOF = prove_seeds(AUTHOR, target=sha256(b"result"), base=BASELINE.tree, tree=CHANGED.tree)


def attested_run(pair: int, role: Role, nano: int) -> Run:
    """Return a run of a pair that an attestation by AUTHOR has to make."""
    seed = attestation_seed(PROOF, pair)
    return replace(GOOD_RUN, seed=seed, role=role, metric_nano=nano, secret_nano=nano + 7, flags=())


ATTEST = AttestBody(
    task=MANIFEST.id,
    hardware_class="cpu-x86_64",
    env=Env.of({"torch": "torch2.13-cpu"}),
    base=BASELINE.tree,
    tree=CHANGED.tree,
    target=sha256(b"result"),
    proof=PROOF,
    runs=(
        attested_run(0, "base", 1_300_000_000),
        attested_run(0, "candidate", 1_250_000_000),
        attested_run(1, "candidate", 1_251_000_000),
        attested_run(1, "base", 1_299_000_000),
    ),
    verdict="confirmed",
)
NOISE = NoiseBody(
    task=MANIFEST.id,
    hardware_class="cpu-x86_64",
    env=Env(),
    tree=BASELINE.tree,
    runs=(replace(GOOD_RUN, role="base"), FAILED_RUN),
)
INTENT = IntentBody(
    task=MANIFEST.id,
    hardware_class="cpu-x86_64",
    base=BASELINE.tree,
    title="Rotary embeddings",
    ttl_s=1800,
)
INSIGHT = InsightBody(
    task=MANIFEST.id,
    hardware_class=None,
    message="Depth beyond four does not pay within the budget.",
    evidence=(sha256(b"result"),),
)
RETRACT = RetractBody(target=sha256(b"result"), revoke=False, reason="The clock was wrong.")

BODIES: dict[str, Body] = {
    "profile": PROFILE,
    "task": TASK,
    "patch": PATCH,
    "result": RESULT,
    "adopt": ADOPT,
    "attest": ATTEST,
    "noise": NOISE,
    "intent": INTENT,
    "insight": INSIGHT,
    "retract": RETRACT,
}
