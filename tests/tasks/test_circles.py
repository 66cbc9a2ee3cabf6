"""The judges of `circles-26` and `circles` believe no radius, and their moves lead somewhere."""

import json
import math
from fractions import Fraction
from typing import Any

import pytest

from tests.tasks.baselines import candidate, hyperparameters_of, moved, moves_of
from tests.tasks.judges import load_judge
from trainer.program.harness.judging import Wrong

TASKS = ("circles-26", "circles")
SEED = bytes(range(32))


def packed(task: str, n: int) -> Any:
    return candidate(task).pack({"n": n})


def verdict(answer: object) -> dict[str, float]:
    figures: dict[str, float] = load_judge("circles-26").check({"n": 26}, answer)
    return figures


def test_baseline_of_26_is_a_plain_grid() -> None:
    judge = load_judge("circles-26")
    instance = judge.instance(SEED, "n=26", 0)
    figures = judge.check(instance, packed("circles-26", instance["n"]))
    assert figures == {"sum_of_radii": pytest.approx(26 / 12)}


@pytest.mark.parametrize("n", range(5, 41))
def test_baseline_packs_any_number(n: int) -> None:
    figures = load_judge("circles").check({"n": n}, packed("circles", n))
    assert 0.7 < figures["share_of_best"] <= 1


def test_instances_cover_small_and_large_numbers_and_follow_from_their_seeds() -> None:
    judge = load_judge("circles")
    drawn = [judge.instance(SEED, "public", index)["n"] for index in range(12)]
    assert drawn == [judge.instance(SEED, "secret", index)["n"] for index in range(12)]
    assert [(n - 5) // 3 for n in drawn] == list(range(12))


def test_best_known_sums_fit_into_the_square() -> None:
    for n, total in load_judge("circles").BEST_KNOWN.items():
        assert n / math.ceil(math.sqrt(n)) / 2 <= total < math.sqrt(n / math.pi)


@pytest.mark.parametrize("task", TASKS)
def test_every_hyperparameter_is_a_constant(task: str) -> None:
    assert hyperparameters_of(task)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("number", range(6))
def test_each_move_alone_packs_circles_that_hold(task: str, number: int) -> None:
    move = moves_of(task)[number]
    answer = candidate(task, move).pack({"n": 26})
    assert load_judge(task).check({"n": 26}, json.loads(json.dumps(answer)))


@pytest.mark.parametrize("task", TASKS)
def test_all_moves_fit_in_either_order_and_gain_much(task: str) -> None:
    for listed in (moves_of(task), moves_of(task)[::-1]):
        for count in range(1, len(listed) + 1):
            assert moved(task, *listed[:count]) != moved(task, *listed[: count - 1])
        answer = candidate(task, *listed).pack({"n": 12})
        figures = load_judge("circles").check({"n": 12}, answer)
        assert figures["share_of_best"] > 0.98


def test_same_program_gives_the_same_circles_again() -> None:
    moves = {move.name: move for move in moves_of("circles-26")}
    listed = (moves["polish"], moves["hop"])
    first, second = (candidate("circles-26", *listed).pack({"n": 12}) for _ in range(2))
    assert first == second


def test_an_overlap_by_rounding_is_shrunk_away_exactly() -> None:
    judge = load_judge("circles-26")
    circles = [[1 / 8, 1 / 2, 1 / 8], [3 / 8, 1 / 2, math.nextafter(1 / 8, 1)]]
    exact = judge.read_circles(circles, 2)
    share = judge.share_that_holds(exact)
    assert share < 1
    (x, _, radius), (other_x, _, other_radius) = exact
    assert share * (radius + other_radius) <= other_x - x
    assert 1 - share < Fraction(1, 10**15)
    assert judge.share_that_holds([(x, y, share * r) for x, y, r in exact]) == 1


def test_slanted_neighbours_are_shrunk_below_an_irrational_distance() -> None:
    judge = load_judge("circles-26")
    radius = math.sqrt(2) / 8 * (1 + 1e-9)
    exact = judge.read_circles([[0.25, 0.25, radius], [0.5, 0.5, radius]], 2)
    share = judge.share_that_holds(exact)
    assert (2 * share * Fraction(radius)) ** 2 <= Fraction(1, 8)
    assert float(2 * share * Fraction(radius)) == pytest.approx(math.sqrt(1 / 8), rel=1e-15)


def test_touching_circles_keep_their_radii() -> None:
    judge = load_judge("circles-26")
    exact = judge.read_circles([[0.25, 0.25, 0.25], [0.75, 0.25, 0.25]], 2)
    assert judge.share_that_holds(exact) == 1


def test_a_claim_a_hair_larger_scores_no_more() -> None:
    honest = packed("circles-26", 26)
    claimed = [[x, y, radius * (1 + 1e-9)] for x, y, radius in honest]
    assert verdict(claimed)["sum_of_radii"] <= verdict(honest)["sum_of_radii"] + 1e-15


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, -0.1, True, False, "0.1", None, 10**400, -1, [0.1], {}, 1.5],
)
@pytest.mark.parametrize("place", range(3))
def test_what_is_no_number_of_the_square_is_wrong(value: object, place: int) -> None:
    answer = packed("circles-26", 26)
    answer[7][place] = value
    with pytest.raises(Wrong):
        verdict(answer)


@pytest.mark.parametrize(
    "answer", [None, {}, "circles", 26, [], [[]] * 26, [0.1] * 26, [None] * 26]
)
def test_what_is_no_list_of_circles_is_wrong(answer: object) -> None:
    with pytest.raises(Wrong):
        verdict(answer)


def test_another_number_of_circles_or_of_values_is_wrong() -> None:
    answer = packed("circles-26", 26)
    for other in (answer[:-1], [*answer, [0.5, 0.5, 1e-9]], [[*row, 0.0] for row in answer]):
        with pytest.raises(Wrong):
            verdict(other)


def test_radii_of_nothing_or_less_are_wrong() -> None:
    for radius in (0, 0.0, -0.0, -1e-12):
        answer = packed("circles-26", 26)
        answer[3][2] = radius
        with pytest.raises(Wrong):
            verdict(answer)


def test_radii_that_overlap_are_wrong() -> None:
    honest = packed("circles-26", 26)
    with pytest.raises(Wrong, match=r"overlap.* shrink by 1\.0e-03 .* 1e-06 is tolerated"):
        verdict([[x, y, 1.001 * radius] for x, y, radius in honest])
    with pytest.raises(Wrong, match="overlap"):
        verdict([[0.5, 0.5, 0.5]] * 26)
    with pytest.raises(Wrong, match="leave the square"):
        verdict([[0, y, radius] for _, y, radius in honest])


def test_the_smallest_numbers_there_are_are_checked_in_time() -> None:
    answer = packed("circles-26", 26)
    answer[0] = [5e-324, 5e-324, 5e-324]
    assert verdict(answer)["sum_of_radii"] > 2
