"""The staircase: both lines go where the records say, and every mark fits into the plot."""

from dataclasses import replace

import pytest

from node.reporting.staircase import columns, staircase
from node.store.experiments import Adoption, Decision, Experiment
from protocol.record_kinds import AdoptBody
from tests.node.examples import ENTRY


def history(*steps: tuple[Decision, float | None]) -> list[Experiment]:
    rest = [
        replace(ENTRY, decision=decision, metric_nano=metric and round(metric * 1e9))
        for decision, metric in steps
    ]
    return [ENTRY, *rest]


def test_the_working_line_follows_what_was_kept_and_returns_after_a_missed_promotion_trial() -> (
    None
):
    shown = columns(
        history(("discarded", 1.3), ("kept", 1.1), ("kept", 1.0), ("unconfirmed", 1.05))
    )
    assert [column.working for column in shown] == [1.2, 1.2, 1.1, 1.0, 1.2]
    assert {column.head for column in shown} == {1.2}


def test_a_branch_goes_down_to_another_tree_and_comes_back_and_is_no_keep() -> None:
    shown = columns(history(("adopted", 1.0), ("branched", 1.1), ("kept", 1.05), ("branched", 1.0)))
    assert [column.working for column in shown] == [1.2, 1.0, 1.1, 1.05, 1.0]
    assert [column.head for column in shown] == [1.2, 1.0, 1.0, 1.0, 1.0]
    assert [column.mark for column in shown] == [None, None, None, "kept", None]


def test_a_passed_promotion_trial_moves_both_lines() -> None:
    shown = columns(history(("kept", 1.1), ("adopted", 1.08), ("failed", None)))
    assert [column.head for column in shown] == [1.2, 1.2, 1.08, 1.08]
    assert [column.working for column in shown] == [1.2, 1.1, 1.08, 1.08]
    assert [column.mark for column in shown] == [None, "kept", None, "failed"]


def test_the_head_goes_where_it_was_moved_by_hand_or_back_to() -> None:
    trees = [bytes([number + 1]) * 32 for number in range(4)]
    decisions: list[tuple[Decision, float]] = [("baseline", 1.2), ("adopted", 1.0)]
    entries = [
        replace(ENTRY, n=10 * n, decision=word, metric_nano=round(metric * 1e9), tree=trees[n])
        for n, (word, metric) in enumerate([*decisions, ("discarded", 1.3), ("discarded", 1.1)])
    ]
    moves = [moved(11, trees[1]), moved(21, trees[0])]
    shown = columns(entries, moves=moves)
    assert [column.head for column in shown] == [1.2, 1.0, 1.0, 1.2]
    assert [column.working for column in shown] == [1.2, 1.0, 1.0, 1.2]
    lost = columns(entries, moves=[moved(11, trees[1]), moved(21, bytes(32))])
    assert [column.head for column in lost][-1] == 1.0, "of a tree that nobody measured"


def moved(n: int, tree: bytes) -> Adoption:
    body = AdoptBody(
        task=bytes(32),
        hardware_class="cpu-x86_64",
        from_tree=bytes(32),
        to_tree=tree,
        evidence=None,
        unverified=True,
    )
    return Adoption(id=bytes(32), n=n, ts_ms=0, body=body)


def test_history_without_its_beginning_starts_where_the_lines_are_known() -> None:
    assert columns(history(("discarded", 1.3))[1:]) == []
    (column,) = columns(history(("discarded", 1.3))[1:], 1.25)
    assert (column.working, column.head) == (1.25, 1.25)


@pytest.mark.parametrize("count", [0, 1, 5, 80, 2000])
@pytest.mark.parametrize("height", [5, 9])
def test_the_plot_has_the_size_it_is_given(count: int, height: int) -> None:
    steps: list[tuple[Decision, float | None]] = [
        ("discarded", 9.0),
        ("kept", 1.1),
        ("failed", None),
    ]
    plot = staircase(columns(history(*steps * count)), width=80, height=height)
    lines = plot.plain.split("\n")
    assert len(lines) == height
    assert max(map(len, lines)) <= 80


def test_a_kept_experiment_is_seen_among_many_in_one_column() -> None:
    steps: list[tuple[Decision, float | None]] = [("discarded", 1.25)] * 1999
    steps[700] = ("kept", 1.1)
    assert "●" in staircase(columns(history(*steps)), width=80, height=9).plain
