"""AlgoTune's classes become trusted tasks: a judge that keeps them, a candidate without them."""

import random
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from arnode_plugins import algotune
from protocol.errors import ConfigurationError
from tests.plugins.brought import FOLDERS, Brought, brought, copied
from trainer.program.harness.codec import decode, encode

TASKS = FOLDERS / "algotune" / "AlgoTuneTasks"


@pytest.fixture
def rise(tmp_path: Path) -> Brought:
    return brought(algotune.read_task(TASKS / "longest_rise"), tmp_path / "rise")


@pytest.fixture
def pairs(tmp_path: Path) -> Brought:
    return brought(algotune.read_task(TASKS / "nearest_pairs", size=[6, 9]), tmp_path / "pairs")


@pytest.fixture
def spatial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the one class of scipy that an example's checker uses."""

    class Tree:
        def __init__(self, points: np.ndarray) -> None:
            self.points = points

        def query(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
            apart = ((points[:, None] - self.points[None]) ** 2).sum(axis=2)
            order = apart.argsort(axis=1)[:, :k]
            return np.take_along_axis(apart, order, axis=1), order

    scipy, inner = ModuleType("scipy"), ModuleType("scipy.spatial")
    scipy.spatial, inner.cKDTree = inner, Tree  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "scipy", scipy)
    monkeypatch.setitem(sys.modules, "scipy.spatial", inner)


def test_it_is_trusted_and_timed_by_the_node(rise: Brought) -> None:
    table = rise.table
    assert "scoring" not in table
    assert rise.draft.is_trusted
    assert (table["entry"], table["encoding"]) == ("solve.py:solve", "arrays")
    assert table["metric"] == {
        "name": "wall_s", "unit": "share", "direction": "min", "aggregate": "geomean",
        "max_step": 1.0,
    }  # fmt: skip
    assert table["name"] == "longest-rise"
    assert "return a longest rising subsequence as a list" in rise.text("program.md")


def test_sizes_are_those_around_what_upstream_timed(rise: Brought) -> None:
    assert "SIZES = (10, 20, 40)" in rise.text("judge.py")


def test_sizes_that_nobody_said_are_asked_for(tmp_path: Path) -> None:
    draft = algotune.read_task(TASKS / "nearest_pairs")
    assert any("give --size," in note for note in draft.notes)


def test_the_candidate_is_solve_with_what_it_needs_and_without_the_checker(rise: Brought) -> None:
    text = rise.text("solve.py")
    assert text.startswith("# Example of a task of AlgoTune's form.\n")
    assert "def solve(problem: dict[str, Any]) -> list[int]:" in text
    assert "# From the end of the longest one backwards." in text
    assert "# How long a rise can be at each number.\ndef _lengths" in text
    for outside_name in (
        "is_solution",
        "generate_problem",
        "_is_rising",
        "AlgoTuneTasks",
        "random",
    ):
        assert outside_name not in text


def test_a_class_that_solves_with_its_own_members_stays_one(pairs: Brought) -> None:
    text = pairs.text("solve.py")
    assert "class NearestPairs:" in text
    assert "from __future__ import annotations" in text
    assert 'METRIC = "euclidean"' in text
    assert "_distances" in text
    for outside_name in ("is_solution", "generate_problem", "scipy", "super"):
        assert outside_name not in text
    assert pairs.table["requires"] == ["scipy"]
    assert pairs.table["judge"] == {"file": "judge.py", "limit_s": 600, "requires": ["scipy"]}


@pytest.mark.usefixtures("spatial")
@pytest.mark.parametrize("name", ["rise", "pairs"])
def test_the_judge_takes_the_baselines_answers_and_no_others(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Brought = request.getfixturevalue(name)
    judge, candidate = made.judge(monkeypatch), made.module("solve.py")
    for index in range(6):
        seed = random.Random(index).randbytes(32)
        sent = encode(judge.instance(seed, "secret", index), "arrays")
        assert encode(judge.instance(seed, "secret", index), "arrays") == sent
        answer = encode(candidate.solve(decode(sent, "arrays")), "arrays")
        figures = judge.check(decode(sent, "arrays"), decode(answer, "arrays"))
        assert figures == {"solved": 1.0}
        with pytest.raises(judge.Wrong):
            judge.check(decode(sent, "arrays"), decode(answer, "arrays")[:-1])
    sizes = {len(str(judge.instance(bytes(32), "public", index))) for index in range(3)}
    assert len(sizes) > 1  # every stratum is there


def test_a_problem_that_is_larger_than_an_instance_may_be_is_made_smaller_and_that_is_said(
    rise: Brought, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = rise.judge(monkeypatch)
    assert rise.table["instance_mb"] * 1_000_000 == judge.MOST_BYTES
    whole = judge.instance(bytes(32), "public", 2)
    held = judge.sent_bytes(whole)
    assert len(encode(whole, "arrays")) <= held < len(encode(whole, "arrays")) + 100
    judge.MOST_BYTES = held - 1
    smaller = judge.instance(bytes(32), "public", 2)
    assert 1 < judge.sent_bytes(smaller) < held
    again = judge.instance(bytes(32), "public", 2)
    assert encode(again, "arrays") == encode(smaller, "arrays")
    judge.MOST_BYTES = 0  # there is no smaller one
    assert judge.instance(bytes(32), "public", 2)
    said = "more than 64 MB (instance_mb in task.toml) is made smaller: its n is halved"
    assert any(said in note for note in rise.draft.notes)
    assert said in rise.text("program.md")


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 200, 70_000, 1 << 40, -5], "b": (0.5, True, None)},
        np.zeros((30, 40)),
        [list(range(100_000))],
        "größer" * 1000,
    ],
)
def test_what_a_problem_is_sent_as_is_known_to_its_judge(
    rise: Brought, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    sent = len(encode(value, "arrays"))
    assert sent <= rise.judge(monkeypatch).sent_bytes(value) <= 1.1 * sent + 100


def test_no_guard_is_invented(rise: Brought) -> None:
    assert "guards" not in rise.table


def test_a_class_without_a_checker_is_refused(tmp_path: Path) -> None:
    folder = copied("algotune/AlgoTuneTasks", "longest_rise", tmp_path)
    path = folder / "longest_rise.py"
    path.write_text(path.read_text().replace("def is_solution", "def is_right"))
    with pytest.raises(ConfigurationError, match="LongestRise has no is_solution") as caught:
        algotune.read_task(folder)
    assert "generate_problem(n, random_seed)" in caught.value.hint


def test_a_folder_without_a_class_is_none_of_theirs(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("def solve(problem): ...\n")
    with pytest.raises(ConfigurationError, match="not a folder of AlgoTune: no module in it"):
        algotune.read_task(tmp_path)


def test_solving_that_needs_a_module_next_to_it_is_refused(tmp_path: Path) -> None:
    folder = copied("algotune/AlgoTuneTasks", "longest_rise", tmp_path)
    path = folder / "longest_rise.py"
    text = path.read_text().replace("LIMIT = 1000", "from .other import shorten\nLIMIT = 1000")
    path.write_text(text.replace("return rise[::-1]", "return shorten(rise)"))
    with pytest.raises(ConfigurationError, match=r"solve needs `from \.other import shorten`"):
        algotune.read_task(folder)


def test_broken_python_is_reported_with_its_file(tmp_path: Path) -> None:
    folder = copied("algotune/AlgoTuneTasks", "longest_rise", tmp_path)
    (folder / "longest_rise.py").write_text("class :\n")
    with pytest.raises(ConfigurationError, match=r"longest_rise\.py: not valid Python"):
        algotune.read_task(folder)
