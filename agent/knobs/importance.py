"""Which knobs matter: main effects of the model that chooses them, as shares of its variance.

The part of a loss's variance that one knob explains by itself, over all values of the others (a
first-order Sobol index; functional ANOVA as in Hutter, Hoos & Leyton-Brown, *An Efficient Approach
for Assessing Hyperparameter Importance*, 2014, here of the proposer's own Gaussian process). It
says what the trials so far suggest, not what is true, and it never decides anything.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from agent.knobs.acquisition import difference_of
from agent.knobs.changes import Trial, trials
from agent.knobs.positions import Cube, Position
from agent.knobs.surrogate import Floats, Surrogate, TrialDifference
from agent.proposal import Context
from agent.source.literals import Knob, Scalar, axis_of, find_knobs

LEAST_TRIALS: Final = 8  # of fewer nothing is said
_GRID: Final = 9  # values of a knob along its range
_BACKGROUNDS: Final = 64  # of the other knobs
_SAMPLES: Final = 512  # for the variance of all of it
_MOST_KNOBS: Final = 40
_MOST_LOOKED_AT: Final = 600  # outcomes, as the proposer looks at
_MOST_MODELLED: Final = 100
_RESAMPLES: Final = 20
_INTERVAL: Final = (0.05, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnobImportance:
    """A knob, its share of the variance, and what each value would gain over the present (sd).

    From `low` to `high` the share lies in nine of ten bootstrap samples of the trials.
    """

    name: str
    share: float
    low: float
    high: float
    gains: tuple[tuple[Scalar, float], ...]

    @property
    def best(self) -> Scalar:
        """The value that the model thinks gains most."""
        return max(self.gains, key=lambda one: one[1])[0]


def importance_of(context: Context) -> tuple[KnobImportance, ...]:
    """Return which of a source's knobs matter, by the latest trials of them."""
    found = find_knobs(context.source, context.editable, context.knobs)
    by_name = {knob.name: knob for knob in reversed(found)}
    seen = trials(context.history[-_MOST_LOOKED_AT:], context.knobs)
    judged = [trial for trial in seen if trial.outcome.decision != "rejected"]
    return importances([*reversed(by_name.values())], judged[:_MOST_MODELLED])


def importances(knobs: Sequence[Knob], seen: Sequence[Trial]) -> tuple[KnobImportance, ...]:
    """Return the knobs, those that matter most first; none of too few trials."""
    knobs = knobs[:_MOST_KNOBS]
    cube, chance = Cube(knobs), random.Random(0)
    differences = [difference_of(trial, cube) for trial in seen]
    if len(differences) < LEAST_TRIALS or not knobs:
        return ()
    drawn = [chance.choices(differences, k=len(differences)) for _ in range(_RESAMPLES)]
    again = [_effects(knobs, cube, one) for one in drawn]
    found = []
    for name, (share, gains) in _effects(knobs, cube, differences).items():
        low, high = np.quantile([one[name][0] for one in again], _INTERVAL)
        one = KnobImportance(name=name, share=share, low=float(low), high=float(high), gains=gains)
        found.append(one)
    return tuple(sorted(found, key=lambda one: (-one.share, one.name)))


_Effect: TypeAlias = tuple[float, tuple[tuple[Scalar, float], ...]]


def _effects(
    knobs: Sequence[Knob], cube: Cube, differences: Sequence[TrialDifference]
) -> dict[str, _Effect]:
    """Return each knob's share of the variance, and what its values gain, by these trials."""
    chance = random.Random(0)
    model = Surrogate(differences, cube.position({}))
    values = {knob.name: _values(knob) for knob in knobs}

    def drawn() -> dict[str, Scalar]:
        return {name: chance.choice(options) for name, options in values.items()}

    samples = [cube.position(drawn()) for _ in range(_SAMPLES)]
    whole = float(np.var(_losses(model, samples)))
    backgrounds = [drawn() for _ in range(_BACKGROUNDS)]
    found: dict[str, _Effect] = {}
    for knob in knobs:
        options = values[knob.name]
        points = [
            cube.position({**one, knob.name: value}) for value in options for one in backgrounds
        ]
        effect = _losses(model, points).reshape(len(options), _BACKGROUNDS).mean(axis=1)
        here = [cube.position({**one, knob.name: knob.value}) for one in backgrounds]
        present = float(_losses(model, here).mean())
        gains = tuple(
            (value, present - float(loss)) for value, loss in zip(options, effect, strict=True)
        )
        share = float(np.var(effect)) / whole if whole > 0 else 0.0
        found[knob.name] = min(1.0, share), gains
    return found


def _losses(model: Surrogate, points: Sequence[Position]) -> Floats:
    """Return how much worse than the base each point is expected to be [points]."""
    return model.losses(points)[0]


def _values(knob: Knob) -> tuple[Scalar, ...]:
    """Return a knob's values: along its axis, or all its choices."""
    axis = axis_of(knob)
    if axis is None:
        return tuple(dict.fromkeys((knob.value, *knob.choices)))
    places = (axis.low + step * (axis.high - axis.low) / (_GRID - 1) for step in range(_GRID))
    return tuple(dict.fromkeys(axis.value(place) for place in places))
