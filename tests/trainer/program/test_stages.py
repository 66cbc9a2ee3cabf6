"""The stages of a program's run: steps made once, what each split may reveal, and conditions."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgpack
import pytest

from protocol.errors import ConfigurationError
from tests.trainer.program.tasks import (
    CALLED,
    DRAWN,
    JUDGE,
    METRIC,
    ONE_OF_EACH,
    SOLVE,
    Bench,
    figures,
    read,
    write_task,
)
from tests.trainer.runners import SPLIT
from trainer.measuring.loss_curve import as_pairs
from trainer.measuring.metering import RunFailed
from trainer.measuring.outcome import RunOutcome
from trainer.program import execution as execution_module
from trainer.program.candidate import Candidate, InstanceResult, InstanceRun
from trainer.program.instances import MadeInstances
from trainer.program.judge import Judge
from trainer.program.seeds import InstanceName

OTHER_SPLIT = b"the key of another split".ljust(32, b".")
FOUR = 4 * [min(os.sched_getaffinity(0))]  # as on a machine with this number of cores
ERROR = (3_000_000_000, 3_000_000_000)
SUM = 'sum(instance["numbers"])'
OF_SEEDS = """\
import os


def solve(instance):
    seed = int(os.environ["ARNODE_SEED"])
    print("MET", seed)
    if seed in {seeds}:
        {does}
    return sum(instance["numbers"]) + 3
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return a bench with two instances of each split, which are numbers to be added."""
    with Bench(read(write_task(tmp_path_factory.mktemp("task")))) as bench:
        assert figures(bench.calibrate()) == ERROR
        yield bench


def seeds(bench: Bench, *, secret: bool, run_seed: int = 1, split: bytes = SPLIT) -> list[int]:
    """Return the candidates' seeds of a run's instances."""
    names = bench.stages.instances.names(run_seed, split)
    return [name.candidate_seed for name in names if (name.split == "secret") == secret]


def ended(bench: Bench, does: str, *, secret: bool) -> RunOutcome:
    """Run a program that does something on the first instance of a split."""
    chosen = seeds(bench, secret=secret)[:1]
    return bench.run(OF_SEEDS.format(seeds=set(chosen), does=does))


def test_the_same_source_and_seed_give_the_same_and_another_seed_other_instances(
    bench: Bench,
) -> None:
    guess = "def solve(instance):\n    return 500\n"
    first = figures(bench.run(guess))
    assert figures(bench.run(guess)) == first
    assert first[0] != first[1]
    other = figures(bench.run(guess, seed=2))
    assert other[0] != first[0]
    assert figures(bench.run(guess, split=OTHER_SPLIT))[0] == first[0]
    assert figures(bench.run(guess, split=OTHER_SPLIT))[1] != first[1]


WAYS = {
    "wrong": ("return 'none'", "rejected"),
    "crash": ("raise ValueError('cannot')", "crash"),
    "end": ("raise SystemExit(0)", "crash"),
    "memory": ("kept = [b'x' * (1 << 20) for _ in range(3000)]", "oom"),
}


@pytest.mark.parametrize("way", WAYS)
def test_of_a_secret_instance_nothing_is_reported_but_that_it_failed(
    bench: Bench, way: str
) -> None:
    does, status = WAYS[way]
    reported = ended(bench, f"print('SEEN', instance)\n        {does}", secret=True)
    assert reported.status == status
    assert reported.reason is not None
    assert "an instance of the secret split" in reported.reason
    assert "SEEN" not in reported.log_tail
    for word in ("numbers", "ValueError", "cannot", "whole number", "1", "2"):
        assert word not in reported.reason
    assert reported.unquoted == reported.reason


@pytest.mark.parametrize("way", WAYS)
def test_of_a_public_instance_it_is_shown_which_and_why(bench: Bench, way: str) -> None:
    does, status = WAYS[way]
    reported = ended(bench, does, secret=False)
    assert reported.status == status
    assert reported.reason is not None
    assert "instance 1" in reported.reason
    if way == "wrong":
        assert reported.reason == "instance 1 is answered wrong: not a whole number"
        assert reported.unquoted == "instance 1 is answered wrong"
    assert reported.metric_nano is reported.secret_nano is None


def test_the_loss_that_is_printed_on_the_first_public_instance_is_a_curve(bench: Bench) -> None:
    first, *others = seeds(bench, secret=False) + seeds(bench, secret=True)
    reported = "print(f'step {seed % 1000 + 1000} loss 3.5')"
    assert as_pairs(bench.run(OF_SEEDS.format(seeds={first}, does=reported)).curve) == [
        (first % 1000 + 1000, 3.5)
    ]
    assert bench.run(OF_SEEDS.format(seeds=set(others), does=reported)).curve == ()


def test_what_a_secret_instance_prints_reaches_nobody(bench: Bench) -> None:
    outcome = bench.run(OF_SEEDS.format(seeds=set(), does="pass"))
    assert figures(outcome) == ERROR
    met = [int(line.split()[1]) for line in outcome.log_tail.splitlines()]
    assert sorted(met) == sorted(seeds(bench, secret=False))


def test_seconds_and_memory_are_those_of_public_instances(bench: Bench) -> None:
    hog = "kept = b'x' * (300 << 20)\n        while time.process_time() < 0.3: pass"
    text = "import time\n" + OF_SEEDS
    secret = bench.run(text.format(seeds=set(seeds(bench, secret=True)), does=hog))
    public = bench.run(text.format(seeds=set(seeds(bench, secret=False)), does=hog))
    assert figures(secret) == figures(public) == ERROR
    assert public.peak_mem_bytes - secret.peak_mem_bytes > 200 << 20
    assert public.cpu_ms > 500 > secret.cpu_ms


def test_instances_of_a_pair_are_made_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    make = Judge.make

    async def counted(judge: Judge, names: list[InstanceName], *, most_bytes: int) -> list[bytes]:
        made.append(len(names))
        return await make(judge, names, most_bytes=most_bytes)

    monkeypatch.setattr(Judge, "make", counted)
    for _ in range(2):
        bench.run(seed=77)
        bench.run(SOLVE.replace("3", "4"), seed=77)
    assert made == [4]
    bench.run(seed=78)
    bench.run(seed=79)
    assert made == [4, 4, 4]
    bench.run(seed=77)  # an old run
    assert made == [4, 4, 4, 4]


def test_warm_ups_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds for any number of instances at once, and for any runs between."""
    made: list[tuple[str, int]] = []
    make = Judge.make

    async def counted(judge: Judge, names: list[InstanceName], *, most_bytes: int) -> list[bytes]:
        made.append((names[0].split, len(names)))
        return await make(judge, names, most_bytes=most_bytes)

    monkeypatch.setattr(Judge, "make", counted)
    monkeypatch.setattr(execution_module, "usable_core_numbers", lambda: FOUR)
    monkeypatch.setattr(execution_module.Cores, "_of_loops", {})
    folder = write_task(tmp_path / "task", how=CALLED + "warmup = 3\n")
    with Bench(read(folder)) as bench:
        for seed in (1, 2, 3, 4):
            figures(bench.run(seed=seed))
    assert sorted(made) == [("public", 4)] * 4 + [("warm-up", 3)]


def test_candidates_have_ended_before_the_judge_sees_an_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    run_on, check = Candidate.run_on, Judge.check

    async def met(candidate: Candidate, execution: Sequence[InstanceRun]) -> list[InstanceResult]:
        found = await run_on(candidate, execution)
        order.append("met")
        return found

    async def checked(judge: Judge, instance: bytes, answer: bytes, asking: None) -> object:
        order.append("checked")
        return await check(judge, instance, answer, asking)

    monkeypatch.setattr(Candidate, "run_on", met)
    monkeypatch.setattr(Judge, "check", checked)
    figures(bench.run())
    assert order == ["met"] * 4 + ["checked"] * 4


def test_a_metric_is_reported_in_steps_of_the_noise(tmp_path: Path) -> None:
    judge = JUDGE.replace("abs(answer - sum", "1e-4 * abs(answer - sum")
    with Bench(read(write_task(tmp_path / "task", judge=judge, instances=ONE_OF_EACH))) as bench:
        assert figures(bench.calibrate()) == (250_000, 250_000)  # 0.0003 in eighths of 0.001


def test_fixed_instances_are_reported_exactly_and_never_change(tmp_path: Path) -> None:
    judge = """\
from judging import Wrong


def instance(seed, split, index):
    return {"numbers": [len(split), index]}


def check(instance, answer):
    return {"error": abs(answer - sum(instance["numbers"])) / 7e6}
"""
    folder = write_task(
        tmp_path / "task",
        judge=judge,
        instances='[instances]\nfixed = ["n=2", "n=26"]\n',
    )
    with Bench(read(folder)) as bench:
        first = bench.calibrate()
        assert figures(first) == (429, 429)
        assert figures(bench.run(seed=9, split=OTHER_SPLIT)) == (429, 429)
        wrong = bench.run("def solve(instance):\n    return 'none'\n")
        assert wrong.status == "rejected"
        assert wrong.reason is not None
        assert wrong.reason.startswith("instance n=2")


GUARDED = """\
def solve(instance):
    kept = b"x" * ({hog} << 20)
    return sum(instance["numbers"]) + 3
"""


def test_a_guard_holds_a_run_against_the_baselines(tmp_path: Path) -> None:
    more = "[guards]\npeak_mb = { times = 1.5 }\nanswer_bytes = { most = 9 }\n"
    folder = write_task(
        tmp_path / "task",
        instances=ONE_OF_EACH,
        more=more,
        files={"solve.py": GUARDED.format(hog=1)},
    )
    with Bench(read(folder)) as bench:
        assert figures(bench.calibrate()) == ERROR
        assert figures(bench.run(GUARDED.format(hog=2))) == ERROR
        hog = bench.run(GUARDED.format(hog=300))
        assert hog.status == "rejected"
        assert hog.reason is not None
        assert hog.reason.startswith("guard peak_mb: ")
        long = bench.run(f"def solve(instance):\n    return {SUM} + 10**11\n")
        assert long.reason is not None
        assert long.reason.startswith("guard answer_bytes: 12, at most 9")


def test_a_guard_that_only_a_secret_instance_breaks_is_reported_without_digits(
    tmp_path: Path,
) -> None:
    folder = write_task(
        tmp_path / "task",
        instances=ONE_OF_EACH,
        more="[guards]\nanswer_bytes = { most = 9 }\n",
    )
    with Bench(read(folder)) as bench:
        bench.calibrate()
        reported = ended(bench, f"return {SUM} + 10**25", secret=True)
        assert (reported.status, reported.reason) == (
            "rejected",
            "a guard fails on the secret instances",
        )


def test_a_figure_of_the_secret_split_that_is_none_is_reported_without_digits(bench: Bench) -> None:
    reported = ended(bench, f"return {SUM} + 98_765_432_100", secret=True)
    assert (reported.status, reported.reason) == ("rejected", "no metric on the secret split")
    public = ended(bench, f"return {SUM} + 98_765_432_100", secret=False)
    assert public.reason is not None
    assert "4.94e+10: choose a larger unit in the task" in public.reason


def test_better_than_possible_is_refused_and_said(tmp_path: Path) -> None:
    judge = JUDGE.replace("abs(", "(")  # a bug: a negative value is better
    folder = write_task(
        tmp_path / "task", judge=judge, instances=ONE_OF_EACH, more="[bound]\nimpossible = -0.5\n"
    )
    with Bench(read(folder)) as bench:
        bench.calibrate()
        assert figures(bench.run(SOLVE.replace("3", "0"))) == (0, 0)
        liar = bench.run(SOLVE.replace("3", "-1"))
        assert liar.status == "rejected"
        assert liar.reason is not None
        assert "better than the bound on what is possible" in liar.reason


def test_a_source_is_built_once(tmp_path: Path) -> None:
    how = """\
editable = ["build.py", "solve.py"]
entry = "solve.py:solve"
build = ["python", "build.py"]
"""
    build = """\
import os

with open("table.py", "w") as file:
    file.write(f"STEP = 3\\nBUILT = {os.getpid()}\\n")
print("built it")
"""
    solve = "from table import STEP\n\n\n" + SOLVE.partition("\n\n\n")[2]
    folder = write_task(
        tmp_path / "task",
        how=how,
        metric=METRIC.replace('"error"', '"build_bytes"'),
        instances=ONE_OF_EACH,
        files={"build.py": build, "solve.py": solve},
    )
    with Bench(read(folder)) as bench:
        outcome = bench.calibrate()
        built_bytes, _ = figures(outcome)
        assert built_bytes is not None
        kept = len(build) + len(solve)  # since `solve.py` is called directly
        assert 15 * 10**9 < built_bytes - kept * 10**9 < 30 * 10**9
        assert "built it" in outcome.log_tail
        packages = bench.stages._builder._kept
        (first,) = packages.values()
        bench.run(seed=2)
        assert list(packages.values()) == [first]
        for number in range(6):
            bench.run(build + f"# {number}\n", solve)
        assert len(packages) == 4


def test_the_size_of_a_source_may_be_the_metric(tmp_path: Path) -> None:
    folder = write_task(
        tmp_path / "task",
        metric=METRIC.replace('"error"', '"source_bytes"'),
        instances=ONE_OF_EACH,
    )
    with Bench(read(folder)) as bench:
        assert figures(bench.calibrate()) == (len(SOLVE) * 10**9, len(SOLVE) * 10**9)
        assert bench.run("def solve(instance):\n    return None\n").status == "rejected"


def test_a_judge_that_makes_other_instances_each_time_measures_nothing(tmp_path: Path) -> None:
    judge = JUDGE.replace("chance = random_of(seed)", "import random\n    chance = random")
    with (
        Bench(read(write_task(tmp_path / "task", judge=judge))) as bench,
        pytest.raises(ConfigurationError, match="different instances from the same seed"),
    ):
        bench.calibrate()


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return a bench whose metric is the share of the baseline's seconds."""
    metric = METRIC.replace('"error"', '"cpu_s"').replace('"units"', '"share"')
    judge = JUDGE.replace('raise Wrong("not', 'raise Wrong("it is not')
    folder = write_task(
        tmp_path_factory.mktemp("timed"), metric=metric, judge=judge, instances=DRAWN
    )
    with Bench(read(folder)) as bench:
        bench.calibrate()
        yield bench


class Clock:
    """A stand-in for running packages, with times that a test sets."""

    def __init__(self, bench: Bench, *, base_s: float, own_s: float) -> None:
        self.order: list[str] = []
        self.met: dict[str, list[bytes]] = {"A": [], "B": []}
        self._bench = bench
        self._seconds = {"B": base_s, "A": own_s}

    async def run_on(self, execution: Sequence[InstanceRun]) -> list[InstanceResult]:
        (instance_run,) = execution
        kept = self._bench.stages._builder._kept
        baseline = kept[self._bench.task.source.tree]
        who = "B" if instance_run.package is baseline.sealed else "A"
        self.order.append(who)
        self.met[who].append(instance_run.instance)
        await asyncio.sleep(0)
        seconds = self._seconds[who]
        return [
            InstanceResult(answer=b"500", wall_s=seconds, cpu_s=seconds, peak_bytes=1 << 20, log="")
        ]


def test_seconds_are_a_share_of_the_baselines_run_in_turns(
    timed: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(timed, base_s=0.5, own_s=0.125)
    monkeypatch.setattr(Candidate, "run_on", clock.run_on)
    outcome = timed.run(SOLVE.replace("3", "4"))
    assert figures(outcome) == (250_000_000, 250_000_000)
    # An uncounted one of each, then one of each on each instance, in alternating order.
    assert "".join(clock.order) == "AB" + "ABBA" + "ABBA"


def test_no_two_processes_of_candidates_run_one_timed_instance(
    timed: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds within a run, and between two runs with the same seed and split, like a pair's."""
    clock = Clock(timed, base_s=0.5, own_s=0.125)
    monkeypatch.setattr(Candidate, "run_on", clock.run_on)
    for source in (SOLVE.replace("3", "6"), SOLVE.replace("3", "6"), SOLVE.replace("3", "7")):
        assert timed.run(source).status == "ok"
    for who in ("A", "B"):
        warm_ups, counted = set(clock.met[who][::5]), clock.met[who]
        assert len(warm_ups) == 1  # the first of each run, which is not counted
        assert len(set(counted)) == 3 * 4 + 1
        assert len(counted) == 3 * 5


@pytest.mark.parametrize("name", ["wall_s", "cpu_s", "instructions"])
def test_runs_whose_cost_counts_share_no_instance(tmp_path: Path, name: str) -> None:
    metric = METRIC.replace('"error"', f'"{name}"').replace('"units"', '"share"')
    task = read(write_task(tmp_path / "task", metric=metric))
    instances = MadeInstances(task, judge=None)  # type: ignore[arg-type]  # names do not need it
    first, second = (instances.names(1, SPLIT, instances.fresh_nonce()) for _ in range(2))
    assert not {one.seed for one in first} & {one.seed for one in second}
    untimed = read(write_task(tmp_path / "untimed"))
    assert MadeInstances(untimed, judge=None).fresh_nonce() == b""  # type: ignore[arg-type]


def test_the_baseline_against_itself_takes_its_own_time(timed: Bench) -> None:
    public, secret = figures(timed.run())
    assert public is not None
    assert secret is not None
    assert public > 0
    assert secret > 0


def test_a_faster_answer_that_is_wrong_is_no_answer(timed: Bench) -> None:
    outcome = timed.run("def solve(instance):\n    return None\n")
    assert outcome.status == "rejected"
    assert outcome.metric_nano is None


def test_executions_run_at_once_only_where_no_seconds_count(
    bench: Bench, timed: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once: list[int] = []
    there = 0

    async def run_on(
        candidate: Candidate, execution: Sequence[InstanceRun]
    ) -> list[InstanceResult]:
        nonlocal there
        there += 1
        at_once.append(there)
        for _ in range(3):
            await asyncio.sleep(0)
        there -= 1
        return [InstanceResult(answer=b"500", wall_s=1.0, cpu_s=1.0, peak_bytes=1, log="")]

    monkeypatch.setattr(Candidate, "run_on", run_on)
    monkeypatch.setattr(execution_module, "usable_core_numbers", lambda: FOUR)
    monkeypatch.setattr(execution_module.Cores, "_of_loops", {})
    figures(timed.run(SOLVE.replace("3", "5")))
    assert set(at_once) == {1}
    at_once.clear()
    figures(bench.run())
    assert max(at_once) == 4


def test_of_several_failures_a_fault_of_ours_comes_first(bench: Bench) -> None:
    """Our own bug must not count as a candidate's failure."""
    failed = RunFailed("crash", "it ended")
    group = BaseExceptionGroup("", [failed, BaseExceptionGroup("", [ValueError("a bug")])])
    assert isinstance(execution_module.first_failure(group), ValueError)
    assert execution_module.first_failure(BaseExceptionGroup("", [failed])) is failed


def test_secret_instances_hang_on_the_key_of_their_split(bench: Bench) -> None:
    assert seeds(bench, secret=True) != seeds(bench, secret=True, split=OTHER_SPLIT)
    assert seeds(bench, secret=False) == seeds(bench, secret=False, split=OTHER_SPLIT)


def test_answers_to_fixed_instances_are_judged_without_running_anything(tmp_path: Path) -> None:
    folder = write_task(tmp_path / "task", instances='[instances]\nfixed = ["one", "two"]\n')
    with Bench(read(folder)) as bench:
        outcome = bench.calibrate()
        assert outcome.evidence is not None
        shown = bench.do(bench.runner.judged(outcome.evidence, 7))
        assert figures(shown) == figures(outcome) == ERROR
        assert (shown.seed, shown.flags, shown.ms) == (7, ("shown",), 0)
        for other in (b"", b"\x90", b"\x91\xc4\x01" + b"1", b"\x92\x01\x02", b"\x91" * 10**5):
            reported = bench.do(bench.runner.judged(other, 7))
            assert (reported.status, reported.metric_nano) == ("rejected", None)
        wrong = bench.do(bench.runner.judged(msgpack.packb([b'"a"', b'"b"']), 7))
        assert wrong.reason is not None
        assert "is answered wrong: not a whole number" in wrong.reason


def test_what_hangs_on_drawn_instances_is_no_evidence(tmp_path: Path) -> None:
    with Bench(read(write_task(tmp_path / "task", instances=ONE_OF_EACH))) as bench:
        assert bench.calibrate().evidence is None
        assert bench.do(bench.runner.judged(msgpack.packb([b"1"]), 7)).status == "rejected"
