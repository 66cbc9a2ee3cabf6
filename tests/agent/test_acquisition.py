"""Changes that a surrogate model suggests lead to the best point of a noisy surface."""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from agent.hyperparameters.acquisition import (
    Acceptance,
    difference_of,
    differences_of_others,
    expected_gain,
    promising,
    reach_of,
)
from agent.hyperparameters.changes import Change, edits_of, trials
from agent.hyperparameters.positions import Cube
from agent.proposal import Decision, Outcome, PeerTrial
from agent.source.edits import reapply
from agent.source.literals import Scalar, find_hyperparameters, hyperparameter_values
from protocol.ideas import HyperparameterSpec
from protocol.source import Source

SPECS = (
    HyperparameterSpec(name="RATE", type="float", low=1e-4, high=1.0, scale="log"),
    HyperparameterSpec(name="DECAY", type="float", low=0.0, high=1.0),
    HyperparameterSpec(name="WIDTH", type="choice", choices=(32, 64, 128, 512)),
    HyperparameterSpec(name="PATTERN", type="choice", choices=("SL", "L", "S")),
)
START = Source.of({"t.py": b'RATE = 0.01\nDECAY = 0.5\nWIDTH = 64\nPATTERN = "SL"\nIDLE = 0.5\n'})
Metric = Callable[[Mapping[str, Scalar]], float | None]


def outcome(
    source: Source, changes: tuple[Change, ...], decision: Decision, gain_sd: float | None
) -> Outcome:
    edits = edits_of(source, changes)
    after = reapply(edits, source)
    assert after is not None
    return Outcome(
        key="hyperparameters:" + "+".join(one.hyperparameter.name for one in changes),
        decision=decision,
        gain_sd=gain_sd,
        edits=edits,
        values=hyperparameter_values(after, ("t.py",), SPECS),
    )


def searched(metric: Metric, runs: int, seed: int = 1) -> tuple[Source, list[Outcome]]:
    """Let the model alone search, and keep gains above one deviation. The first tries are fixed."""
    chance = random.Random(seed)
    source, history = START, list[Outcome]()
    for _ in range(runs):
        hyperparameters = find_hyperparameters(source, ("t.py",), SPECS)
        values = {hyperparameter.name: hyperparameter.value for hyperparameter in hyperparameters}
        found = promising(
            hyperparameters,
            [1.0] * len(hyperparameters),
            tuple(trials(history, SPECS))[:60],
            chance,
        )
        if found:
            changes = found[0]
        else:
            hyperparameter = hyperparameters[len(history) % 3]
            value: Scalar = {"RATE": 0.03, "DECAY": 0.6, "WIDTH": 128}[hyperparameter.name]
            changes = (Change(hyperparameter, value),)
        after = {**values, **{one.hyperparameter.name: one.value for one in changes}}
        before, now = metric(values), metric(after)
        assert before is not None
        gain_sd = None if now is None else before - now + chance.gauss(0, 1)
        is_kept = gain_sd is not None and gain_sd > 1
        decision: Decision = "kept" if is_kept else "failed" if now is None else "screened_out"
        history.append(outcome(source, changes, decision, gain_sd))
        if is_kept:
            moved = reapply(history[-1].edits, source)
            assert moved is not None
            source = moved
    return source, history


def surface(values: Mapping[str, Scalar]) -> float | None:
    """Return a loss with its best, 40 deviations lower, at RATE 0.1, DECAY 0.1, WIDTH 512, L."""
    rate, decay, width = (float(values[name]) for name in ("RATE", "DECAY", "WIDTH"))
    if rate > 0.5:
        return None
    from math import log10

    bowl = 12 * (log10(rate) + 1) ** 2 + 60 * (decay - 0.1) ** 2
    return bowl + {32: 20, 64: 15, 128: 8, 512: 0}[int(width)] + 5 * (values["PATTERN"] != "L")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_comes_close_to_the_best_in_few_runs_although_some_fail(seed: int) -> None:
    found, history = searched(surface, 30, seed)
    before = surface(dict(hyperparameter_values(START, ("t.py",), SPECS)))
    after = surface(dict(hyperparameter_values(found, ("t.py",), SPECS)))
    assert before is not None
    assert after is not None
    assert before - after > 0.75 * before
    assert any(len(one.edits) > 1 for one in history)
    assert all(len(one.edits) <= 4 for one in history)


def test_nothing_is_said_while_little_is_known() -> None:
    hyperparameters = find_hyperparameters(START, ("t.py",), SPECS)
    history = [outcome(START, (Change(hyperparameters[0], 0.02),), "screened_out", 0.0)] * 3
    few = tuple(trials(history, SPECS))
    assert promising(hyperparameters, [1.0] * 5, few, random.Random(1)) == []
    enough = (*few, few[0])
    first = promising(hyperparameters, [1.0] * 5, enough, random.Random(1))
    assert first
    assert first == promising(hyperparameters, [1.0] * 5, enough, random.Random(1))
    assert first != promising(hyperparameters, [1.0] * 5, enough, random.Random(2))


def test_every_set_of_changes_is_another_and_changes_something() -> None:
    _, history = searched(surface, 8)
    hyperparameters = find_hyperparameters(START, ("t.py",), SPECS)
    found = promising(hyperparameters, [1.0] * 5, tuple(trials(history, SPECS)), random.Random(1))
    assert all(changes and not any(one.does_nothing for one in changes) for changes in found)
    assert len({tuple(map(str, changes)) for changes in found}) == len(found) > 100


def test_hyperparameters_of_little_weight_are_looked_at_less() -> None:
    _, history = searched(surface, 8)
    hyperparameters = find_hyperparameters(START, ("t.py",), SPECS)
    known = tuple(trials(history, SPECS))

    def share(weight: float) -> float:
        found = promising(hyperparameters, [1.0, 1.0, 1.0, 1.0, weight], known, random.Random(1))
        return sum(
            any(one.hyperparameter.name == "IDLE" for one in changes) for changes in found
        ) / len(found)

    assert share(0.1) < 0.6 * share(1.0)


def test_what_was_refused_is_asked_for_less_and_what_goes_beyond_it() -> None:
    _, history = searched(surface, 8)
    hyperparameters = find_hyperparameters(START, ("t.py",), SPECS)
    (rate,) = [
        hyperparameter for hyperparameter in hyperparameters if hyperparameter.name == "RATE"
    ]
    wrong = outcome(START, (Change(rate, 0.03),), "rejected", None)

    def best_beyond(refused: int) -> int:
        """Return the index of the first proposal with at least that RATE."""
        known = tuple(trials([*history, *[wrong] * refused], SPECS))
        found = promising(hyperparameters, [1.0] * 5, known, random.Random(1))
        values = [{one.hyperparameter.name: one.value for one in changes} for changes in found]
        return next(at for at, one in enumerate(values) if float(one.get("RATE", 0.0)) >= 0.03)

    assert best_beyond(0) < best_beyond(3) < best_beyond(12)


def test_what_was_taken_farther_away_speaks_for_what_is_nearer() -> None:
    hyperparameters = find_hyperparameters(START, ("t.py",), SPECS)
    (rate,) = [
        hyperparameter for hyperparameter in hyperparameters if hyperparameter.name == "RATE"
    ]
    wrong = outcome(START, (Change(rate, 0.03),), "rejected", None)
    fine = outcome(START, (Change(rate, 0.1),), "screened_out", -1.0)
    back = outcome(START, (Change(rate, 0.001),), "screened_out", -1.0)

    def likely(*history: Outcome, at: float = 0.05) -> float:
        return Acceptance(trials(history, SPECS), Cube(hyperparameters)).of({"RATE": at})

    assert likely() == likely(back) == 1.0
    assert likely(wrong) == 0.5
    assert likely(wrong, wrong) == pytest.approx(1 / 3)
    assert likely(wrong, fine) == pytest.approx(2 / 3)
    assert likely(wrong, at=0.02) == 1.0  # not as far
    assert likely(wrong, at=0.001) == 1.0  # in the other direction


def test_the_region_of_trust_grows_with_success_and_shrinks_without() -> None:
    def reach(*decisions: Decision, key: str = "hyperparameters:A+B") -> float:
        return reach_of([Outcome(key=key, decision=one, gain_sd=0.0) for one in decisions])

    usual = reach()
    assert reach("kept") > usual > reach("screened_out") > reach("failed", "screened_out")
    assert reach("rechecked_out") == usual == reach("kept", key="hyperparameter:A:up")
    # One success in five leaves it unchanged.
    assert reach("kept", *["screened_out"] * 4) == pytest.approx(usual)
    assert 0 < reach(*["screened_out"] * 99) < reach(*["kept"] * 99) < 1


def test_expected_gain_rewards_both_promise_and_uncertainty() -> None:
    # Half a deviation is not worth a run.
    assert expected_gain(-5.0, 1.0) == pytest.approx(4.5, abs=0.01)
    assert expected_gain(-5.0, 3.0) > expected_gain(-5.0, 1.0) > expected_gain(0.0, 1.0) > 0
    assert expected_gain(9.0, 0.5) == 0


@pytest.mark.parametrize(
    ("decision", "gain_sd", "loss_sd"),
    [
        ("kept", 2.0, -2.0),
        ("screened_out", None, 3.0),  # stopped during training, so it has no score of its own
        ("failed", None, 15.0),
    ],
)
def test_what_was_stopped_counts_as_worse_and_not_as_broken(
    decision: Decision, gain_sd: float | None, loss_sd: float
) -> None:
    hyperparameters = find_hyperparameters(START, ("t.py",), SPECS)
    (trial,) = trials(
        [outcome(START, (Change(hyperparameters[0], 0.02),), decision, gain_sd)], SPECS
    )
    assert difference_of(trial, Cube(hyperparameters)).loss_sd == loss_sd


# Peers' trials


def others_of(history: list[Outcome], author: str, *, base: str = "00") -> list[PeerTrial]:
    """Return a history of our own as if a peer had reported it."""
    return [
        PeerTrial(
            author=author,
            base=base,
            values=trial.outcome.values,
            before=tuple(trial.step.before.items()),
            after=tuple(trial.step.after.items()),
            gain_sd=trial.outcome.gain_sd,
        )
        for trial in trials(history, SPECS)
    ]


def test_who_has_tried_nothing_goes_where_others_say_that_it_is_good() -> None:
    best, history = searched(surface, 60)
    hyperparameters = find_hyperparameters(START, ("t.py",), SPECS)
    assert promising(hyperparameters, [1.0] * 5, (), random.Random(1)) == []
    found = promising(hyperparameters, [1.0] * 5, (), random.Random(1), others_of(history, "a"))
    start = {hyperparameter.name: hyperparameter.value for hyperparameter in hyperparameters}
    proposed = {**start, **{change.hyperparameter.name: change.value for change in found[0]}}
    before, after = surface(start), surface(proposed)
    reached = surface(dict(hyperparameter_values(best, ("t.py",), SPECS)))
    assert before is not None
    assert after is not None
    assert reached is not None
    assert before - after > 0.3 * (before - reached) > 0


def test_authors_take_turns_however_much_each_says() -> None:
    _, history = searched(surface, 40)
    loud = others_of(history, "loud")
    quiet = others_of(history[:3], "quiet")
    cube = Cube(find_hyperparameters(START, ("t.py",), SPECS))
    said = differences_of_others([*loud, *quiet], cube)
    of_quiet = differences_of_others(quiet, cube)
    assert len(said) == len(differences_of_others(loud, cube)) + len(of_quiet) > 2 * len(of_quiet)
    places = [said.index(replace(one, reference_group=said[0].reference_group)) for one in of_quiet]
    assert max(places) < 2 * len(quiet)


@pytest.mark.parametrize(
    "after",
    [
        ("RATE", -1.0),
        ("RATE", 0.0),
        ("RATE", math.inf),
        ("RATE", math.nan),
        ("RATE", "SL"),
        ("WIDTH", 65),
        ("PATTERN", "../x"),
        ("UNKNOWN", 1),
    ],
)
def test_a_value_that_cannot_be_here_is_no_trial(after: tuple[str, Scalar]) -> None:
    trial = PeerTrial(
        author="a", base="00", values=(after,), before=(), after=(after,), gain_sd=5.0
    )
    cube = Cube(find_hyperparameters(START, ("t.py",), SPECS))
    assert differences_of_others([trial], cube) == []
    next_to = PeerTrial(
        author="a", base="00", values=(after,), before=(), after=(("DECAY", 0.4),), gain_sd=5.0
    )
    (said,) = differences_of_others([next_to], cube)
    assert said.at == cube.position({"DECAY": 0.4})


@pytest.mark.parametrize(("gain_sd", "loss_sd"), [(1e12, -10.0), (-1e12, 15.0), (None, 15.0)])
def test_an_invented_gain_bends_the_model_no_further_than_a_large_one(
    gain_sd: float | None, loss_sd: float
) -> None:
    changes = {"before": (("DECAY", 0.5),), "after": (("DECAY", 0.4),)}
    trial = PeerTrial(author="a", base="00", values=(), gain_sd=gain_sd, **changes)
    (said,) = differences_of_others([trial], Cube(find_hyperparameters(START, ("t.py",), SPECS)))
    assert said.loss_sd == loss_sd
