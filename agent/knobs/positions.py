"""Knobs as a point of the unit cube, for whoever reckons with distances between sources.

A number's coordinate is its place on its axis; listed numbers lie in equal steps, in their order;
what is unordered has a coordinate for each choice, so that all choices are equally far apart.
"""

import math
import random
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache

from agent.source.literals import Axis, Knob, Scalar, axis_of

Position = tuple[float, ...]


class Cube:
    """The space of a source's knobs; its own values are where `position` begins."""

    def __init__(self, knobs: Sequence[Knob]) -> None:
        self.knobs = tuple(knobs)
        self._dimensions = {knob.name: _Dimension(knob) for knob in knobs}

    def position(self, values: Mapping[str, Scalar]) -> Position:
        """Return where these values lie; a knob that is not named is as the source has it."""
        return tuple(
            coordinate
            for name, dimension in self._dimensions.items()
            for coordinate in dimension.coordinates(values.get(name, dimension.knob.value))
        )

    def coordinates(self, name: str, value: Scalar) -> Position:
        """Return one knob's part of a position."""
        return self._dimensions[name].coordinates(value)

    def along(self, name: str, value: Scalar) -> float | None:
        """Return where a value lies on its knob's axis; None of a knob without, or not there."""
        dimension = self._dimensions.get(name)
        coordinates = dimension.coordinates(value) if dimension else ()
        return coordinates[0] if len(coordinates) == 1 else None

    def stepped(self, name: str, value: Scalar, reach: float, chance: random.Random) -> Scalar:
        """Return another value for a knob, its distance normally distributed with this deviation.

        At an end of its range it may be the same again.
        """
        return self._dimensions[name].stepped(value, reach, chance)


class _Dimension:
    """One knob. Coordinates are kept, since the same few values are asked for again and again."""

    def __init__(self, knob: Knob) -> None:
        self.knob = knob
        self._axis = axis_of(knob)
        self.coordinates = lru_cache(maxsize=None, typed=True)(self._coordinates)

    @cached_property
    def _options(self) -> tuple[Scalar, ...]:
        """All values of a knob without an axis; numbers in their order."""
        options = (self.knob.value, *self.knob.choices)
        return tuple(sorted(options, key=lambda one: (isinstance(one, str), one)))

    @cached_property
    def _numbers(self) -> tuple[int | float, ...]:
        """The same if they are numbers, else nothing."""
        numbers = [one for one in self._options if not isinstance(one, bool | str)]
        return tuple(numbers) if len(numbers) == len(self._options) else ()

    def _coordinates(self, value: Scalar) -> Position:
        if self._axis is not None:
            return (_place(self._axis, value, self.knob),)
        if self._numbers and not isinstance(value, bool | str):
            below = sum(one < value for one in self._numbers)
            return (min(1.0, below / (len(self._numbers) - 1)),)
        if self._numbers:
            return self.coordinates(self.knob.value)
        # As far apart as the ends of an axis.
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


def _place(axis: Axis, value: Scalar, knob: Knob) -> float:
    if isinstance(value, bool | str):  # it was of another kind in another source
        return _place(axis, knob.value, knob)
    return (axis.position(value) - axis.low) / (axis.high - axis.low)


def _moved(axis: Axis, value: float, share: float) -> int | float:
    step = share * (axis.high - axis.low)
    if axis.is_whole and axis.kind != "log" and abs(step) < 1:
        step = math.copysign(1, step)
    return axis.value(axis.position(value) + step)
