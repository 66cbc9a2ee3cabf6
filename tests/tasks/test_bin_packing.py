"""The judge of `bin-packing` replays every reply, and the task's moves lead somewhere."""

from typing import Any

import pytest

from protocol.ideas import Move
from tests.tasks.baselines import candidate, hyperparameters_of, moved, moves_of, transcript_of
from tests.tasks.judges import load_judge
from trainer.program.harness.judging import Wrong

TASK = "bin-packing"
SEEDS = tuple(bytes([number]) * 32 for number in range(1, 7))


def played(instance: Any, *moves: Move) -> list[list[Any]]:
    """Return the transcript of the judge with the baseline after some moves."""
    return transcript_of(load_judge(TASK).converse(instance), candidate(TASK, *moves).place)


def excess(seed: bytes, *moves: Move) -> float:
    judge = load_judge(TASK)
    instance = judge.instance(seed, "public", 0)
    share: float = judge.check(instance, played(instance, *moves))["excess"]
    return share


def test_instances_follow_from_their_seeds() -> None:
    judge = load_judge(TASK)
    first = judge.instance(SEEDS[0], "public", 0)
    assert first == judge.instance(SEEDS[0], "public", 0)
    assert first["items"] != judge.instance(SEEDS[1], "public", 0)["items"]
    assert len(first["items"]) == 1_000
    assert all(type(size) is int and 1 <= size <= 100 for size in first["items"])


def test_a_message_reports_one_item_and_how_many_follow() -> None:
    judge = load_judge(TASK)
    instance = judge.instance(SEEDS[0], "public", 0)
    messages = list(judge.converse(instance))
    assert messages[0] == {"item": instance["items"][0], "capacity": 100, "to_come": 999}
    assert messages[-1] == {"item": instance["items"][-1], "capacity": 100, "to_come": 0}


def test_baseline_is_best_fit() -> None:
    judge = load_judge(TASK)
    instance = judge.instance(SEEDS[0], "public", 0)
    gaps: list[int] = []
    for item in instance["items"]:
        fitting = [number for number, gap in enumerate(gaps) if gap >= item]
        if fitting:
            gaps[min(fitting, key=gaps.__getitem__)] -= item
        else:
            gaps.append(100 - item)
    figures = judge.check(instance, played(instance))
    assert figures["bins"] == len(gaps)
    assert figures["excess"] == len(gaps) / -(-sum(instance["items"]) // 100) - 1
    assert 0.03 < figures["excess"] < 0.07


def test_every_hyperparameter_is_a_constant() -> None:
    assert hyperparameters_of(TASK)


@pytest.mark.parametrize("number", range(5))
def test_each_move_alone_places_every_item(number: int) -> None:
    move = moves_of(TASK)[number]
    assert 0 <= excess(SEEDS[0], move) < 0.07


def test_all_moves_fit_in_either_order_and_halve_the_excess() -> None:
    before = sum(excess(seed) for seed in SEEDS)
    for listed in (moves_of(TASK), moves_of(TASK)[::-1]):
        for count in range(1, len(listed) + 1):
            assert moved(TASK, *listed[:count]) != moved(TASK, *listed[: count - 1])
        assert sum(excess(seed, *listed) for seed in SEEDS) < 0.6 * before


@pytest.mark.parametrize(
    "reply", [True, False, None, 1.0, -1.0, float("nan"), "0", [0], {}, -2, 10**30, -(10**30), 5]
)
def test_a_reply_that_is_no_open_bin_is_wrong(reply: object) -> None:
    judge = load_judge(TASK)
    instance = {"capacity": 100, "items": [30, 30, 30]}
    messages = list(judge.converse(instance))
    transcript = [[messages[0], -1], [messages[1], reply], [messages[2], -1]]
    with pytest.raises(Wrong, match="item 2"):
        judge.check(instance, transcript)


def test_an_item_that_does_not_fit_is_wrong() -> None:
    judge = load_judge(TASK)
    instance = {"capacity": 100, "items": [60, 41]}
    first, second = judge.converse(instance)
    with pytest.raises(Wrong, match="does not fit"):
        judge.check(instance, [[first, -1], [second, 0]])
    assert judge.check(instance, [[first, -1], [second, -1]]) == {"excess": 0.0, "bins": 2}


def test_a_bin_that_is_exactly_full_holds() -> None:
    judge = load_judge(TASK)
    instance = {"capacity": 100, "items": [60, 40]}
    first, second = judge.converse(instance)
    assert judge.check(instance, [[first, -1], [second, 0]]) == {"excess": 0.0, "bins": 1}


@pytest.mark.parametrize(
    "transcript", [None, [], {}, "all", 3, [[]] * 2, [None] * 2, [["", -1]] * 2]
)
def test_what_is_no_transcript_is_wrong(transcript: object) -> None:
    judge = load_judge(TASK)
    with pytest.raises(Wrong):
        judge.check({"capacity": 100, "items": [60, 40]}, transcript)


def test_a_transcript_that_ends_early_or_reports_other_items_is_wrong() -> None:
    judge = load_judge(TASK)
    instance = judge.instance(SEEDS[0], "public", 0)
    transcript = played(instance)
    with pytest.raises(Wrong, match="not all"):
        judge.check(instance, transcript[:-1])
    lied = [[{**transcript[0][0], "item": 1}, -1], *transcript[1:]]
    with pytest.raises(Wrong, match="another item"):
        judge.check(instance, lied)
