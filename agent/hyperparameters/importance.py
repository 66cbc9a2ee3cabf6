"""The importance of hyperparameters: main effects in the proposer's model, as shares of variance.

A hyperparameter's importance is the fraction of a loss's variance that it explains by itself, over
all values of the others. It is a first-order Sobol index, or functional ANOVA as in Hutter, Hoos &
Leyton-Brown, *An Efficient Approach for Assessing Hyperparameter Importance*, 2014, but of the
proposer's Gaussian process. It says what the trials so far suggest, not what is true. It never
decides anything.

For a given model, shares and effects are computed exactly, with all values equally likely
(`agent.hyperparameters.effects`). The model's length scales are estimated: they are the most likely
ones. The interval is also estimated, from bootstrap samples of the trials: each sample gets its own
length scales, and the search for them starts from those of all trials. The interval is widened to
contain the estimate, since resampling makes small shares smaller.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np

from agent.hyperparameters.acquisition import difference_of
from agent.hyperparameters.changes import HyperparameterTrial, trials
from agent.hyperparameters.effects import Effects
from agent.hyperparameters.positions import Cube
from agent.hyperparameters.surrogate import Surrogate
from agent.proposal import Context, HyperparameterImportance, Outcome
from agent.source.literals import Hyperparameter, Scalar, axis_of, find_hyperparameters
from protocol.ideas import HyperparameterSpec
from protocol.source import Source

LEAST_TRIALS: Final = 8  # with fewer, nothing is reported
_GRID: Final = 9  # values of a hyperparameter along its range
_MOST_HYPERPARAMETERS: Final = 40
_MOST_LOOKED_AT: Final = 600  # outcomes, as in the proposer
_MOST_MODELLED: Final = 100
_RESAMPLES: Final = 20
_INTERVAL: Final = (0.05, 0.95)


def importance_of(context: Context) -> tuple[HyperparameterImportance, ...]:
    """Return the importance of the hyperparameters in a proposer's context."""
    return importance_in(context.source, context.editable, context.hyperparameters, context.history)


def importance_in(
    source: Source,
    editable: Sequence[str],
    specs: tuple[HyperparameterSpec, ...],
    history: Sequence[Outcome],
    *,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[HyperparameterImportance, ...]:
    """Return the importance of a source's hyperparameters, computed from the latest trials.

    `progress` is called with the finished share of the work.
    """
    found = find_hyperparameters(source, editable, specs)
    by_name = {hyperparameter.name: hyperparameter for hyperparameter in reversed(found)}
    seen = trials(history[-_MOST_LOOKED_AT:], specs)
    judged = [trial for trial in seen if trial.outcome.decision != "rejected"]
    return importances([*reversed(by_name.values())], judged[:_MOST_MODELLED], progress=progress)


def importances(
    hyperparameters: Sequence[Hyperparameter],
    seen: Sequence[HyperparameterTrial],
    *,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[HyperparameterImportance, ...]:
    """Return the hyperparameters, the most important first; empty if there are too few trials."""
    hyperparameters = hyperparameters[:_MOST_HYPERPARAMETERS]
    cube, chance = Cube(hyperparameters), random.Random(0)
    differences = [difference_of(trial, cube) for trial in seen]
    if len(differences) < LEAST_TRIALS or not hyperparameters:
        return ()
    base = cube.position({})
    model = Surrogate(differences, base)
    again = []
    for done in range(_RESAMPLES):
        progress(done / _RESAMPLES)
        drawn = Counter(chance.choices(differences, k=len(differences)))
        alike = [replace(one, count=count) for one, count in drawn.items()]
        again.append(_effects(hyperparameters, cube, Surrogate(alike, base, like=model)))
    found = []
    for name, (share, gains) in _effects(hyperparameters, cube, model).items():
        low, high = np.quantile([one[name][0] for one in again], _INTERVAL)
        one = HyperparameterImportance(
            name=name,
            share=share,
            low=min(float(low), share),
            high=max(float(high), share),
            gains=gains,
        )
        found.append(one)
    return tuple(sorted(found, key=lambda one: (-one.share, one.name)))


_Effect: TypeAlias = tuple[float, tuple[tuple[Scalar, float], ...]]


def _effects(
    hyperparameters: Sequence[Hyperparameter], cube: Cube, model: Surrogate
) -> dict[str, _Effect]:
    """Return each hyperparameter's share of the variance and its values' gains under this model."""
    values = [_values(hyperparameter) for hyperparameter in hyperparameters]
    levels = [
        np.array([cube.coordinates(hyperparameter.name, value) for value in options])
        for hyperparameter, options in zip(hyperparameters, values, strict=True)
    ]
    effects = Effects(model.bumps, levels)
    found: dict[str, _Effect] = {}
    for at, (hyperparameter, options) in enumerate(zip(hyperparameters, values, strict=True)):
        losses = effects.of(at, levels[at])
        (present,) = effects.of(
            at, np.array([cube.coordinates(hyperparameter.name, hyperparameter.value)])
        )
        gains = tuple(
            (value, float(present - loss)) for value, loss in zip(options, losses, strict=True)
        )
        share = float(np.var(losses)) / effects.variance if effects.variance > 0 else 0.0
        found[hyperparameter.name] = min(1.0, share), gains
    return found


def _values(hyperparameter: Hyperparameter) -> tuple[Scalar, ...]:
    """Return a hyperparameter's choices or, if it is a number, a grid over its range."""
    axis = axis_of(hyperparameter)
    if axis is None:
        return tuple(dict.fromkeys((hyperparameter.value, *hyperparameter.choices)))
    places = (axis.low + step * (axis.high - axis.low) / (_GRID - 1) for step in range(_GRID))
    return tuple(dict.fromkeys(axis.value(place) for place in places))
