"""Instances in a batch: one process gets those of a split in turn, and of no other split."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import ConfigurationError
from tests.trainer.program.tasks import CALLED, DRAWN, METRIC, Bench, figures, read, write_task
from tests.trainer.runners import SPLIT
from trainer.measuring.metering import RunFailed
from trainer.program.instances import DrawnInstance, batches
from trainer.program.manifest import check, spec_of
from trainer.program.stopwatch import Stopwatch

ERROR = (3_000_000_000, 3_000_000_000)
BATCH = CALLED + 'isolation = "batch"\n'
COUNTS = """\
import os

MET = []


def solve(instance):
    MET.append(instance)
    print("MET", len(MET), os.getpid(), os.environ["ARNODE_SEED"])
    return {returned}
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return a bench with three public and two secret instances."""
    instances = DRAWN.replace("public = 2", "public = 3")
    folder = write_task(tmp_path_factory.mktemp("task"), how=BATCH, instances=instances)
    with Bench(read(folder)) as bench:
        assert figures(bench.calibrate()) == ERROR
        yield bench


def met(bench: Bench, returned: str) -> list[list[str]]:
    """Return the printed lines, with their counts, of a successful run."""
    outcome = bench.run(COUNTS.format(returned=returned))
    assert outcome.status == "ok", outcome.reason
    return [line.split()[1:] for line in outcome.log_tail.splitlines()]


def test_a_split_is_run_by_one_process_in_turn_and_state_is_kept(bench: Bench) -> None:
    reported = met(bench, "sum(instance['numbers']) + len(MET)")
    assert [number for number, _, _ in reported] == ["1", "2", "3"]
    assert len({(pid, seed) for _, pid, seed in reported}) == 1
    outcome = bench.run(COUNTS.format(returned="sum(instance['numbers']) + len(MET)"))
    # 1, 2 and 3 of the public ones, 1 and 2 of the secret ones: no process got more.
    assert figures(outcome) == (2_000_000_000, 1_500_000_000)


def test_public_and_secret_instances_never_share_a_process(bench: Bench) -> None:
    names = bench.stages.instances.names(1, SPLIT)
    asked = [DrawnInstance(name=name, data=b"", run_seed=1) for name in names]
    manifest = bench.task.manifest
    both = batches(manifest, asked)
    assert [[one.is_secret for one in batch] for batch in both] == [[False] * 3, [True] * 2]
    alone = replace(spec_of(manifest), isolation="fresh")
    fresh = batches(replace(manifest, program=alone), asked)
    assert [len(batch) for batch in fresh] == [1] * 5
    assert [one for batch in both for one in batch] == asked


def test_one_failure_fails_the_run_and_says_which(bench: Bench) -> None:
    outcome = bench.run(COUNTS.format(returned="1 // (3 - len(MET))"))
    assert outcome.status in ("crash", "rejected")
    assert outcome.metric_nano is outcome.secret_nano is None
    late = bench.run(COUNTS.format(returned="sum(instance['numbers']) if len(MET) < 3 else {}[0]"))
    assert (late.status, late.reason) == ("crash", "in instance 3: KeyError: 0")
    assert "MET 3" in late.log_tail


def test_what_a_thread_does_once_an_instance_is_answered_counts(bench: Bench) -> None:
    threaded = """\
import threading
import time

MET = []


def spin():
    while time.process_time() < 0.5:
        pass


spinning = threading.Thread(target=spin)


def solve(instance):
    MET.append(instance)
    if len(MET) == 1:
        spinning.start()
    if len(MET) == 2:
        spinning.join()
    return sum(instance["numbers"])
"""
    outcome = bench.run(threaded)
    assert figures(outcome) == (0, 0)
    assert outcome.cpu_ms >= 400


def test_a_watch_for_what_comes_next_runs_meanwhile() -> None:
    async def used() -> float:
        async with Stopwatch(1.0, "the first", outside_share=lambda: 0.0).running():
            pass
        watch = Stopwatch(1.0, "the first", outside_share=lambda: 0.0).next("the second")
        await asyncio.sleep(0.05)
        async with watch.running():
            pass
        return watch.used_s

    async def late() -> None:
        watch = Stopwatch(0.02, "the first", outside_share=lambda: 0.0).next("the second")
        await asyncio.sleep(0.05)
        async with watch.running():
            await asyncio.sleep(5)

    assert asyncio.run(used()) >= 0.05
    with pytest.raises(RunFailed, match="the second took more than"):
        asyncio.run(late())


def test_candidate_and_baseline_come_first_on_half_of_a_timed_split_each(bench: Bench) -> None:
    names = bench.stages.instances.names(1, SPLIT)
    asked = [DrawnInstance(name=name, data=b"", run_seed=1) for name in names]
    manifest = bench.task.manifest
    timed = replace(manifest, metric=replace(manifest.metric, name="cpu_s"))
    batched = batches(timed, asked)
    assert [[one.is_secret for one in batch] for batch in batched] == [
        [False] * 2,
        [False],
        [True],
        [True],
    ]
    assert sorted(one for batch in batched for one in map(asked.index, batch)) == [0, 1, 2, 3, 4]


def test_a_timed_batch_is_run_next_to_the_baselines(tmp_path: Path) -> None:
    metric = METRIC.replace('"error"', '"cpu_s"').replace('"units"', '"share"')
    judge_free = write_task(tmp_path / "timed", how=BATCH, metric=metric)
    with Bench(read(judge_free)) as bench:
        bench.calibrate()
        public, secret = figures(bench.run())
        assert public is not None
        assert secret is not None
        assert min(public, secret) > 0


def test_fixed_instances_are_one_batch(tmp_path: Path) -> None:
    fixed = '[instances]\nfixed = ["a", "b"]\n'
    with Bench(read(write_task(tmp_path / "fixed", how=BATCH, instances=fixed))) as bench:
        bench.calibrate()
        assert [number for number, _, _ in met(bench, "sum(instance['numbers'])")] == ["1", "2"]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (
            'editable = ["solve.py"]\nrun = ["python", "solve.py"]\n',
            "a command ends after one instance",
        ),
        (CALLED + "interactive = true\n", "a separate conversation"),
    ],
)
def test_what_cannot_be_run_in_a_batch_is_refused(tmp_path: Path, how: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as fault:
        read(write_task(tmp_path / "own", how=how + 'isolation = "batch"\n'))
    assert "entry" in fault.value.hint
    manifest = read(write_task(tmp_path / "theirs", how=how)).manifest
    unlike = replace(manifest, program=replace(spec_of(manifest), isolation="batch"))
    with pytest.raises(ConfigurationError, match=why):
        check(unlike)


def test_the_isolation_is_in_the_id(tmp_path: Path) -> None:
    fresh = read(write_task(tmp_path / "fresh"))
    assert read(write_task(tmp_path / "batch", how=BATCH)).id != fresh.id
    assert read(write_task(tmp_path / "said", how=CALLED + 'isolation = "fresh"\n')).id == fresh.id
