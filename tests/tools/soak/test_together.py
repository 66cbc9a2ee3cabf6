"""What a recorded group comes to: when the typical line was how far, and of eight beside one."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tools.soak import together

GAINS = {"a": 0.1, "b": 0.35, "c": 0.5}


def record(folder: Path, name: str, seen: Sequence[Sequence[tuple[str, int]]]) -> None:
    (folder / f"{name}.json").write_text(json.dumps({"seen": seen, "gains": GAINS}))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(together, "RECORDED", tmp_path)
    record(tmp_path, "together-00-1", [[("a", 4)], [("b", 20)], [("c", 60)]])
    # Of three the second best counts, and its runs are those of all of them on average.
    rows = [[("a", 4), ("b", 4), ("a", 4)], [("a", 12), ("b", 8), ("b", 10)]]
    record(tmp_path, "together-00-8", rows)
    return tmp_path


def told() -> Mapping[str, object]:
    return together.told_of(range(3))


def test_a_group_is_as_far_as_its_typical_line(folder: Path) -> None:
    assert told()["times_as_fast"] == {"0.3": [2.0], "0.4": [None], "0.45": [None]}


def test_a_target_that_a_group_never_came_to_counts_as_the_slowest(folder: Path) -> None:
    record(folder, "together-01-1", [[("c", 30)]])
    record(folder, "together-01-8", [[("b", 10)] * 8, [("c", 15)] * 8])
    assert told()["times_as_fast"] == {"0.3": [2.0, 3.0], "0.4": [None, 2.0], "0.45": [None, 2.0]}
    assert told()["median"] == {"0.3": 2.5, "0.4": 1.0, "0.45": 1.0}


def test_a_repetition_counts_once_both_of_its_groups_are_there(folder: Path) -> None:
    record(folder, "together-01-1", [[("c", 30)]])
    assert len(told()["ends"]) == 1  # type: ignore[arg-type]
    assert told()["holds"] is False


def test_a_line_that_could_not_be_measured_is_left_out(folder: Path) -> None:
    record(folder, "together-00-8", [[("lost", 9), ("b", 9), ("b", 9)]])
    assert told()["times_as_fast"] == {"0.3": [2.22], "0.4": [None], "0.45": [None]}
