"""The short form of `make bench PART=looping`: an experiment costs the loop no more after many."""

from pathlib import Path

import pytest

from tools.bench.looping import run_looping


@pytest.mark.soak
def test_homes_are_made_once_and_worked_on_as_copies(tmp_path: Path) -> None:
    figures = run_looping(tmp_path, sizes=(2, 5), number=3, rounds=1)
    assert {path.name for path in tmp_path.iterdir()} == {"loop-2", "loop-5"}
    ms = figures["ms_on_the_event_loop"]
    assert isinstance(ms, dict)
    assert all(one > 0 for each in ms.values() for one in each)
