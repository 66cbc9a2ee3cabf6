"""A run from source to score: deterministic, and one word for each way to fail."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest

from protocol.errors import ArnodeError, ConfigurationError
from protocol.runs import CONTENDED, MAX_REASON, TIGHT, Run, Status
from protocol.source import Source
from tests.adversarial.bench import hurried
from tests.trainer.audits import audited
from tests.trainer.runners import SPLIT, runner_of
from trainer.language_model.data import TaskData
from trainer.measuring import cost, training
from trainer.measuring.loss_curve import LossCurve
from trainer.measuring.outcome import RunOutcome
from trainer.runner import Runner
from trainer.task_folder.task import Task

Edited = Callable[..., Source]

SEED = 5
HURRIED_S = 1  # for the stage that is made to hang

LOSS = "    loss.backward()\n"
EXPORT = "val_bpb = evaluate_bpb("
READ = "batches = make_dataloader("
# While warming up, the harness asks only about zeros. Its own input before the first row does not
# count.
LEAK = """            if len(tokens) > 3:
                print('LEAKED', tokens.flatten().tolist()[:64], flush=True)
                print('step 999999 loss', tokens.flatten().tolist()[0], flush=True)
"""


def figures(outcome: RunOutcome) -> tuple[object, ...]:
    assert (outcome.status, outcome.reason) == ("ok", None), outcome.log_tail
    assert outcome.answers is not None
    return outcome.metric_nano, outcome.secret_nano, outcome.answers.tobytes()


@dataclass(frozen=True)
class Bench:
    """A calibrated runner for the tests of this file, and its run of the baseline."""

    loop: asyncio.Runner
    runner: Runner
    plain: RunOutcome

    def run(self, source: Source, seed: int = SEED, **how: Any) -> RunOutcome:
        return self.loop.run(self.runner.run(source, seed, split=SPLIT, **how))


@pytest.fixture(scope="module")
def bench(short_task: Task, short_data: TaskData) -> Iterator[Bench]:
    limits = replace(short_task.manifest.limits, limit_s=30, warmup_limit_s=20, memory_mb=900)
    task = replace(short_task, manifest=replace(short_task.manifest, limits=limits))
    with asyncio.Runner() as loop:
        runner = runner_of(task, short_data)
        try:
            yield Bench(loop, runner, loop.run(runner.calibrate(SEED, split=SPLIT)))
        finally:
            loop.run(runner.close())


def test_the_same_seed_and_tree_give_the_same_bits(bench: Bench) -> None:
    """This holds alone, and if one run is scored while the next one trains."""
    runner, source = bench.runner, bench.runner.task.source

    async def measure() -> list[RunOutcome]:
        free = asyncio.Event()
        first = asyncio.create_task(runner.run(source, SEED, split=SPLIT, on_trained=free.set))
        await free.wait()
        second = runner.run(source, SEED, split=SPLIT, needs_audit=audited(False))
        return await asyncio.gather(first, second)

    same = [bench.plain, *bench.loop.run(measure())]
    other = bench.run(source, SEED + 1, is_hopeless=lambda _curve: None, needs_audit=audited(False))
    assert figures(same[0]) == figures(same[1]) == figures(same[2])
    assert figures(other)[0] != figures(same[0])[0]
    assert figures(other)[1] != figures(same[0])[1]
    assert same[0].audit is not None
    assert same[2].audit is None  # no one needed it
    for outcome in (*same, other):
        assert outcome.cpu_ms > 0
        assert outcome.ms > 0
        assert outcome.serve_ms > 0
        assert outcome.peak_mem_bytes > 100 << 20
        assert outcome.tokens == 15_360
        check_stages(outcome)
    # Nothing else trains while a run's clock is running.
    spans = sorted((one.start_ms, one.end_ms) for run in same for one in run.stages if one.counts)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


ASIDE = {"attempt", "baseline"}  # of a busy machine, since other tests run in parallel


def check_stages(outcome: RunOutcome) -> None:
    """Check that a run's stages are complete, one after the other in each sandbox."""
    parts = {"train": ("spawn", "import", "build", "train", "export")}
    parts["score"] = ("spawn", "import", "load", "score")
    if outcome.audit is not None:
        parts["audit"] = parts["score"]
    for part, names in parts.items():
        stages = [one for one in outcome.stages if one.part == part and one.name not in ASIDE]
        assert tuple(one.name for one in stages) == names
        assert all(one.end_ms <= after.start_ms for one, after in pairwise(stages))
    assert {one.part for one in outcome.stages} == set(parts)
    counted_ms = sum(one.end_ms - one.start_ms for one in outcome.stages if one.counts)
    export_ms = sum(one.end_ms - one.start_ms for one in outcome.stages if one.name == "export")
    assert abs(counted_ms + export_ms - outcome.ms) < 10


FAILURES: dict[str, tuple[tuple[str, str], Status, str]] = {
    "crash": (
        (LOSS, "    raise ValueError('no' + chr(10) + chr(27) + '[2J' + 'x' * 500)\n"),
        "crash",
        "in training: ",
    ),
    "syntax": ((LOSS, "    loss.backward(\n"), "crash", "in training: SyntaxError"),
    "no export": ((EXPORT, "raise SystemExit(0)\nval_bpb = evaluate_bpb("), "crash", "in training"),
    "nan weights": (
        (EXPORT, f"model.head.weight.data[3, 4] = float('nan')\n{EXPORT}"),
        "nan",
        "nan: weight 'head.weight'",
    ),
    "oversize weights": (
        (EXPORT, f"model.register_buffer('more', torch.zeros(1_000_000))\n{EXPORT}"),
        "rejected",
        "weights of ",
    ),
    "much too large weights": (
        (EXPORT, f"model.register_buffer('more', torch.zeros(20_000_000))\n{EXPORT}"),
        "rejected",
        "in training: a frame of",
    ),
    "nan claims": (
        ("            return logits\n", "            return logits / 0\n"),
        "nan",
        "nan: its log-probabilities are not finite: its logits overflow or divide by zero",
    ),
    "weights that do not fit": (
        (EXPORT, f"model.register_buffer('more', torch.zeros(3))\n{EXPORT}"),
        "crash",
        "in scoring: ",
    ),
    "no model": (
        (READ, "network, model = model, None\nbatches = make_dataloader("),
        "crash",
        "in ",
    ),
    "validation split": (
        ('"train")', '"val")'),
        "crash",
        "in training: ValueError: there is no split 'val' here",
    ),
    "secret text on its lips": (
        (
            "            return logits\n",
            f"{LEAK}                raise SystemExit(7)\n            return logits\n",
        ),
        "crash",
        "in scoring: it ended before it had answered everything",
    ),
    "ceiling of CPU seconds": (
        (LOSS, "    import time\n    while time.process_time() < 60:\n        pass\n" + LOSS),
        "timeout",
        "training used more than",
    ),
    "growth": (
        (LOSS, "    model.kept = [*getattr(model, 'kept', []), bytearray(200 << 20)]\n" + LOSS),
        "oom",
        "in training: more than the task's",
    ),
    "no more memory on the device": (
        (
            LOSS,
            "    raise torch.OutOfMemoryError('CUDA out of memory. Of 7.79 GiB none is free')\n",
        ),
        "oom",
        "in training: torch.OutOfMemoryError: CUDA out of memory. Of 7.79 GiB none is free",
    ),
    "wall clock": (
        (LOSS, "    import time\n    time.sleep(100)\n" + LOSS),
        "timeout",
        f"training took more than {HURRIED_S} s",
    ),
    "warm-up": (
        (READ, "import time\ntime.sleep(100)\nbatches = make_dataloader("),
        "timeout",
        f"the set-up before the data took more than {HURRIED_S} s",
    ),
}
# Of more than a hundred: after these, weights can be exported, and memory no longer grows.
FEW_STEPS = ("steps = TOKEN_BUDGET // (BATCH * SEQUENCE)", "steps = 8")
HANGS_AT = {"wall clock": "training", "warm-up": "before the data"}


@pytest.mark.parametrize(("share", "is_near"), [(0.9, False), (0.1, True)])
def test_a_run_near_its_ceiling_is_flagged_unless_others_disturbed_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, share: float, *, is_near: bool
) -> None:
    monkeypatch.setattr(training, "_TIGHT", share)
    outcome = bench.run(bench.runner.task.source)
    assert outcome.status == "ok"
    assert (TIGHT in outcome.flags) == (is_near and CONTENDED not in outcome.flags)


@pytest.mark.soak
def test_each_failure_has_its_word_and_a_reason(
    bench: Bench, edited: Edited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All use one runner, which also shows that a failed run leaves nothing behind."""
    # Parallel tests, and memory that the machine must find again, take longer than the tenths of a
    # second that honest runs have. So only the row about a ceiling uses the real one.
    monkeypatch.setattr(cost, "_START_SLACK_S", 1.0)
    slack_s = cost._TRAIN_SLACK_S
    leaking = edited(
        ("            return logits\n", f"{LEAK}            return logits\n"),
        ("    losses.append(loss.item())\n", ""),  # it prints its own loss, at each step
        (LOSS, f"    print(f'step {{step}}: loss {{loss.item():.4f}}')\n{LOSS}"),
        (READ, f"print('SET UP', flush=True)\n{READ}"),
    )

    found = {}
    for name, (edit, _, _) in FAILURES.items():
        is_about_it = name == "ceiling of CPU seconds"
        monkeypatch.setattr(cost, "_TRAIN_SLACK_S", slack_s if is_about_it else 4.0)
        with hurried(bench.runner, HANGS_AT.get(name, ""), HURRIED_S):
            found[name] = bench.run(edited(edit, FEW_STEPS))
    well = bench.run(leaking)
    after = bench.run(bench.runner.task.source, needs_audit=audited(False))
    # Output after a script has seen secret text is not kept.
    assert all("LEAKED" not in outcome.log_tail for outcome in (well, *found.values()))
    assert figures(well) == figures(bench.plain)
    steps = [point.step for point in well.curve]
    assert steps == [*range(len(steps))]
    assert 10 < len(steps) < 999
    assert 1 < well.curve[-1].loss < well.curve[0].loss < 10
    assert 1 <= well.log_tail.count("SET UP") <= 2  # where it trains and scores, not in the audit
    for name, (_, status, reason) in FAILURES.items():
        outcome = found[name]
        assert outcome.status == status, (name, outcome.reason)
        assert outcome.reason is not None
        assert outcome.reason.startswith(reason), (name, outcome.reason)
        assert outcome.reason.isprintable(), (name, outcome.reason)
        assert len(outcome.reason) <= MAX_REASON
        assert (
            outcome.metric_nano is outcome.secret_nano is outcome.answers is outcome.audit is None
        )
        assert isinstance(Run.from_value(as_record(outcome).to_value()), Run), name
        unquoted = outcome.to_run("candidate", quoting=False).reason
        assert unquoted is not None
        assert not any(word in unquoted for word in ("Error", "head.weight", "split 'val'")), name
    assert figures(after) == figures(bench.plain)


def as_record(outcome: RunOutcome) -> Run:
    return Run(
        role="candidate",
        **{
            name: getattr(outcome, name)
            for name in (
                "seed", "status", "metric_nano", "secret_nano", "ms", "cpu_ms", "serve_ms",
                "tokens", "peak_mem_bytes", "flags", "reason", "audit",
            )
        },
    )  # fmt: skip


def test_a_run_that_somebody_calls_hopeless_is_stopped(bench: Bench) -> None:
    seen: list[LossCurve] = []

    def is_hopeless(curve: LossCurve) -> str | None:
        seen.append(curve)
        return "it looks bad" if curve.points else None

    source = bench.runner.task.source
    stopped = bench.run(source, is_hopeless=is_hopeless)
    whole = bench.plain
    assert (stopped.status, stopped.reason) == ("stopped", "it looks bad")
    assert stopped.ms < whole.ms
    assert stopped.metric_nano is stopped.secret_nano is stopped.answers is None
    run = stopped.to_run("candidate", quoting=False)
    assert run.step == stopped.curve[-1].step
    assert run.reason == "it looks bad"
    assert figures(whole)
    assert whole.to_run("candidate").step is None
    assert stopped.steps == whole.steps == seen[0].steps


def test_nothing_is_measured_before_the_baseline(
    short_task: Task, short_data: TaskData, edited: Edited
) -> None:
    runner = runner_of(short_task, short_data)
    assert runner.metric_tolerance == 0.0
    with pytest.raises(ValueError, match="the baseline is not measured yet"):
        asyncio.run(runner.run(edited((LOSS, f"    # changed\n{LOSS}")), 1))


def test_a_baseline_beyond_the_manifests_caps_measures_nothing(
    short_task: Task, short_data: TaskData
) -> None:
    caps = replace(short_task.manifest.audit, tau_nano=0)
    task = replace(short_task, manifest=replace(short_task.manifest, audit=caps))

    async def measure() -> Runner:
        runner = runner_of(task, short_data)
        try:
            with pytest.raises(ArnodeError, match="rejected"):
                await runner.calibrate(1)
        finally:
            await runner.close()
        return runner

    assert asyncio.run(measure()).baseline_cost is None


def test_a_task_with_processes_still_scores_in_one(short_task: Task, short_data: TaskData) -> None:
    """CPU seconds are metered per process: a child in the serve role could train unnoticed."""
    budget = replace(short_task.manifest.budget, unit="seconds", amount=2)
    task = replace(short_task, manifest=replace(short_task.manifest, budget=budget))
    runner = runner_of(task, short_data)
    assert not runner._stages.profile("train").single_process
    assert runner._stages.profile("serve").single_process


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"direction": "max"}, "its metric's direction is 'max', but lm-bpb/1 measures 'min'"),
        ({"name": "val_loss"}, "its metric's name is 'val_loss', but lm-bpb/1 measures 'val_bpb'"),
    ],
)
def test_a_manifest_that_turns_its_evaluators_metric_round_is_not_run(
    short_task: Task, short_data: TaskData, changes: dict[str, str], said: str
) -> None:
    """Otherwise losses would be published as gains, by any author of such a manifest."""
    metric = replace(short_task.manifest.metric, **changes)
    task = replace(short_task, manifest=replace(short_task.manifest, metric=metric))
    with pytest.raises(ConfigurationError, match=said):
        runner_of(task, short_data)


def test_an_evaluator_that_is_not_known_here_is_not_run(
    short_task: Task, short_data: TaskData
) -> None:
    manifest = replace(short_task.manifest, evaluator="lm-bpb/9")
    with pytest.raises(ConfigurationError, match="no evaluator 'lm-bpb/9' here"):
        runner_of(replace(short_task, manifest=manifest), short_data)
