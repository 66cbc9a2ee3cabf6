"""One fixed value of each kind, for tests and for the golden vectors. Never change one."""

import hashlib
import zlib
from dataclasses import replace

from protocol.keys import SigningKey, bind, name_successor
from protocol.manifest import AuditCaps, Budget, Limits, MetricSpec, TaskManifest
from protocol.program import Guard, Instances, ModelBudget, ProgramLimits, ProgramSpec
from protocol.record_kinds import (
    AdoptBody,
    Body,
    Diff,
    FileChange,
    Formerly,
    FoundOn,
    Origin,
    PatchBody,
    ProfileBody,
    ResultBody,
    TaskBody,
)
from protocol.regions import Region
from protocol.remarks import (
    InsightBody,
    IntentBody,
    NoiseBody,
    ProposalCount,
    ProposalsBody,
    ReportBody,
    RetractBody,
)
from protocol.rerun import RerunBody, prove_seeds, rerun_seed
from protocol.runs import Audit, Cost, Env, Figures, Role, Run
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
    """Return a digest to fill a field."""
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
    scored_rows=512,
    evaluator="lm-bpb/1",
)
PROGRAM_SPEC = ProgramSpec(
    run=("python", "main.py"),
    entry=None,
    build=None,
    encoding="bytes",
    isolation="fresh",
    judge=sha256(b"judge"),
    fixed_files=(("data/words.txt", sha256(b"words")),),
    instances=Instances(public=32, secret=32, fixed=()),
    aggregate="mean",
    guards=(Guard(name="peak_mb", scale=0, times_millionths=1_500_000, most=2_048),),
    best_known=0,
    impossible=-1,
    limits=ProgramLimits(threads=1, instance_mb=16, answer_mb=16, warmup=0),
    device="cpu",
    scoring="judged",
    interactive=False,
    judge_data=(("answers.json", sha256(b"answers")),),
    packages=sha256(b"lock"),
    judge_packages=None,
    llm=ModelBudget(models=("any",), calls=40, tokens=20_000),
)
PROGRAM_MANIFEST = TaskManifest(
    name="sorting",
    version=3,
    kind="program",
    files=(("lib/sort.py", sha256(b"a")), ("main.py", sha256(b"b"))),
    metric=MetricSpec(name="wall_s", unit="s", direction="min", max_step_nano=10**6, scale=6),
    budget=Budget(unit="instances", amount=32),
    limits=MANIFEST.limits,
    noise_floor_nano=0,
    audit=AuditCaps(k=0, tolerance_nano=0, tau_nano=0),
    data=(),
    tokenizer=None,
    vocabulary_size=0,
    context=0,
    scored_rows=0,
    evaluator="program/2",
    program=PROGRAM_SPEC,
    below=MANIFEST.id,
)

assert PROGRAM_MANIFEST.program is not None
RICH_PROGRAM = replace(
    PROGRAM_MANIFEST.program,
    limits=ProgramLimits(threads=2, instance_mb=16, answer_mb=16, warmup=0, scratch_mb=128),
    toolchains=("cc", "sh"),
    public_data=("shown", sha256(b"a listing")),
)

OLDER = SigningKey.from_seed(b"an older key".ljust(32, b"."))
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
    # Stored, not deflated: zlib's versions compress differently, and a vector must never change.
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


def rerun_run(pair: int, role: Role, nano: int) -> Run:
    """Return a run of a pair that a re-run by AUTHOR must contain."""
    seed = rerun_seed(PROOF, pair)
    return replace(GOOD_RUN, seed=seed, role=role, metric_nano=nano, secret_nano=nano + 7, flags=())


RERUN = RerunBody(
    task=MANIFEST.id,
    hardware_class="cpu-x86_64",
    env=Env.of({"torch": "torch2.13-cpu"}),
    base=BASELINE.tree,
    tree=CHANGED.tree,
    target=sha256(b"result"),
    proof=PROOF,
    runs=(
        rerun_run(0, "base", 1_300_000_000),
        rerun_run(0, "candidate", 1_250_000_000),
        rerun_run(1, "candidate", 1_251_000_000),
        rerun_run(1, "base", 1_299_000_000),
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
REPORT = ReportBody(
    task=MANIFEST.id,
    hardware_class="cpu-x86_64",
    title="A night on two cores",
    since_ms=START_MS,
    until_ms=START_MS + 8 * 3_600_000,
    base=BASELINE.tree,
    head=CHANGED.tree,
    figures=Figures.of({"experiments": 812, "kept": 9, "gain_nano": 48_000_000}),
    text=sha256(b"# A night"),
    size_bytes=9,
    evidence=(sha256(b"result"),),
)
PROPOSALS = ProposalsBody(
    task=MANIFEST.id,
    hardware_class="cpu-x86_64",
    since_ms=START_MS,
    until_ms=START_MS + 8 * 3_600_000,
    counts=(
        ProposalCount(
            proposer="search",
            model=None,
            program=None,
            proposed=700,
            unusable=0,
            failed=12,
            rejected=0,
            tried=688,
            kept=7,
        ),
        ProposalCount(
            proposer="llm",
            model="example/model-1",
            program=sha256(b"program"),
            proposed=130,
            unusable=9,
            failed=4,
            rejected=3,
            tried=114,
            kept=2,
        ),
    ),
)

BODIES: dict[str, Body] = {
    "profile": PROFILE,
    "task": TASK,
    "patch": PATCH,
    "result": RESULT,
    "adopt": ADOPT,
    "rerun": RERUN,
    "noise": NOISE,
    "intent": INTENT,
    "insight": INSIGHT,
    "retract": RETRACT,
    "report": REPORT,
    "proposals": PROPOSALS,
}

# Optional fields, and words that no version knows yet. They are valid, and every node keeps and
# forwards them.
VARIANTS: dict[str, Body] = {
    "a program task": TaskBody(manifest=PROGRAM_MANIFEST),
    "a task of a later kind": TaskBody(
        manifest=replace(
            MANIFEST, kind="prophecy", budget=Budget(unit="wishes", amount=3), evaluator="oracle/1"
        )
    ),
    "a patch that was found elsewhere": replace(
        PATCH,
        found_on=FoundOn(task=PROGRAM_MANIFEST.id, hardware_class="any", patch=sha256(b"there")),
    ),
    "a stopped run": replace(
        RESULT,
        stage="screen",
        status="stopped",
        runs=(replace(FAILED_RUN, role="candidate", status="stopped", reason=None, step=120),),
    ),
    "a program's run, of the class any": replace(
        RESULT,
        task=PROGRAM_MANIFEST.id,
        hardware_class="any",
        runs=(
            replace(
                GOOD_RUN,
                metric_nano=0,
                secret_nano=-3,
                audit=None,
                answer=sha256(b"answer"),
                also=Figures.of({"peak_mb": 17}),
            ),
        ),
    ),
    "a stage, a status and a role of later": replace(
        RESULT,
        stage="rehearsal",
        status="frozen",
        runs=(replace(FAILED_RUN, role="shadow", status="frozen"),),
    ),
    "alpha and pairs": replace(RERUN, alpha_millionths=50_000, max_pairs=16),
    "smaller than claimed": replace(
        RERUN, verdict="smaller", alpha_millionths=50_000, max_pairs=16
    ),
    "a verdict of later": replace(RERUN, verdict="dreamt"),
    "a program task with a shell, data and scratch": TaskBody(
        manifest=replace(PROGRAM_MANIFEST, program=RICH_PROGRAM)
    ),
    "a program task whose judge asks a model": TaskBody(
        manifest=replace(
            PROGRAM_MANIFEST,
            program=replace(
                PROGRAM_SPEC,
                scoring="model",
                judge_llm=ModelBudget(models=("any",), calls=64, tokens=9_000),
            ),
        )
    ),
    "a program task with a region and words that it forbids": TaskBody(
        manifest=replace(
            PROGRAM_MANIFEST,
            program=replace(
                PROGRAM_SPEC,
                regions=(Region(path="lib/sort.py", name="EVOLVE-BLOCK"),),
                forbid=("ctypes", "sorted("),
            ),
        )
    ),
    "a seed of the claim's, run again": replace(
        RERUN, hardware_class="any", again=replace(GOOD_RUN, seed=7, role="again", audit=None)
    ),
    "what an experiment was compared with": replace(
        RESULT, stage="screen", runs=(GOOD_RUN,), level_nano=GOOD_RUN.metric_nano
    ),
    "a profile that names an older key": replace(
        PROFILE,
        formerly=Formerly(author=OLDER.public, signature=name_successor(OLDER, AUTHOR.public)),
    ),
    "a program task with an imported evaluator": TaskBody(
        manifest=replace(
            PROGRAM_MANIFEST,
            program=replace(
                PROGRAM_SPEC,
                run=None,
                module="lib/sort.py",
                encoding="json",
                llm=None,
                judge_files=(("evaluator.py", sha256(b"evaluator")),),
                vary="argument seed",
            ),
        )
    ),
}
