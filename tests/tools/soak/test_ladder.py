"""The soak test of the ladder: figures of its recorded repetitions."""

import json
from pathlib import Path

import pytest

from tools.soak import ladder


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(ladder, "RECORDED", tmp_path)
    return tmp_path


def record(folder: Path, number: int, name: str, seconds: float) -> None:
    arm = {"seconds": seconds, "reached": True, "climb": [(seconds / 4, 0.07), (seconds, 0.12)]}
    (folder / f"ladder-{number:02}-{name}.json").write_text(json.dumps(arm))


def test_repetitions_count_once_both_nodes_are_there(recorded: Path) -> None:
    for number, seconds in enumerate((900.0, 1200.0, 600.0)):
        record(recorded, number, "alone", seconds)
    for number in (0, 1):
        record(recorded, number, "ladder", 300.0)
    reported = ladder.ladder_of(5, 0.12)
    assert reported["times_as_fast"] == [3.0, 4.0]
    assert reported["median"] == 3.5
    assert reported["holds"] is False  # of fewer repetitions than are asked for
    assert reported["times_as_fast_on_the_way"] == {"0.06": [3.0, 4.0], "0.09": [3.0, 4.0]}


def test_it_holds_by_the_median(recorded: Path) -> None:
    for number, seconds in enumerate((900.0, 600.0, 300.0, 1200.0, 630.0)):
        record(recorded, number, "alone", seconds)
        record(recorded, number, "ladder", 300.0)
    assert ladder.ladder_of(5, 0.12)["holds"] is True
    record(recorded, 4, "ladder", 600.0)
    record(recorded, 1, "ladder", 600.0)
    assert ladder.ladder_of(5, 0.12)["holds"] is False


def test_without_any_it_says_nothing(recorded: Path) -> None:
    assert ladder.ladder_of(5, 0.12)["median"] == 0.0
