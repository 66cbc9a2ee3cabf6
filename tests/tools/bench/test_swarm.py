"""`make bench PART=overlap`: played lines are kept, and figures cover what is there."""

import json
from pathlib import Path
from typing import Any, cast

from tools.bench.swarm import code_digest, run_overlap

ALONE, FOUR = ("as shipped", False, 1, 0.0), ("as shipped", False, 4, 0.0)


def keep(kept: Path, *lines: tuple[tuple[object, ...], list[int | None]]) -> None:
    with (kept / f"overlap-{code_digest()}.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def overlap_figures(kept: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", run_overlap(kept, begun_s=0))


def test_figures_follow_from_what_is_kept_and_say_of_how_many_seeds(tmp_path: Path) -> None:
    nothing = overlap_figures(tmp_path)
    assert nothing["as shipped"]["as it is"] == {}
    for seed in range(3):
        keep(tmp_path, ((*ALONE, seed), [400 + seed, 1600, None]))
        keep(tmp_path, ((*FOUR, seed), [100, 400 + 100 * seed, 900]))
    some = overlap_figures(tmp_path)
    assert nothing["missing"] - some["missing"] == 6
    rows = some["as shipped"]["as it is"]
    assert set(rows) == {"4 nodes, 0% liars, to 40", "4 nodes, 0% liars, to 150"}
    assert rows["4 nodes, 0% liars, to 40"]["seeds"] == 3
    assert 3.9 < rows["4 nodes, 0% liars, to 40"]["times_alone"]["ratio"] < 4.1
