"""Results of a recorded group: its typical line's progress, eight together against one alone."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from protocol.ideas import Edit
from protocol.record_kinds import Stage
from protocol.runs import Run
from protocol.source import Source
from tests.node.examples import MANIFEST
from tests.protocol.worlds import run
from tools.soak import liar, swarm_limit, together_results
from tools.soak.swarm_limit import KeptChange, fewest_runs

GAINS = {"a": 0.1, "b": 0.35, "c": 0.5}
KEPT = [{"title": "T", "cost": 3, "runs": 20, "needs": []}]


def record(
    folder: Path, name: str, seen: Sequence[Sequence[tuple[str, int]]], **more: object
) -> None:
    reported: dict[str, object] = {
        "seen": seen,
        "gains": GAINS,
        "start": 4,
        "kept": KEPT,
        "spent": [{"reference_run": 2}],
        "newcomer": [["a", 3], ["b", 7], ["c", 9]],
        **more,
    }
    (folder / f"together-tiny-{name}.json").write_text(json.dumps(reported))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(together_results, "RECORDED", tmp_path)
    record(tmp_path, "00-1", [[("a", 4)], [("b", 20)], [("c", 60)]])
    # Of three the second best counts, and its runs are those of all of them on average.
    rows = [[("a", 4), ("b", 4), ("a", 4)], [("a", 12), ("b", 8), ("b", 10)]]
    record(tmp_path, "00-8", rows)
    return tmp_path


def results() -> Mapping[str, Any]:
    return together_results.results_of("tiny")


def test_a_group_is_as_far_as_its_typical_line(folder: Path) -> None:
    assert results()["50%"] == [
        {
            "alone": 20,
            "together": 10,
            "times_as_fast": 2.0,
            "at_most": round(20 / 7, 2),
            "if_all_test_one_by_one": round(20 / (4 + 3 + 13 / 8), 2),
        }
    ]


def test_a_newcomer_is_level_once_it_has_the_median_gain(folder: Path) -> None:
    assert results()["newcomer_is_level_after"] == [7]


def test_a_target_that_a_group_never_came_to_has_no_figure(folder: Path) -> None:
    assert [one["times_as_fast"] for one in results()["95%"]] == [None]


def test_a_repetition_counts_once_both_of_its_groups_are_there(folder: Path) -> None:
    record(folder, "01-1", [[("c", 30)]])
    assert results()["repetitions"] == 1


def test_a_line_that_could_not_be_measured_is_left_out(folder: Path) -> None:
    record(folder, "00-8", [[("lost", 9), ("b", 9), ("b", 9)]])
    assert [one["together"] for one in results()["50%"]] == [9]


def test_with_liars_runs_and_adoptions_are_counted(folder: Path) -> None:
    assert together_results.lying_of("tiny")["repetitions"] == 0
    rows = [[("a", 5), ("b", 5), ("a", 5)], [("a", 20), ("b", 20), ("b", 20)]]
    record(folder, "00-8-4-lie", rows, adopted=[("a", "b"), ("b", "a")])
    lying = together_results.lying_of("tiny")
    assert lying["50%"] == [{"without": 10, "with_liars": 20, "of_the_speed_up": 0.5}]
    assert lying["95%"] == [{"without": None, "with_liars": None, "of_the_speed_up": None}]
    assert (lying["repetitions"], lying["adopted"], lying["adopted_in_vain"]) == (1, 2, 1)
    assert lying["newcomer_is_level_after"] == [7]


def test_a_repetition_with_liars_counts_once_the_honest_groups_are_there(folder: Path) -> None:
    record(folder, "01-8-4-lie", [[("b", 20)]], adopted=[("b", "a")])
    assert together_results.lying_of("tiny")["adopted"] == 0


def test_a_night_is_compared_with_one_node_that_makes_as_many_runs(
    folder: Path,
) -> None:
    assert together_results.night_of("tiny") is None
    rows = [[("a", 14), ("b", 14), ("b", 14)]]
    record(folder, "00-35", rows, spent=[{"experiment": 10}] * 3, costs={"records_of_each": 7})
    record(folder, "00-1-490", [[("c", 490)]])
    assert together_results.night_of("tiny") == {
        "experiments": 30,
        "runs": 42,
        "median_next_to_one": 0.7,
        "best_next_to_one": 0.7,
        "records_of_each": 7,
    }


class _Writer:
    """The part of a record writer that the liar looks at; it returns what is published."""

    subject = SimpleNamespace(manifest=MANIFEST)


def published(stage: Stage, *runs: Run, level_nano: int | None) -> tuple[Stage, list[int | None]]:
    said: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(liar, "_publish_truly", lambda _writer, **about: said.update(about))
        liar._publish(cast("Any", _Writer()), runs=runs, stage=stage, level_nano=level_nano)
    return said["stage"], [one.metric_nano for one in said["runs"]]


def test_a_liar_publishes_the_opposite_of_what_it_measured() -> None:
    worse, level_nano = run(1, "candidate", 1_900_000_000), 1_800_000_000
    assert published("screen", worse, level_nano=level_nano) == (
        "keep",
        [level_nano - liar.INVENTED_NANO],
    )
    better = run(1, "candidate", 1_700_000_000)
    assert published("keep", better, level_nano=level_nano) == (
        "screen",
        [level_nano + liar.INVENTED_NANO],
    )
    base = run(1, "base", level_nano)
    assert published("confirm", base, worse, level_nano=None) == (
        "confirm",
        [level_nano, level_nano - liar.INVENTED_NANO],
    )
    assert published("baseline", base, level_nano=None) == ("baseline", [level_nano])


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
    assert fewest_runs(4, found, 44, nodes=1, all_test=True) == 44
    assert fewest_runs(4, found, 44, nodes=31, all_test=True) == 4 + (3 + 2 + 4) + 1


def test_a_change_needs_those_without_which_it_cannot_be_made() -> None:
    source = Source.of({"a.py": b"X = 1\nY = 1\n"})
    first = (Edit(path="a.py", search="X = 1", replace="X = 2"),)
    other = (Edit(path="a.py", search="Y = 1", replace="Y = 2"),)
    second = (Edit(path="a.py", search="X = 2", replace="X = 3"),)
    assert swarm_limit._needed(other, [first], source) == ()
    assert swarm_limit._needed(second, [first, other], source) == (0,)
