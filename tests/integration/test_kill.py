"""A node that is killed at random moments; `make soak PART=kills` does it twenty times."""

import json
from pathlib import Path

from tests.soak.kills import run_kills


def test_kills_at_random_moments_cost_nothing_and_the_loop_goes_on(home: Path) -> None:
    figures = run_kills(home, 4, seed=5, longest_s=8)
    assert figures["problems"] == []
    assert figures["keys"] == 1
    assert figures["runs_repeated_with_their_seed"]
    assert figures["last_exit_code"] == 0
    assert figures["holds"], json.dumps(figures, indent=2)
