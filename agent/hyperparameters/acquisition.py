"""A search for sets of hyperparameter changes with a high expected gain in a model of the trials.

The model (`agent.hyperparameters.surrogate`) learns from this node's trials, failures included, and
from trials that peers report. Peers' trials affect only what is tried. Random changes of a few
hyperparameters are ranked by expected improvement (Jones, Schonlau & Welch, 1998), and the best of
them are changed again. All changes stay inside a trust region, which grows after kept trials and
shrinks after bad ones (TuRBO: Eriksson et al., 2019). If a value was rejected, it and all values
farther from the present one in the same direction rank lower (after constrained expected
improvement: Gardner et al., 2014).
Deterministic given history and `chance`; the work is bounded.
"""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from agent.hyperparameters.changes import Change, HyperparameterTrial
from agent.hyperparameters.positions import Cube, Position
from agent.hyperparameters.surrogate import Surrogate, TrialDifference
from agent.proposal import Outcome, PeerTrial
from agent.source.literals import Hyperparameter, Scalar, may_be

# With fewer trials the model predicts no better than the range of a hyperparameter.
_LEAST_TRIALS = 4
# A kept patch takes two further runs, which a smaller gain is not worth.
_WORTHWHILE_SD = 0.5
# Beyond this, losses are compressed: bad versus very bad teaches nothing about what is good.
_SOFT_LOSS_SD = 15.0
_FAILED_LOSS_SD = 15.0
# A run that was stopped in training could not have passed: assume the usual loss of such runs.
_STOPPED_LOSS_SD = 3.0
_MOST_MODELLED = 100  # trials: the work grows with the cube of their number
_MOST_OTHERS = 60  # of these, peers' trials
_MAX_GAIN_SD = 10.0  # limit of a gain that peers report, to bound the effect of an invented one
_ROUNDS = 3
_DRAWN = 200
_PARENTS = 12
_MOST_HYPERPARAMETERS = 4
_STEPS_AT_ONCE = (1, 1, 2, 3)
_UNDONE_SHARE = 0.3
_FIRST_REACH, _LEAST_REACH, _MOST_REACH = 0.3, 0.1, 0.6
_GROWTH = 1.5
_DECAY = _GROWTH**-0.25


def promising(
    hyperparameters: Sequence[Hyperparameter],
    weights: Sequence[float],
    trials: Sequence[HyperparameterTrial],
    chance: random.Random,
    others: Sequence[PeerTrial] = (),
) -> list[tuple[Change, ...]]:
    """Return sets of changes, the most promising first; empty if there are too few `trials`.

    `weights` are the relative frequencies with which hyperparameters are changed. `trials` are this
    node's, the latest first; `others` are peers'. The model learns from the latest of `trials` that
    were not rejected, and from those of `others` that are nearest to the present source.
    """
    cube = Cube(hyperparameters)
    reported = differences_of_others(others, cube)[:_MOST_OTHERS]
    learned = [trial for trial in trials if trial.outcome.decision != "rejected"]
    learned = learned[: _MOST_MODELLED - len(reported)]
    seen = [*(difference_of(trial, cube) for trial in learned), *reported]
    if len(seen) < _LEAST_TRIALS:
        return []
    model, acceptance = Surrogate(seen, cube.position({})), Acceptance(trials, cube)
    search = _Search(cube, weights, model, acceptance, chance)
    reach = reach_of([trial.outcome for trial in reversed(learned)])
    for _ in range(_ROUNDS):
        search.look(reach)
    return [
        tuple(
            Change(hyperparameter, values[hyperparameter.name])
            for hyperparameter in hyperparameters
            if hyperparameter.name in values
        )
        for values in search.ranked
    ]


class Acceptance:
    """Estimates of the probability that a source with given values is not rejected.

    A source is rejected for wrong answers, for example if a model is too large to be served. The
    loss model learns nothing from it, so without this estimate the search repeats such values. A
    rejected value counts against all values at least as far from the present value. An accepted
    value counts in favour of all values no farther away. `cube` is the space of the present
    source's hyperparameters.
    """

    def __init__(self, trials: Iterable[HyperparameterTrial], cube: Cube) -> None:
        self._cube = cube
        self._own = {
            hyperparameter.name: cube.along(hyperparameter.name, hyperparameter.value)
            for hyperparameter in cube.hyperparameters
        }
        self._tried: dict[str, list[tuple[float, bool]]] = {}  # (distance, is rejected)
        for trial in trials:
            is_refused = trial.outcome.decision == "rejected"
            for name, value in trial.step.after.items():
                if (far := self._far(name, value)) is not None:
                    self._tried.setdefault(name, []).append((far, is_refused))

    def of(self, values: Mapping[str, Scalar]) -> float:
        """Return the estimated probability that changes to these values are not rejected."""
        share = 1.0
        for name, value in values.items():
            if (far := self._far(name, value)) is not None and name in self._tried:
                share *= _share(self._tried[name], far)
        return share

    def _far(self, name: str, value: Scalar) -> float | None:
        """Return the signed distance of a number from the source's, or None for other values."""
        own, there = self._own.get(name), self._cube.along(name, value)
        return None if own is None or there is None else there - own


def reach_of(outcomes: Sequence[Outcome]) -> float:
    """Return the trust region's size after these outcomes, oldest first."""
    reach = _FIRST_REACH
    for outcome in outcomes:
        if outcome.key.startswith("hyperparameters:") and outcome.decision != "rechecked_out":
            reach *= _GROWTH if outcome.decision == "kept" else _DECAY
            reach = min(max(reach, _LEAST_REACH), _MOST_REACH)
    return reach


class _Search:
    """Sets of values by position, with the expected gain of each."""

    def __init__(
        self,
        cube: Cube,
        weights: Sequence[float],
        model: Surrogate,
        acceptance: Acceptance,
        chance: random.Random,
    ) -> None:
        self._cube = cube
        self._values = {
            hyperparameter.name: hyperparameter.value for hyperparameter in cube.hyperparameters
        }
        self._weights = weights
        self._model = model
        self._acceptance = acceptance
        self._chance = chance
        self._expected: dict[Position, tuple[float, Mapping[str, Scalar]]] = {}

    @property
    def ranked(self) -> list[Mapping[str, Scalar]]:
        """The sets considered so far, the most promising first; ties in order of appearance."""
        ordered = sorted(self._expected.values(), key=lambda one: -one[0])
        return [values for _, values in ordered]

    def look(self, reach: float) -> None:
        """Draw more sets near the source and near the best ones so far."""
        parents: list[Mapping[str, Scalar]] = [{}, *self.ranked[:_PARENTS]]
        drawn: dict[Position, Mapping[str, Scalar]] = {}
        for _ in range(_DRAWN):
            values = self._changed(self._chance.choice(parents), reach)
            position = self._cube.position(values)
            if values and position not in self._expected:
                drawn[position] = values
        if not drawn:
            return
        means, deviations = self._model.losses(list(drawn))
        for (position, values), mean, deviation in zip(
            drawn.items(), means.tolist(), deviations.tolist(), strict=True
        ):
            gain = expected_gain(mean, deviation) * self._acceptance.of(values)
            self._expected[position] = (gain, values)

    def _changed(self, values: Mapping[str, Scalar], reach: float) -> Mapping[str, Scalar]:
        """Return a copy of `values` with some changes undone, replaced or added.

        At most `_MOST_HYPERPARAMETERS` then differ from the source.
        """
        changed = dict(values)
        names = list(self._values)
        for name in self._chance.choices(
            names, self._weights, k=self._chance.choice(_STEPS_AT_ONCE)
        ):
            if name in changed and self._chance.random() < _UNDONE_SHARE:
                del changed[name]
            else:
                before = changed.get(name, self._values[name])
                changed[name] = self._cube.stepped(name, before, reach, self._chance)
        changed = {name: value for name, value in changed.items() if value != self._values[name]}
        while len(changed) > _MOST_HYPERPARAMETERS:
            del changed[self._chance.choice(list(changed))]
        return changed


def expected_gain(mean: float, deviation: float) -> float:
    """Return the expected gain beyond `_WORTHWHILE_SD` if the loss is N(mean, deviation²).

    The result is rounded, so that ties are ties on every machine.
    """
    z = (-mean - _WORTHWHILE_SD) / deviation
    density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return round(deviation * (z * 0.5 * math.erfc(-z / math.sqrt(2)) + density), 9)


def difference_of(trial: HyperparameterTrial, cube: Cube) -> TrialDifference:
    around = dict(trial.outcome.values)
    return TrialDifference(
        at=cube.position({**around, **trial.step.after}),
        base=cube.position({**around, **trial.step.before}),
        loss_sd=_loss_sd(trial.outcome),
        reference_group=trial.reference_group,
    )


def differences_of_others(others: Sequence[PeerTrial], cube: Cube) -> list[TrialDifference]:
    """Return peers' trials in this space: the nearest of each author, then the second nearest, etc.

    Authors take turns so that no author gains weight by publishing more. A trial is skipped if
    a hyperparameter that it changed has an impossible old or new value in `cube`. Impossible values
    of its other hyperparameters are ignored.
    """
    hyperparameters, here = (
        {hyperparameter.name: hyperparameter for hyperparameter in cube.hyperparameters},
        cube.position({}),
    )
    numbers = {base: -1 - at for at, base in enumerate(dict.fromkeys(one.base for one in others))}
    by_author: dict[str, list[TrialDifference]] = {}
    for one in others:
        changed = [*one.before, *one.after]
        if not all(
            name in hyperparameters and may_be(hyperparameters[name], value)
            for name, value in changed
        ):
            continue
        around = {
            name: value
            for name, value in one.values
            if name in hyperparameters and may_be(hyperparameters[name], value)
        }
        difference = TrialDifference(
            at=cube.position({**around, **dict(one.after)}),
            base=cube.position({**around, **dict(one.before)}),
            loss_sd=_FAILED_LOSS_SD if one.gain_sd is None else _reported_loss_sd(one.gain_sd),
            reference_group=numbers[one.base],
        )
        by_author.setdefault(one.author, []).append(difference)
    for author_differences in by_author.values():
        author_differences.sort(key=lambda one: math.dist(one.at, here))
    in_turn = zip_longest(*by_author.values())
    return [difference for turn in in_turn for difference in turn if difference is not None]


def _reported_loss_sd(gain_sd: float) -> float:
    return min(_FAILED_LOSS_SD, max(-_MAX_GAIN_SD, _softened(-gain_sd)))


def _loss_sd(outcome: Outcome) -> float:
    if outcome.gain_sd is None:
        return _STOPPED_LOSS_SD if outcome.decision == "screened_out" else _FAILED_LOSS_SD
    return _softened(-outcome.gain_sd)


def _softened(loss_sd: float) -> float:
    return loss_sd if loss_sd < 0 else _SOFT_LOSS_SD * math.log1p(loss_sd / _SOFT_LOSS_SD)


def _share(tried: Iterable[tuple[float, bool]], far: float) -> float:
    refused = accepted = 0
    for other, is_refused in tried:
        if other * far <= 0:  # the opposite direction, or the source's own value
            continue
        if is_refused:
            refused += abs(other) <= abs(far)
        else:
            accepted += abs(other) >= abs(far)
    return (accepted + 1) / (accepted + refused + 1)
