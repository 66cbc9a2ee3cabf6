"""Importance of hyperparameters: the model's main effects and Optuna's fANOVA on equal trials."""

import itertools
import random

import numpy as np
import pytest

from agent.hyperparameters.changes import Change, edits_of, trials
from agent.hyperparameters.effects import Effects
from agent.hyperparameters.importance import LEAST_TRIALS, importances
from agent.hyperparameters.positions import Position
from agent.hyperparameters.surrogate import Surrogate, TrialDifference
from agent.proposal import HyperparameterImportance, Outcome
from agent.source.edits import reapply
from agent.source.literals import find_hyperparameters, hyperparameter_values
from protocol.ideas import HyperparameterSpec
from protocol.source import Source

SPECS = tuple(
    HyperparameterSpec(name=name, type="float", low=0.0, high=1.0)
    for name in ("STRONG", "WEAK", "IDLE")
)
START = Source.of({"t.py": b"STRONG = 0.5\nWEAK = 0.5\nIDLE = 0.5\n"})
COUNT = 60


def loss_sd(strong: float, weak: float) -> float:
    """Return a loss with its best at (0.9, 0.2); one value has about ten times the effect."""
    return 40 * (strong - 0.9) ** 2 + 12 * (weak - 0.2) ** 2


def tried(count: int, seed: int = 1) -> list[tuple[dict[str, float], float]]:
    """Return random values of the hyperparameters, and the noisy gain over the start."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        values = {spec.name: round(chance.random(), 3) for spec in SPECS}
        gain = loss_sd(0.5, 0.5) - loss_sd(values["STRONG"], values["WEAK"])
        found.append((values, gain + chance.gauss(0, 1)))
    return found


def measured(seen: list[tuple[dict[str, float], float]]) -> tuple[HyperparameterImportance, ...]:
    hyperparameters = find_hyperparameters(START, ("t.py",), SPECS)
    history = []
    for values, gain_sd in seen:
        edits = edits_of(
            START,
            [
                Change(hyperparameter, values[hyperparameter.name])
                for hyperparameter in hyperparameters
            ],
        )
        after = reapply(edits, START)
        assert after is not None
        history.append(
            Outcome(
                key="hyperparameters:" + "+".join(values),
                decision="screened_out",
                gain_sd=gain_sd,
                edits=edits,
                values=hyperparameter_values(after, ("t.py",), SPECS),
            )
        )
    return importances(hyperparameters, tuple(trials(history, SPECS)))


def test_the_order_and_the_shares_are_those_of_fanova() -> None:
    # Imported here, since this takes seconds and other tests do not need it.
    import optuna
    from optuna.distributions import FloatDistribution
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    seen = tried(COUNT)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="minimize")
    distributions = {spec.name: FloatDistribution(0.0, 1.0) for spec in SPECS}
    study.add_trials(
        [
            create_trial(params=values, distributions=distributions, value=-gain)
            for values, gain in seen
        ]
    )
    theirs = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=1))
    ours = {one.name: one.share for one in measured(seen)}
    assert list(ours)[:2] == list(theirs)[:2] == ["STRONG", "WEAK"]
    whole = sum(ours.values())
    for name, share in theirs.items():
        assert ours[name] / whole == pytest.approx(share, abs=0.15)


def test_effects_are_those_of_all_combinations_of_values() -> None:
    chance = random.Random(3)
    axis = np.array([[0.0], [0.25], [0.5], [0.75], [1.0]])
    levels = [axis, axis[::2], np.eye(3) * 0.5**0.5]  # the last has three values without an order
    base = (0.5, 0.5, *levels[2][0])

    def drawn() -> Position:
        place = (chance.choice(list(level)) for level in levels)
        return tuple(float(one) for part in place for one in part)

    ends = [drawn() for _ in range(24)]
    seen = [
        TrialDifference(at, base, 20 * (at[0] - 0.9) ** 2 * (1 + at[4]) + chance.gauss(0, 1), 0)
        for at in ends
    ]
    model = Surrogate(seen, base)
    effects = Effects(model.bumps, levels)
    grid = [tuple(map(float, np.concatenate(parts))) for parts in itertools.product(*levels)]
    losses = model.losses(grid)[0].reshape(5, 3, 3)
    assert effects.variance == pytest.approx(float(losses.var()), rel=1e-6)
    for hyperparameter, level in enumerate(levels):
        others = tuple(axis for axis in range(3) if axis != hyperparameter)
        whole = losses.mean(axis=others)
        ours = effects.of(hyperparameter, level)
        assert list(ours - ours.mean()) == pytest.approx(list(whole - whole.mean()), abs=1e-6)


def test_the_best_value_is_where_the_surface_is_best_and_an_idle_hyperparameter_does_nothing() -> (
    None
):
    found = {one.name: one for one in measured(tried(COUNT))}
    assert found["STRONG"].best == pytest.approx(0.9, abs=0.13)
    assert found["WEAK"].best == pytest.approx(0.2, abs=0.26)
    assert found["IDLE"].share < 0.1


def test_too_few_trials_say_nothing() -> None:
    assert measured(tried(LEAST_TRIALS - 1)) == ()
    assert len(measured(tried(LEAST_TRIALS))) == len(SPECS)


def test_more_trials_make_shares_surer() -> None:
    few, many = ({one.name: one for one in measured(tried(count))} for count in (16, COUNT))
    strong = many["STRONG"]
    assert strong.low <= strong.share <= strong.high
    assert strong.low > many["IDLE"].high
    assert strong.high - strong.low < few["STRONG"].high - few["STRONG"].low


@pytest.mark.parametrize("count", [LEAST_TRIALS, 19, COUNT])  # 19: samples exceed a small share
def test_an_interval_contains_its_share(count: int) -> None:
    for one in measured(tried(count)):
        assert 0.0 <= one.low <= one.share <= one.high <= 1.0
