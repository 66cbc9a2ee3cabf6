"""The task `digits`: hidden labels are withheld, answers are arrays of labels and nothing else."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.tasks.baselines import (
    OTHER_SEED,
    SEED,
    candidate,
    hyperparameters_of,
    moves_of,
    transcript_of,
)
from tests.tasks.judges import load_judge

NAME = "digits"
HIDDEN = 100


@pytest.fixture
def judge() -> ModuleType:
    """A judge whose hands write less."""
    judge = load_judge(NAME)
    judge.LABELLED, judge.HIDDEN = 80, HIDDEN
    return judge


def score(judge: ModuleType, instance: Any, label: Any) -> float:
    transcript = transcript_of(judge.converse(instance), label)
    return float(judge.check(instance, transcript)["accuracy"])


def test_the_baseline_is_valid_and_leaves_room() -> None:
    judge = load_judge(NAME)
    assert 0.6 < score(judge, judge.instance(SEED, "public", 0), candidate(NAME).label) < 0.9


def test_the_same_seed_gives_the_same_images(judge: ModuleType) -> None:
    first, again, other = (
        judge.instance(SEED, "public", 0),
        judge.instance(SEED, "secret", 3),
        judge.instance(OTHER_SEED, "public", 0),
    )
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["hidden"], other["hidden"])


def test_images_are_bytes_and_labels_even_and_hidden_ones_withheld(judge: ModuleType) -> None:
    instance = judge.instance(SEED, "public", 0)
    assert {array.dtype for array in instance.values()} == {np.dtype(np.uint8)}
    assert instance["hidden"].shape == (HIDDEN, 12, 12)
    assert np.bincount(instance["answers"]).tolist() == [HIDDEN // 10] * 10
    assert set(next(judge.converse(instance))) == {"images", "labels", "hidden"}


def test_the_truth_scores_one_in_any_width_of_whole_numbers(judge: ModuleType) -> None:
    instance = judge.instance(SEED, "public", 0)
    for kind in (np.uint8, np.int8, np.int64, np.uint64):
        assert score(judge, instance, lambda data, kind=kind: instance["answers"].astype(kind)) == 1
    assert score(judge, instance, lambda data: (instance["answers"] + 1) % 10) == 0


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "0" * HIDDEN,
        [0] * HIDDEN,
        {},
        0,
        np.int64(3),
        np.zeros(HIDDEN),
        np.full(HIDDEN, np.nan),
        np.zeros(HIDDEN, dtype=bool),
        np.zeros(HIDDEN, dtype=complex),
        np.zeros(HIDDEN, dtype="U1"),
        np.zeros(HIDDEN, dtype="S1"),
        np.zeros(HIDDEN, dtype=object),
        np.zeros(HIDDEN, dtype="datetime64[s]"),
        np.zeros((), dtype=int),
        np.zeros((HIDDEN, 1), dtype=int),
        np.zeros((1, HIDDEN), dtype=int),
        np.zeros(HIDDEN - 1, dtype=int),
        np.zeros(HIDDEN + 1, dtype=int),
        np.zeros(0, dtype=int),
        np.full(HIDDEN, -1),
        np.full(HIDDEN, 10),
        np.full(HIDDEN, 2**64 - 1, dtype=np.uint64),
        np.ma.masked_all(HIDDEN, dtype=int),
    ],
)
def test_a_hostile_answer_is_wrong(judge: ModuleType, answer: Any) -> None:
    instance = judge.instance(SEED, "public", 0)
    with pytest.raises(judge.Wrong):
        score(judge, instance, lambda data: answer)


def test_a_transcript_that_is_not_what_was_said_is_wrong(judge: ModuleType) -> None:
    instance = judge.instance(SEED, "public", 0)
    said = [[next(judge.converse(instance)), instance["answers"]]]
    altered = [[said[0][0] | {"hidden": said[0][0]["hidden"] ^ 1}, said[0][1]]]
    for transcript in (None, [], said * 2, [said[0][:1]], [[{}, said[0][1]]], altered):
        with pytest.raises(judge.Wrong):
            judge.check(instance, transcript)


@pytest.mark.parametrize("move", moves_of(NAME), ids=lambda move: move.name)
def test_every_move_is_valid(judge: ModuleType, move: Any) -> None:
    instance = judge.instance(SEED, "public", 0)
    assert 0.3 < score(judge, instance, candidate(NAME, move).label) <= 1


@pytest.mark.parametrize("step", [1, -1])
def test_all_moves_follow_one_another(judge: ModuleType, step: int) -> None:
    instance = judge.instance(SEED, "public", 0)
    together = candidate(NAME, *moves_of(NAME)[::step])
    together.EPOCHS, together.MEMBERS = 8, 2
    assert 0.4 < score(judge, instance, together.label) <= 1


def test_a_seed_of_its_own_makes_a_candidate_repeat_itself(
    judge: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARNODE_SEED", "7")
    data = next(judge.converse(judge.instance(SEED, "public", 0)))
    assert np.array_equal(candidate(NAME).label(data), candidate(NAME).label(data))


def test_hyperparameters_are_constants_of_the_baseline_or_of_moves() -> None:
    assert {"EPOCHS", "FALL", "WIDTH", "NEIGHBOURS"} <= set(hyperparameters_of(NAME))
