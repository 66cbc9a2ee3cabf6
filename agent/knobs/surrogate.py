"""What knobs do to a metric: a small Gaussian process that learns from differences.

A gain is one function's value at the base less its value at the candidate, so a base that moved on
since, by knobs or by a structural change, costs the model nothing but what the one has to do with
the other. Every knob has a length scale of its own, found by maximum a posteriori (Rasmussen &
Williams, *Gaussian Processes for Machine Learning*, 2006, ch. 5); a base is no random point, so it
is taken to lie `_DEPTH_SD` below what is usual.

Positions lie in the unit cube, losses are in standard deviations of one run. Deterministic, bounded
work, numpy only. It knows no sources and proposes nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from agent.knobs.positions import Position

Floats = NDArray[np.float64]

# How far a knob has to go to matter, in ranges of it; beyond the last it does nothing.
_REACHES = (0.15, 0.3, 0.6, 1.2, 2.4, 5.0)
_REACH_PRIOR = (math.log(0.6), 1.0)  # mean and deviation of the logarithm
_AMPLITUDES_SD = (5.0, 8.0, 12.0, 18.0)
_AMPLITUDE_PRIOR = (math.log(8.0), 0.5)
_DEPTH_SD = 8.0
_DEPTH_DEVIATION_SD = 1.0
# A run's own deviation is 1; a function this smooth is never the whole truth.
_NOISE_SD = 1.2
_BANK_VARIANCE = 0.5  # of two runs' mean
_SWEEPS = 3
_WORTHWHILE = 0.1  # a sweep that finds less is the last one
_LEAST_VARIANCE = 1e-9


@dataclass(frozen=True, slots=True)
class TrialDifference:
    """One trial: where it was, where its base was, how much worse it came out than the base, and
    which bank it was compared with, by number: an error of that is every such trial's.

    `count` says how many trials came to just this.
    """

    at: Position
    base: Position
    loss_sd: float
    bank: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class _Kernel:
    reaches: tuple[float, ...]
    amplitude_sd: float


class Surrogate:
    """Fitted to trials, of which there is at least one; says what others would come to.

    `like` is one of much the same trials, whose length scales the search for its own begins at.
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
            self.shape = _climbed(_Fit(self._contrasts, like.shape))
        kernel = _kernel(self._contrasts.squares, self.shape)
        self._root = np.linalg.cholesky(self._contrasts.covariance(kernel))
        self._half = np.linalg.solve(self._root, self._contrasts.losses)

    def losses(self, at: Sequence[Position]) -> tuple[Floats, Floats]:
        """Return the mean and deviation [positions] of how much worse than the base each is."""
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
        """The expected loss, but for a constant, as what it is a sum of."""
        contrasts = self._contrasts
        weights = contrasts.spread(np.linalg.solve(self._root.T, self._half))
        return Bumps(
            centres=contrasts.points,
            heights=weights * self.shape.amplitude_sd**2,
            reaches=np.array(self.shape.reaches),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Bumps:
    """A sum of bumps exp(−½·((x − centre)/reach)²), each of its own height.

    `centres` [bumps, dimensions], `heights` [bumps], `reaches` [dimensions].
    """

    centres: Floats
    heights: Floats
    reaches: Floats


class _Contrasts:
    """Trials as linear functions of the metric at `points`: every trial's end, less its base.

    The last contrast is the base that is now, less nothing. A point that several have to do with
    stands there once: a line's bases are few.
    """

    def __init__(self, seen: tuple[TrialDifference, ...], base: Position) -> None:
        ends, starts = [*(one.at for one in seen), base], [one.base for one in seen]
        rows = {point: row for row, point in enumerate(dict.fromkeys([*ends, *starts]))}
        self.points = np.array(list(rows))
        self.losses = np.array([*(one.loss_sd for one in seen), -_DEPTH_SD])
        self.squares = _squares(self.points, self.points)
        self._ends = np.array([rows[point] for point in ends])
        self._starts = np.array([rows[point] for point in starts])
        banks = np.array([one.bank for one in seen])
        # Of several that are alike the mean is known better; all else of them says nothing.
        own = [_NOISE_SD**2 / one.count for one in seen]
        self._noise = np.diag([*own, _DEPTH_DEVIATION_SD**2])
        self._noise[:-1, :-1] += _BANK_VARIANCE * (banks[:, None] == banks[None, :])

    def contracted(self, kernel: Floats) -> Floats:
        """Return covariances [rows, contrasts] of those [rows, points]."""
        ends = kernel[:, self._ends]
        ends[:, :-1] -= kernel[:, self._starts]
        return ends

    def spread(self, weights: Floats) -> Floats:
        """Return the weights of points [points] that come to those of contrasts [contrasts]."""
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
    """Return the likeliest shape."""
    usual = _Kernel((math.exp(_REACH_PRIOR[0]),) * len(base), math.exp(_AMPLITUDE_PRIOR[0]))
    return _climbed(_Fit(_Contrasts(seen, base), usual))


def _climbed(fit: "_Fit") -> _Kernel:
    """Return the likeliest shape near where a fit begins, looked for one number after the other."""
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
    """The best shape so far, with its scaled squared distances."""

    def __init__(self, contrasts: _Contrasts, shape: _Kernel) -> None:
        self._contrasts = contrasts
        self.shape = shape
        self.exponents = _scaled(contrasts.squares, shape.reaches)
        self.score = self._score(self.shape, self.exponents)

    def consider(self, shape: _Kernel, exponents: Floats) -> None:
        """Take a shape if it is likelier."""
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
        """Return the logarithm of evidence times prior, but for a constant."""
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
    """Return squared-exponential covariances from squared distances [knobs, rows, columns]."""
    kernel: Floats = shape.amplitude_sd**2 * np.exp(-0.5 * _scaled(squares, shape.reaches))
    return kernel


def _scaled(squares: Floats, reaches: tuple[float, ...]) -> Floats:
    scaled: Floats = np.tensordot(1 / np.array(reaches) ** 2, squares, 1)
    return scaled


def _squares(rows: Floats, columns: Floats) -> Floats:
    """Return squared distances [knobs, rows, columns] of points [rows or columns, knobs]."""
    squares: Floats = (rows.T[:, :, None] - columns.T[:, None, :]) ** 2
    return squares
