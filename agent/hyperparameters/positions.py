"""Hyperparameters as a point of the unit cube, for computations with distances between sources.

A hyperparameter with an axis has one coordinate: its place on the axis. If a hyperparameter has a
list of choices that are all numbers, they are equally spaced along one coordinate, in ascending
order. Any other hyperparameter has one coordinate per choice, so all choices are equally far apart.
"""

import math
import random
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache

from agent.source.literals import Axis, Hyperparameter, Scalar, axis_of

Position = tuple[float, ...]


class Cube:
    """The space of a source's hyperparameters; `position({})` is the source itself."""

    def __init__(self, hyperparameters: Sequence[Hyperparameter]) -> None:
        self.hyperparameters = tuple(hyperparameters)
        self._dimensions = {
            hyperparameter.name: _Dimension(hyperparameter) for hyperparameter in hyperparameters
        }

    def position(self, values: Mapping[str, Scalar]) -> Position:
        """Return the position of these values; unnamed hyperparameters keep the source's values."""
        return tuple(
            coordinate
            for name, dimension in self._dimensions.items()
            for coordinate in dimension.coordinates(
                values.get(name, dimension.hyperparameter.value)
            )
        )

    def coordinates(self, name: str, value: Scalar) -> Position:
        """Return the coordinates that a hyperparameter's value contributes to a position."""
        return self._dimensions[name].coordinates(value)

    def along(self, name: str, value: Scalar) -> float | None:
        """Return a value's place on its axis; None for an unknown name or one without an axis."""
        dimension = self._dimensions.get(name)
        coordinates = dimension.coordinates(value) if dimension else ()
        return coordinates[0] if len(coordinates) == 1 else None

    def stepped(self, name: str, value: Scalar, reach: float, chance: random.Random) -> Scalar:
        """Return another value for a hyperparameter at a normally distributed distance.

        `reach` is the distance's standard deviation. At an end of the range the value may stay.
        """
        return self._dimensions[name].stepped(value, reach, chance)


class _Dimension:
    """One hyperparameter with a cache of its values' coordinates: the same few are needed often."""

    def __init__(self, hyperparameter: Hyperparameter) -> None:
        self.hyperparameter = hyperparameter
        self._axis = axis_of(hyperparameter)
        self.coordinates = lru_cache(maxsize=None, typed=True)(self._coordinates)

    @cached_property
    def _options(self) -> tuple[Scalar, ...]:
        """All values of a hyperparameter without an axis; numbers in ascending order."""
        options = (self.hyperparameter.value, *self.hyperparameter.choices)
        return tuple(sorted(options, key=lambda one: (isinstance(one, str), one)))

    @cached_property
    def _numbers(self) -> tuple[int | float, ...]:
        """The values in `_options` if all of them are numbers, else empty."""
        numbers = [one for one in self._options if not isinstance(one, bool | str)]
        return tuple(numbers) if len(numbers) == len(self._options) else ()

    def _coordinates(self, value: Scalar) -> Position:
        if self._axis is not None:
            return (_place(self._axis, value, self.hyperparameter),)
        if self._numbers and not isinstance(value, bool | str):
            below = sum(one < value for one in self._numbers)
            return (min(1.0, below / (len(self._numbers) - 1)),)
        if self._numbers:
            return self.coordinates(self.hyperparameter.value)
        # The distance of two choices is 1, like that of an axis's ends.
        return tuple(math.sqrt(0.5) * (one == value) for one in self._options)

    def stepped(self, value: Scalar, reach: float, chance: random.Random) -> Scalar:
        step = chance.gauss(0, reach)
        if self._axis is not None and not isinstance(value, bool | str):
            return _moved(self._axis, value, step)
        if value in self._numbers:
            count = max(1, round(abs(step) * (len(self._numbers) - 1)))
            at = self._numbers.index(value) + (count if step > 0 else -count)
            return self._numbers[min(max(at, 0), len(self._numbers) - 1)]
        return chance.choice([one for one in self._options if one != value])


def _place(axis: Axis, value: Scalar, hyperparameter: Hyperparameter) -> float:
    if isinstance(value, bool | str):  # the value had another type in another source
        return _place(axis, hyperparameter.value, hyperparameter)
    return (axis.position(value) - axis.low) / (axis.high - axis.low)


def _moved(axis: Axis, value: float, share: float) -> int | float:
    step = share * (axis.high - axis.low)
    if axis.is_whole and axis.kind != "log" and abs(step) < 1:
        step = math.copysign(1, step)
    return axis.value(axis.position(value) + step)
