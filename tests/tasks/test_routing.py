"""The task `routing`: every customer once, no vehicle too full, lengths exact, a reference that is
the same for everybody."""

import copy
import math
from types import ModuleType
from typing import Any

import pytest

from tests.tasks.baselines import OTHER_SEED, SEED, candidate, hyperparameters_of, moved, moves_of
from tests.tasks.judges import load_judge

NAME = "routing"
SEARCH_S = 0.05  # instead of a second


@pytest.fixture
def judge() -> ModuleType:
    """A judge whose reference is a short search."""
    judge = load_judge(NAME)
    judge.SEARCHES, judge.STEPS = 1, 100
    return judge


def routes(instance: Any, *moves: Any) -> Any:
    planner = candidate(NAME, *moves)
    planner.SECONDS = SEARCH_S
    return planner.solve(copy.deepcopy(instance))


def gap(judge: ModuleType, instance: Any, answer: Any) -> float:
    return float(judge.check(instance, answer)["gap"])


def test_the_baseline_is_valid_and_far_behind(judge: ModuleType) -> None:
    judge.STEPS = 1_000
    for index in range(2):
        instance = judge.instance(SEED, "public", index)
        assert 0.1 < gap(judge, instance, routes(instance)) < 1


def test_the_same_seed_gives_the_same_customers(judge: ModuleType) -> None:
    instance = judge.instance(SEED, "public", 1)
    assert instance == judge.instance(SEED, "secret", 1)
    assert instance != judge.instance(OTHER_SEED, "public", 1)


def test_every_run_covers_all_sizes(judge: ModuleType) -> None:
    sizes = {len(judge.instance(SEED, "public", index)["demands"]) - 1 for index in range(8)}
    assert sizes == set(range(40, 64, 3))


def test_every_customer_fits_into_a_vehicle_and_lies_in_the_square(judge: ModuleType) -> None:
    for index in range(20):
        instance = judge.instance(bytes([index]) * 32, "public", index)
        assert max(instance["demands"]) <= instance["capacity"]
        assert all(0 <= along < judge.SIDE for place in instance["places"] for along in place)


def test_the_reference_is_the_same_twice_and_better_for_longer(judge: ModuleType) -> None:
    instance = judge.instance(SEED, "public", 3)
    distances = judge.distances_of(instance["places"])

    def reference() -> int:
        return int(judge.reference_length(distances, instance["demands"], instance["capacity"]))

    short = reference()
    assert reference() == short
    judge.STEPS = 1_500
    assert reference() < short


def test_the_reference_is_the_length_of_valid_routes(
    judge: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every set of routes that its search looks at would be accepted as an answer."""
    instance = judge.instance(SEED, "public", 0)
    put_back, seen = judge.put_back, 0

    def looked_at(routes: Any, *others: Any) -> None:
        nonlocal seen
        put_back(routes, *others)
        judge.routes_of(instance, {"routes": routes})
        seen += 1

    monkeypatch.setattr(judge, "put_back", looked_at)
    gap(judge, instance, routes(instance))
    assert seen == judge.STEPS


def test_a_length_is_exact(judge: ModuleType) -> None:
    square = {"places": [[0, 0], [0, 300], [400, 300], [400, 0]], "demands": [0, 1, 1, 1]}
    found = judge.check(square | {"capacity": 3}, {"routes": [[1, 2, 3], []]})
    assert found == {"gap": 0, "length": 1_400 / judge.SIDE, "vehicles": 1}
    found = judge.check(square | {"capacity": 3}, {"routes": [[1], [2], [3]]})
    assert found["gap"] == (600 + 1_000 + 800 - 1_400) / 1_400


def with_first(answer: Any, customer: object) -> Any:
    changed = copy.deepcopy(answer)
    changed["routes"][0][0] = customer
    return changed


def test_a_hostile_answer_is_wrong(judge: ModuleType) -> None:
    instance = judge.instance(SEED, "public", 0)
    good = routes(instance)
    everybody = [customer for route in good["routes"] for customer in route]
    hostile = [
        None,
        [],
        "routes",
        0,
        good["routes"],
        {},
        {"routes": None},
        {"routes": []},
        {"routes": {}},
        {"routes": "12"},
        {"routes": [[]]},
        {"routes": [everybody]},  # too much for one vehicle
        {"routes": good["routes"][:-1]},
        {"routes": good["routes"] * 2},
        {"routes": [*good["routes"], None]},
        {"routes": [*good["routes"], "1"]},
        {"routes": [*good["routes"], [[1]]]},
        {"routes": [*good["routes"], *([[]] * 50)]},
        {"routes": [*good["routes"], [0]]},
        {"routes": [*good["routes"], [everybody[0]]]},
        good | {"gap": -1},
        good | {"length": 0},
    ]
    values = (0, -1, True, False, 1.0, 10**400, 41, 1e308, math.nan, math.inf, "1", None, [], {})
    hostile += [with_first(good, value) for value in values]
    hostile.append(with_first(good, float(good["routes"][0][0])))
    for answer in hostile:
        with pytest.raises(judge.Wrong, match=r"[a-z]"):
            judge.check(instance, answer)


def test_another_instance_s_answer_is_wrong(judge: ModuleType) -> None:
    small, large = (judge.instance(SEED, "public", index) for index in (0, 1))
    with pytest.raises(judge.Wrong):
        judge.check(large, routes(small))


@pytest.mark.parametrize("move", moves_of(NAME), ids=lambda move: move.name)
def test_every_move_is_valid_and_shortens_the_baseline_s_routes(
    judge: ModuleType, move: Any
) -> None:
    instance = judge.instance(SEED, "public", 2)
    assert gap(judge, instance, routes(instance, move)) < gap(judge, instance, routes(instance))


@pytest.mark.parametrize("order", [1, -1])
def test_all_moves_follow_one_another(judge: ModuleType, order: int) -> None:
    moves = moves_of(NAME)[::order]
    changed = candidate(NAME, *moves)
    for name in ("turned", "relocate", "swap", "exchange_ends", "anneal", "ruin_and_recreate"):
        assert hasattr(changed, name)
    instance = judge.instance(SEED, "public", 2)
    assert gap(judge, instance, routes(instance, *moves)) < 0.2


def test_every_hyperparameter_is_a_constant_that_a_move_brings() -> None:
    everything = moved(NAME, *moves_of(NAME))
    assert all(f"\n{name} = " in everything for name in hyperparameters_of(NAME))
