"""A model of how hyperparameters change a metric: a small Gaussian process, fitted to differences.

The loss is one function of the position. A trial gives its value at the base less its value at the
candidate. So trials of an earlier base stay useful, even after hyperparameters or the structure
changed, as far as the two bases are related. Every hyperparameter has its own length scale, found
by maximum a posteriori (Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006,
ch. 5). A base is better than a random point, so its loss is assumed to lie `_DEPTH_SD` below the
model's prior mean.

Positions lie in the unit cube, losses are in standard deviations of one run. Deterministic, bounded
work, numpy only. This module knows no sources and proposes nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from agent.hyperparameters.positions import Position

Floats = NDArray[np.float64]

# Length scales in ranges of a hyperparameter; with the last one it has hardly any effect.
_REACHES = (0.15, 0.3, 0.6, 1.2, 2.4, 5.0)
_REACH_PRIOR = (math.log(0.6), 1.0)  # mean and deviation of the logarithm
_AMPLITUDES_SD = (5.0, 8.0, 12.0, 18.0)
_AMPLITUDE_PRIOR = (math.log(8.0), 0.5)
_DEPTH_SD = 8.0
_DEPTH_DEVIATION_SD = 1.0
# A run's own deviation is 1; the rest is for what a function this smooth cannot describe.
_NOISE_SD = 1.2
_REFERENCE_VARIANCE = 0.5  # of the mean of two reference runs
_SWEEPS = 3
_WORTHWHILE = 0.1  # a sweep with a smaller improvement is the last one
_LEAST_VARIANCE = 1e-9


@dataclass(frozen=True, slots=True)
class TrialDifference:
    """A trial: its position, the position of its base, and its loss relative to the base.

    `reference_group` is the number of its reference runs. Trials with the same number share
    the error of these runs. `count` is the number of identical trials.
    """

    at: Position
    base: Position
    loss_sd: float
    reference_group: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class _Kernel:
    reaches: tuple[float, ...]
    amplitude_sd: float


class Surrogate:
    """A model of the loss at any position, fitted to at least one trial (`seen`).

    `like` is a model of similar trials; the search for length scales starts from those of `like`.
    """

    def __init__(
        self,
        seen: Sequence[TrialDifference],
        base: Position,
        *,
        like: "Surrogate | None" = None,
    ) -> None:
        self._contrasts = _Contrasts(tuple(seen), base)
        self._base = base
        if like is None:
            self.shape = _fitted(tuple(seen), base)
        else:
            self.shape = _coordinate_search(_Fit(self._contrasts, like.shape))
        kernel = _kernel(self._contrasts.squares, self.shape)
        self._root = np.linalg.cholesky(self._contrasts.covariance(kernel))
        self._half = np.linalg.solve(self._root, self._contrasts.losses)

    def losses(self, at: Sequence[Position]) -> tuple[Floats, Floats]:
        """Return mean and deviation [positions] of each position's loss relative to the base."""
        points = np.array([*at, self._base])
        cross = _kernel(_squares(points, self._contrasts.points), self.shape)
        cross = self._contrasts.contracted(cross)
        half = np.linalg.solve(self._root, (cross[:-1] - cross[-1]).T)
        own = 2 * self.shape.amplitude_sd**2 - 2 * _kernel(
            _squares(points[:-1], points[-1:]), self.shape
        )
        variance = own[:, 0] - (half**2).sum(axis=0)
        return half.T @ self._half, np.sqrt(np.maximum(variance, _LEAST_VARIANCE))

    @property
    def bumps(self) -> "Bumps":
        """The expected loss as a sum of bumps, up to a constant."""
        contrasts = self._contrasts
        weights = contrasts.spread(np.linalg.solve(self._root.T, self._half))
        return Bumps(
            centres=contrasts.points,
            heights=weights * self.shape.amplitude_sd**2,
            reaches=np.array(self.shape.reaches),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Bumps:
    """A sum of bumps exp(−½·((x − centre)/reach)²), each with its own height.

    `centres` [bumps, dimensions], `heights` [bumps], `reaches` [dimensions].
    """

    centres: Floats
    heights: Floats
    reaches: Floats


class _Contrasts:
    """Trials as linear functions of the metric at `points`: each candidate less its base.

    The last contrast is the present base alone. A point that several contrasts share is stored
    once: a line has few bases.
    """

    def __init__(self, seen: tuple[TrialDifference, ...], base: Position) -> None:
        ends, starts = [*(one.at for one in seen), base], [one.base for one in seen]
        rows = {point: row for row, point in enumerate(dict.fromkeys([*ends, *starts]))}
        self.points = np.array(list(rows))
        self.losses = np.array([*(one.loss_sd for one in seen), -_DEPTH_SD])
        self.squares = _squares(self.points, self.points)
        self._ends = np.array([rows[point] for point in ends])
        self._starts = np.array([rows[point] for point in starts])
        reference_groups = np.array([one.reference_group for one in seen])
        # The mean of identical trials is known better; their spread is not used.
        own = [_NOISE_SD**2 / one.count for one in seen]
        self._noise = np.diag([*own, _DEPTH_DEVIATION_SD**2])
        self._noise[:-1, :-1] += _REFERENCE_VARIANCE * (
            reference_groups[:, None] == reference_groups[None, :]
        )

    def contracted(self, kernel: Floats) -> Floats:
        """Return covariances [rows, contrasts] from covariances [rows, points]."""
        ends = kernel[:, self._ends]
        ends[:, :-1] -= kernel[:, self._starts]
        return ends

    def spread(self, weights: Floats) -> Floats:
        """Convert weights of contrasts into the equivalent weights of the points, [points].

        A contrast is the metric at a candidate's point minus the metric at its base's point.
        """
        of_points = np.zeros(len(self.points))
        np.add.at(of_points, self._ends, weights)
        np.subtract.at(of_points, self._starts, weights[:-1])
        return of_points

    def covariance(self, kernel: Floats) -> Floats:
        """Return the contrasts' covariance, noise included."""
        noisy: Floats = self.contracted(self.contracted(kernel).T) + self._noise
        return noisy


@lru_cache(maxsize=4)
def _fitted(seen: tuple[TrialDifference, ...], base: Position) -> _Kernel:
    """Return the most likely kernel for these trials."""
    usual = _Kernel((math.exp(_REACH_PRIOR[0]),) * len(base), math.exp(_AMPLITUDE_PRIOR[0]))
    return _coordinate_search(_Fit(_Contrasts(seen, base), usual))


def _coordinate_search(fit: "_Fit") -> _Kernel:
    """Search for the most likely kernel from the one in `fit`, one parameter at a time."""
    for _ in range(_SWEEPS):
        before = fit.score
        for amplitude_sd in _AMPLITUDES_SD:
            fit.consider(replace(fit.shape, amplitude_sd=amplitude_sd), fit.exponents)
        for dimension in range(len(fit.shape.reaches)):
            fit.consider_reaches(dimension)
        if fit.score - before < _WORTHWHILE:
            break
    return fit.shape


class _Fit:
    """The most likely kernel (`shape`) so far, with its scaled squared distances."""

    def __init__(self, contrasts: _Contrasts, shape: _Kernel) -> None:
        self._contrasts = contrasts
        self.shape = shape
        self.exponents = _scaled(contrasts.squares, shape.reaches)
        self.score = self._score(self.shape, self.exponents)

    def consider(self, shape: _Kernel, exponents: Floats) -> None:
        """Replace the present kernel by this one if it is more likely."""
        score = self._score(shape, exponents)
        if score > self.score + _LEAST_VARIANCE:
            self.shape, self.exponents, self.score = shape, exponents, score

    def consider_reaches(self, dimension: int) -> None:
        """Try all reaches of one dimension."""
        squares, reaches = self._contrasts.squares[dimension], self.shape.reaches
        without = self.exponents - squares / reaches[dimension] ** 2
        for reach in _REACHES:
            tried = (*reaches[:dimension], reach, *reaches[dimension + 1 :])
            self.consider(replace(self.shape, reaches=tried), without + squares / reach**2)

    def _score(self, shape: _Kernel, exponents: Floats) -> float:
        """Return the logarithm of evidence times prior, up to a constant."""
        kernel = shape.amplitude_sd**2 * np.exp(-0.5 * exponents)
        root = np.linalg.cholesky(self._contrasts.covariance(kernel))
        half = np.linalg.solve(root, self._contrasts.losses)
        evidence = -0.5 * float(half @ half) - float(np.log(np.diag(root)).sum())
        surprises = [_surprise(reach, _REACH_PRIOR) for reach in shape.reaches]
        return evidence - sum(surprises) - _surprise(shape.amplitude_sd, _AMPLITUDE_PRIOR)


def _surprise(value: float, prior: tuple[float, float]) -> float:
    mean, deviation = prior
    return 0.5 * ((math.log(value) - mean) / deviation) ** 2


def _kernel(squares: Floats, shape: _Kernel) -> Floats:
    """Return squared-exponential covariances from squared distances [dimensions, rows, columns]."""
    kernel: Floats = shape.amplitude_sd**2 * np.exp(-0.5 * _scaled(squares, shape.reaches))
    return kernel


def _scaled(squares: Floats, reaches: tuple[float, ...]) -> Floats:
    scaled: Floats = np.tensordot(1 / np.array(reaches) ** 2, squares, 1)
    return scaled


def _squares(rows: Floats, columns: Floats) -> Floats:
    """Return squared distances [dimensions, rows, columns] of points [points, dimensions]."""
    squares: Floats = (rows.T[:, :, None] - columns.T[:, None, :]) ** 2
    return squares
