"""The effect of each hyperparameter alone on the loss that the model of trials expects.

The model's mean is a sum of bumps. Each bump is a product with one factor per hyperparameter. If
their values are independent, a bump's mean is the product of the factors' means, so nothing needs
to be sampled (Oakley & O'Hagan, *Probabilistic Sensitivity Analysis of Complex Models: a Bayesian
Approach*, 2004, for any Gaussian process). Numpy only.
"""

from collections.abc import Sequence

import numpy as np

from agent.hyperparameters.surrogate import Bumps, Floats


class Effects:
    """The effects of independent hyperparameters, each with equally likely values.

    `levels` has the coordinates [values, dimensions] of each hyperparameter's values, in the order
    of the model's dimensions. `variance` is the variance of the expected loss over all combinations
    of values.
    """

    def __init__(self, bumps: Bumps, levels: Sequence[Floats]) -> None:
        ends = np.cumsum([level.shape[1] for level in levels])
        self._bumps = bumps
        self._dimensions = [
            slice(end - level.shape[1], end) for end, level in zip(ends, levels, strict=True)
        ]
        factors = [
            self._factor(hyperparameter, level) for hyperparameter, level in enumerate(levels)
        ]
        usual = np.array([factor.mean(axis=0) for factor in factors])
        self._others = _products_of_others(usual)
        pairs = np.ones((len(bumps.heights), len(bumps.heights)))
        for factor in factors:
            pairs *= factor.T @ factor / len(factor)
        mean = float(bumps.heights @ usual.prod(axis=0))
        self.variance = max(0.0, float(bumps.heights @ pairs @ bumps.heights) - mean**2)

    def of(self, hyperparameter: int, values: Floats) -> Floats:
        """Return the mean loss [values] at these coordinates of a hyperparameter.

        The mean is over all values of the other hyperparameters, and correct up to a constant.
        """
        effect: Floats = self._factor(hyperparameter, values) @ (
            self._bumps.heights * self._others[hyperparameter]
        )
        return effect

    def _factor(self, hyperparameter: int, values: Floats) -> Floats:
        """Return the factor of a hyperparameter in each bump at these values [values, bumps]."""
        own = self._dimensions[hyperparameter]
        steps = values[:, None, :] - self._bumps.centres[None, :, own]
        factor: Floats = np.exp(-0.5 * ((steps / self._bumps.reaches[own]) ** 2).sum(axis=2))
        return factor


def _products_of_others(rows: Floats) -> Floats:
    """Return for each row the product of all other rows."""
    ones = np.ones((1, rows.shape[1]))
    before = np.cumprod(np.concatenate([ones, rows[:-1]]), axis=0)
    after = np.cumprod(np.concatenate([ones, rows[:0:-1]]), axis=0)[::-1]
    products: Floats = before * after
    return products
