"""Runs kept as lines of a file, after a kill, damage or another setting."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.on_demand.kept_runs import KeptRun, KeptRuns, kept_runs
from protocol.errors import ConfigurationError
from protocol.runs import MAX_SEED
from tests.node.examples import run

HERE, ELSEWHERE = bytes(32), bytes([1]) * 32
TREE, OTHER = bytes([2]) * 32, bytes([3]) * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replications" / "runs.jsonl"


def kept(seed: int, *, tree: bytes = TREE, setting: bytes = HERE, metric: int = 7) -> KeptRun:
    return KeptRun(
        setting=setting,
        tree=tree,
        run=replace(run(metric), seed=seed, reason=None),
        tolerance_nano=5,
        memorised_nano=6,
    )


def find(runs: KeptRuns, tree: bytes, seed: int) -> KeptRun | None:
    """Return the first kept run."""
    return next(iter(runs.tries(tree, seed)), None)


def test_what_was_kept_is_there_again(path: Path) -> None:
    with kept_runs(path, HERE, is_fresh=False) as runs:
        runs.keep(kept(1))
        runs.keep(kept(2, tree=OTHER))
        assert find(runs, TREE, 1) == kept(1)
    with kept_runs(path, HERE, is_fresh=False) as runs:
        assert (find(runs, TREE, 1), find(runs, OTHER, 2)) == (kept(1), kept(2, tree=OTHER))
        assert (find(runs, TREE, 2), find(runs, OTHER, 1)) == (None, None)
        assert runs.unread == 0


def test_a_failure_is_kept_as_it_was(path: Path) -> None:
    failed = replace(kept(1), run=run(None, status="crash", reason="no \u200d lamps"))
    with kept_runs(path, HERE, is_fresh=False) as runs:
        runs.keep(failed)
    with kept_runs(path, HERE, is_fresh=False) as runs:
        assert find(runs, TREE, failed.run.seed) == failed


def test_another_setting_measures_again_and_nothing_is_lost(path: Path) -> None:
    with kept_runs(path, HERE, is_fresh=False) as runs:
        runs.keep(kept(1))
    with kept_runs(path, ELSEWHERE, is_fresh=False) as runs:
        assert find(runs, TREE, 1) is None
        runs.keep(kept(1, setting=ELSEWHERE, metric=8))
    with kept_runs(path, HERE, is_fresh=False) as runs:
        assert find(runs, TREE, 1) == kept(1)


def test_seeds_are_fixed_when_the_file_is_begun(path: Path) -> None:
    with kept_runs(path, HERE, is_fresh=False) as runs:
        seeds = [runs.seed(block, number) for block in (0, 1) for number in range(20)]
    with kept_runs(path, HERE, is_fresh=False) as runs:
        assert [runs.seed(block, number) for block in (0, 1) for number in range(20)] == seeds
    assert len(set(seeds)) == 40
    assert all(0 <= seed <= MAX_SEED for seed in seeds)
    with kept_runs(path.with_name("another"), HERE, is_fresh=False) as runs:
        assert runs.seed(0, 0) != seeds[0]


def test_a_fresh_start_knows_nothing_and_draws_other_seeds(path: Path) -> None:
    with kept_runs(path, HERE, is_fresh=False) as runs:
        runs.keep(kept(1))
        seed = runs.seed(0, 0)
    with kept_runs(path, HERE, is_fresh=True) as runs:
        assert find(runs, TREE, 1) is None
        assert runs.seed(0, 0) != seed


@given(cut=st.integers(0, 1_000_000))
def test_a_kill_loses_the_line_at_hand_and_nothing_before_it(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "runs.jsonl"
    with kept_runs(path, HERE, is_fresh=False) as runs:
        for seed in range(4):
            runs.keep(kept(seed))
    data = path.read_bytes()
    path.write_bytes(data[: cut % (len(data) + 1)])
    whole = path.read_bytes().count(b"\n") - 1  # without the header
    with kept_runs(path, HERE, is_fresh=False) as runs:
        assert [seed for seed in range(4) if find(runs, TREE, seed)] == list(range(max(0, whole)))
        assert runs.unread == 0
        runs.keep(kept(9))
    with kept_runs(path, HERE, is_fresh=False) as runs:
        assert find(runs, TREE, 9) == kept(9)


def without_seed(line: bytes) -> bytes:
    value = json.loads(line)
    del value["run"]["seed"]
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: b"\xff" + line,
        lambda line: line[:-3],
        lambda line: line.replace(b'"ok"', b'"fine"'),
        lambda line: line.replace(b'"tree": "02', b'"tree": "0'),
        lambda line: b"[" * 100_000,
        lambda _: b"[]",
        without_seed,
    ],
)
def test_a_damaged_line_is_counted_and_the_others_stand(
    path: Path, damage: Callable[[bytes], bytes]
) -> None:
    with kept_runs(path, HERE, is_fresh=False) as runs:
        for seed in (1, 2, 3):
            runs.keep(kept(seed))
    lines = path.read_bytes().splitlines()
    lines[2] = damage(lines[2])
    path.write_bytes(b"\n".join(lines) + b"\n")
    with kept_runs(path, HERE, is_fresh=False) as runs:
        assert [bool(find(runs, TREE, seed)) for seed in (1, 2, 3)] == [True, False, True]
        assert runs.unread == 1


def test_without_its_salt_a_file_is_started_again(path: Path) -> None:
    with kept_runs(path, HERE, is_fresh=False) as runs:
        runs.keep(kept(1))
    path.write_bytes(path.read_bytes().replace(b'"salt"', b'"slat"'))
    with kept_runs(path, HERE, is_fresh=False) as runs:
        assert find(runs, TREE, 1) is None
        runs.keep(kept(2))
    with kept_runs(path, HERE, is_fresh=False) as runs:
        assert find(runs, TREE, 2) == kept(2)


def test_two_processes_do_not_write_one_file(path: Path) -> None:
    with kept_runs(path, HERE, is_fresh=False):
        pass
    program = (
        "import fcntl, sys; stream = open(sys.argv[1]); fcntl.flock(stream, fcntl.LOCK_EX);"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(ConfigurationError, match="another command is using"),
            kept_runs(path, HERE, is_fresh=True),
        ):
            pass
        other.stdin.close()
    with kept_runs(path, HERE, is_fresh=False):
        pass


def test_the_file_is_for_its_user_alone(path: Path) -> None:
    with kept_runs(path, HERE, is_fresh=False):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
