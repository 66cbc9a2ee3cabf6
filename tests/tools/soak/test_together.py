"""Results of a recorded group: its typical line's progress, eight together against one alone."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from protocol.ideas import Edit
from protocol.source import Source
from tools.soak import swarm_limit, together
from tools.soak.swarm_limit import KeptChange, fewest_runs

GAINS = {"a": 0.1, "b": 0.35, "c": 0.5}
KEPT = [{"title": "T", "cost": 3, "runs": 20, "needs": []}]


def record(folder: Path, name: str, seen: Sequence[Sequence[tuple[str, int]]]) -> None:
    reported = {
        "seen": seen,
        "gains": GAINS,
        "start": 4,
        "kept": KEPT,
        "spent": [{"reference_run": 2}],
    }
    (folder / f"together-tiny-{name}.json").write_text(json.dumps(reported))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(together, "RECORDED", tmp_path)
    record(tmp_path, "00-1", [[("a", 4)], [("b", 20)], [("c", 60)]])
    # Of three the second best counts, and its runs are those of all of them on average.
    rows = [[("a", 4), ("b", 4), ("a", 4)], [("a", 12), ("b", 8), ("b", 10)]]
    record(tmp_path, "00-8", rows)
    return tmp_path


def results() -> Mapping[str, Any]:
    return together.results_of("tiny", range(3))


def test_a_group_is_as_far_as_its_typical_line(folder: Path) -> None:
    assert results()["50%"] == [
        {"alone": 20, "together": 10, "times_as_fast": 2.0, "at_most": round(20 / 7, 2)}
    ]


def test_a_target_that_a_group_never_came_to_has_no_figure(folder: Path) -> None:
    assert [one["times_as_fast"] for one in results()["95%"]] == [None]


def test_a_repetition_counts_once_both_of_its_groups_are_there(folder: Path) -> None:
    record(folder, "01-1", [[("c", 30)]])
    assert results()["repetitions"] == 1


def test_a_line_that_could_not_be_measured_is_left_out(folder: Path) -> None:
    record(folder, "00-8", [[("lost", 9), ("b", 9), ("b", 9)]])
    assert [one["together"] for one in results()["50%"]] == [9]


def test_no_swarm_is_sooner_than_a_start_and_a_chain_of_changes() -> None:
    found = [
        KeptChange(title="A", cost=3, runs=10),
        KeptChange(title="B", cost=2, runs=20, needs=(0,)),
        KeptChange(title="C", cost=4, runs=30),
        KeptChange(title="too late", cost=90, runs=99),
    ]
    assert fewest_runs(4, found, 44, nodes=1) == 44
    assert fewest_runs(4, found, 44, nodes=5) == 12
    assert fewest_runs(4, found, 44, nodes=100) == 4 + 5


def test_a_change_needs_those_without_which_it_cannot_be_made() -> None:
    source = Source.of({"a.py": b"X = 1\nY = 1\n"})
    first = (Edit(path="a.py", search="X = 1", replace="X = 2"),)
    other = (Edit(path="a.py", search="Y = 1", replace="Y = 2"),)
    second = (Edit(path="a.py", search="X = 2", replace="X = 3"),)
    assert swarm_limit._needed(other, [first], source) == ()
    assert swarm_limit._needed(second, [first, other], source) == (0,)
