"""The task `search`: relevance is withheld and judged exactly, and rankings are checked."""

from types import ModuleType
from typing import Any

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

NAME = "search"
QUERIES = 12


@pytest.fixture
def judge() -> ModuleType:
    """A judge of smaller corpora."""
    judge = load_judge(NAME)
    judge.DOCUMENTS, judge.QUERIES = 120, QUERIES
    return judge


def score(judge: ModuleType, instance: Any, rank: Any) -> float:
    transcript = transcript_of(judge.converse(instance), rank)
    return float(judge.check(instance, transcript)["ndcg_at_10"])


def test_the_baseline_is_valid_and_leaves_room(judge: ModuleType) -> None:
    assert 0.02 < score(judge, judge.instance(SEED, "public", 0), candidate(NAME).rank) < 0.5


def test_the_same_seed_gives_the_same_corpus(judge: ModuleType) -> None:
    corpus = judge.instance(SEED, "public", 0)
    assert corpus == judge.instance(SEED, "secret", 7)
    assert corpus != judge.instance(OTHER_SEED, "public", 0)


def test_relevance_is_not_shown(judge: ModuleType) -> None:
    instance = judge.instance(SEED, "public", 0)
    assert set(next(judge.converse(instance))) == {"documents", "queries"}


def test_the_truth_scores_one_and_its_opposite_less(judge: ModuleType) -> None:
    instance = judge.instance(SEED, "public", 0)
    best = [
        sorted(range(len(grades)), key=lambda each: -grades[each])
        for grades in instance["relevance"]
    ]
    assert score(judge, instance, lambda corpus: best) == 1
    assert score(judge, instance, lambda corpus: [ranking[:10] for ranking in best]) == 1
    assert score(judge, instance, lambda corpus: [ranking[::-1] for ranking in best]) == 0
    assert score(judge, instance, lambda corpus: [[] for _ in best]) == 0


def test_every_query_has_a_document_about_both_of_its_concepts(judge: ModuleType) -> None:
    instance = judge.instance(SEED, "public", 0)
    assert all(max(grades) == judge.BOTH for grades in instance["relevance"])


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "ranking",
        {},
        [],
        [[0]] * (QUERIES - 1),
        [[0]] * (QUERIES + 1),
        [None] * QUERIES,
        ["01"] * QUERIES,
        [{0: 1}] * QUERIES,
        [[True]] * QUERIES,
        [[1.0]] * QUERIES,
        [["1"]] * QUERIES,
        [[[1]]] * QUERIES,
        [[-1]] * QUERIES,
        [[120]] * QUERIES,
        [[10**40]] * QUERIES,
        [[3, 3]] * QUERIES,
        [list(range(120)) * 9] * QUERIES,
    ],
)
def test_a_hostile_answer_is_wrong(judge: ModuleType, answer: Any) -> None:
    instance = judge.instance(SEED, "public", 0)
    with pytest.raises(judge.Wrong):
        score(judge, instance, lambda corpus: answer)


def test_a_transcript_that_is_not_what_was_said_is_wrong(judge: ModuleType) -> None:
    instance = judge.instance(SEED, "public", 0)
    said = transcript_of(judge.converse(instance), candidate(NAME).rank)
    other = judge.instance(OTHER_SEED, "public", 0)
    for transcript in (None, [], said * 2, [said[0][:1]], [[{}, said[0][1]]]):
        with pytest.raises(judge.Wrong):
            judge.check(instance, transcript)
    with pytest.raises(judge.Wrong):
        judge.check(other, said)


@pytest.mark.parametrize("move", moves_of(NAME), ids=lambda move: move.name)
def test_every_move_is_valid(judge: ModuleType, move: Any) -> None:
    assert 0 < score(judge, judge.instance(SEED, "public", 0), candidate(NAME, move).rank) < 1


@pytest.mark.parametrize("step", [1, -1])
def test_all_moves_together_find_far_more(judge: ModuleType, step: int) -> None:
    instance = judge.instance(SEED, "public", 0)
    together = candidate(NAME, *moves_of(NAME)[::step])
    before = score(judge, instance, candidate(NAME).rank)
    assert score(judge, instance, together.rank) > 2 * before


def test_hyperparameters_are_constants_of_the_baseline_or_of_moves() -> None:
    assert {"K1", "B", "FEEDBACK_WORDS", "MENTIONS"} <= set(hyperparameters_of(NAME))
