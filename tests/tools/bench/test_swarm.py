"""`make bench PART=overlap`: played lines are kept, and figures cover what is there."""

import json
from pathlib import Path
from typing import Any, cast

from tools.bench.swarm import Reached, code_digest, run_overlap, runs_to

ALONE, FOUR = ("as shipped", False, 1, 0.0), ("as shipped", False, 4, 0.0)


def keep(kept: Path, job: tuple[object, ...], *reached: tuple[int | None, int | None]) -> None:
    with (kept / f"overlap-{code_digest()}.jsonl").open("a") as file:
        file.write(json.dumps([job, reached]) + "\n")


def overlap_figures(kept: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", run_overlap(kept, begun_s=0))


def test_figures_follow_from_what_is_kept_and_say_of_how_many_seeds(tmp_path: Path) -> None:
    nothing = overlap_figures(tmp_path)
    assert nothing["as shipped"]["as it is"] == {}
    for seed in range(3):
        keep(tmp_path, (*ALONE, seed), (400 + seed, 300), (1600, 1500), (None, 2900))
        keep(tmp_path, (*FOUR, seed), (100, 60), (400 + 100 * seed, 350), (900, 850))
    some = overlap_figures(tmp_path)
    assert nothing["missing"] - some["missing"] == 6
    rows = some["as shipped"]["as it is"]
    assert set(rows) == {"4 nodes, 0% liars, to 40", "4 nodes, 0% liars, to 150"}
    assert rows["4 nodes, 0% liars, to 40"]["seeds"] == 3
    assert 3.9 < rows["4 nodes, 0% liars, to 40"]["times_alone"]["ratio"] < 4.1
    assert rows["4 nodes, 0% liars, to 40"]["working_lines"]["ratio"] == 5.0


def test_a_working_line_is_at_a_target_before_its_verified_head() -> None:
    (near, far), (never,) = runs_to((2.0, 8.0), 1, 0, 3), runs_to((500.0,), 1, 0, 3, most_runs=99)
    assert 0 < (near.line or 0) < (near.head or 0) < (far.head or 0)
    assert (near.line or 0) < (far.line or 0) < (far.head or 0)
    assert never == Reached(head=None, line=None)
