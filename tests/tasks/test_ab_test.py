"""The task `ab-test`: luck is fixed, replies are checked, and policies learn from what is shown."""

import copy
from types import ModuleType
from typing import Any

import pytest

from tests.tasks.baselines import (
    OTHER_SEED,
    SEED,
    candidate,
    hyperparameters_of,
    moved,
    moves_of,
    transcript_of,
)
from tests.tasks.judges import load_judge

NAME = "ab-test"
ROUNDS = 12


@pytest.fixture
def judge() -> ModuleType:
    """A judge whose pages are seen by fewer visitors."""
    judge = load_judge(NAME)
    judge.ROUNDS = ROUNDS
    return judge


def regret(judge: ModuleType, instance: Any, choose: Any) -> float:
    def answer(message: Any) -> Any:
        return choose(copy.deepcopy(message))

    transcript = transcript_of(judge.converse(instance), answer)
    return float(judge.check(instance, transcript)["regret"])


def test_the_baseline_is_valid_and_loses_something(judge: ModuleType) -> None:
    instance = judge.instance(SEED, "public", 0)
    assert 0 < regret(judge, instance, candidate(NAME).choose) < 0.4


def test_the_same_seed_gives_the_same_page(judge: ModuleType) -> None:
    page = judge.instance(SEED, "public", 1)
    assert page == judge.instance(SEED, "secret", 1)
    assert page != judge.instance(OTHER_SEED, "public", 1)


def test_a_player_that_knows_the_best_variant_loses_nothing(judge: ModuleType) -> None:
    instance = judge.instance(SEED, "public", 0)
    best = instance["rates"].index(max(instance["rates"]))
    assert regret(judge, instance, lambda message: [best] * message["visitors"]) == 0


def test_the_nth_visitor_of_a_variant_is_the_same_for_every_policy(judge: ModuleType) -> None:
    instance = judge.instance(SEED, "public", 0)
    turns = transcript_of(judge.converse(instance), lambda message: [0, 1] * 10)
    halves = transcript_of(judge.converse(instance), lambda message: [0] * 10 + [1] * 10)
    assert turns[-1][0]["converted"] == halves[-1][0]["converted"]


def test_a_page_converts_as_its_rates_say() -> None:
    page = load_judge(NAME).instance(SEED, "public", 3)
    for rate, luck in zip(page["rates"], page["luck"], strict=True):
        assert abs(luck.count("1") / len(luck) - rate / 10_000) < 0.03


@pytest.mark.parametrize(
    "reply",
    [
        None,
        "0" * 20,
        0,
        [],
        [0] * 19,
        [0] * 21,
        [True] * 20,
        [0.0] * 20,
        [-1] * 20,
        [10**40] * 20,
        [4] * 20,
        ["0"] * 20,
        [[0]] * 20,
        [None] * 20,
        {"0": 0},
        dict.fromkeys(range(20), 0),
    ],
)
def test_a_hostile_reply_is_wrong_at_once_and_when_it_is_checked(
    judge: ModuleType, reply: Any
) -> None:
    instance = judge.instance(SEED, "public", 0)
    transcript = transcript_of(judge.converse(instance), lambda message: [0] * 20)
    transcript[-1][1] = reply
    with pytest.raises(judge.Wrong):
        judge.check(instance, transcript)
    conversation = judge.converse(instance)
    next(conversation)
    with pytest.raises(judge.Wrong):
        conversation.send(reply)


def test_a_transcript_that_is_not_what_was_said_is_wrong(judge: ModuleType) -> None:
    instance = judge.instance(SEED, "public", 0)
    said = transcript_of(judge.converse(instance), lambda message: [0] * 20)
    altered = copy.deepcopy(said)
    altered[5][0]["converted"][0] += 1
    for transcript in (None, [], said[:-1], [*said, said[-1]], altered, [said[0]] * ROUNDS):
        with pytest.raises(judge.Wrong):
            judge.check(instance, transcript)


@pytest.mark.parametrize("move", moves_of(NAME), ids=lambda move: move.name)
def test_every_move_is_valid(judge: ModuleType, move: Any) -> None:
    instance = judge.instance(SEED, "public", 2)
    assert 0 <= regret(judge, instance, candidate(NAME, move).choose) < 0.5


@pytest.mark.parametrize("step", [1, -1])
def test_all_moves_follow_one_another(judge: ModuleType, step: int) -> None:
    moves = moves_of(NAME)[::step]
    instance = judge.instance(SEED, "public", 2)
    assert 0 <= regret(judge, instance, candidate(NAME, *moves).choose) < 0.5


def test_a_confident_index_beats_an_even_start() -> None:
    judge = load_judge(NAME)
    spread = next(move for move in moves_of(NAME) if move.name == "spread")
    before = after = 0.0
    for number in range(3):
        instance = judge.instance(bytes([number] * 32), "public", number)
        before += regret(judge, instance, candidate(NAME).choose)
        after += regret(judge, instance, candidate(NAME, spread).choose)
    assert after < 0.8 * before


def test_hyperparameters_are_constants_of_the_baseline_or_of_moves() -> None:
    everything = "".join(moved(NAME, move) for move in moves_of(NAME))
    assert all(f"{name} = " in everything for name in hyperparameters_of(NAME))
