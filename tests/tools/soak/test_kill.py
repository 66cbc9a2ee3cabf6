"""A node that is killed at random moments; `make soak PART=kills|ingest` does it 200 times."""

import json
from pathlib import Path

import pytest

from tests.conftest import DEAF_TASK
from tools.soak.ingest import run_ingest
from tools.soak.kills import run_kills


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_kills_at_random_moments_cost_nothing_and_the_loop_goes_on(home: Path) -> None:
    figures = run_kills(home, 3, seed=5, task=DEAF_TASK, longest_s=5)
    assert figures["problems"] == []
    assert figures["keys"] == 1
    assert figures["runs_repeated_with_their_seed"]
    assert figures["last_exit_code"] == 0
    assert figures["holds"], json.dumps(figures, indent=2)


def test_kills_while_records_are_taken_in_lose_nothing_that_was_committed(home: Path) -> None:
    figures = run_ingest(home, 2, seed=6)
    assert figures["holds"], json.dumps(figures, indent=2)
