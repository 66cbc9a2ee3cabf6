"""Answers as values of any shape: their numbers, their lists, and copies with other ones in place.

No value is changed: what comes back is a copy, in which all else is as it was.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, TypeAlias

import numpy as np

Path: TypeAlias = tuple[object, ...]

MOST_KEYS: Final = 8


def numbers_in(value: Any, at: Path = ()) -> Iterator[tuple[Path, float]]:
    """Yield the numbers of a value, with where they are."""
    match value:
        case bool():
            return
        case int() | float():
            yield at, value
        case np.ndarray() | np.generic() if value.dtype.kind in "iuf":
            yield from numbers_in(value.tolist(), at)
        case list() | tuple():
            for index, item in enumerate(value):
                yield from numbers_in(item, (*at, index))
        case dict():
            for key, item in value.items():
                yield from numbers_in(item, (*at, key))


def with_numbers(value: Any, change: Callable[[Path, Any], Any], at: Path = ()) -> Any:
    """Return a value with each of its numbers as `change` makes it, given where it is."""
    match value:
        case bool():
            return value
        case int() | float():
            return change(at, value)
        case np.ndarray() | np.generic() if value.dtype.kind in "iuf":
            changed = with_numbers(value.tolist(), change, at)
            try:
                return np.array(changed)
            except (ValueError, OverflowError):  # no array holds these
                return changed
        case list():
            return [with_numbers(item, change, (*at, index)) for index, item in enumerate(value)]
        case tuple():
            return tuple(with_numbers(list(value), change, at))
        case dict():
            return {key: with_numbers(item, change, (*at, key)) for key, item in value.items()}
    return value


def all_and_last(value: Any, change: Callable[[Any], Any]) -> Iterator[Any]:
    """Yield a value with all its numbers changed, then with the last one changed."""
    found = list(numbers_in(value))
    if found:
        last = found[-1][0]
        yield with_numbers(value, lambda _at, number: change(number))
        yield with_numbers(value, lambda at, number: change(number) if at == last else number)


def halved(value: Any) -> Any:
    """Return a value with the first half of each of its lists."""
    match value:
        case list() | str() | bytes():
            return value[: len(value) // 2]
        case np.ndarray() if value.ndim:
            return value[: len(value) // 2]
        case dict():
            return {key: halved(item) for key, item in value.items()}
    return value


def lists_in(value: Any) -> Iterator[tuple[Any, Callable[[Any], Any]]]:
    """Yield a value's lists of some length, with what puts another in their place."""
    if isinstance(value, list):
        if len(value) > 1:
            yield value, lambda other: other
    elif isinstance(value, np.ndarray):
        if value.ndim and len(value) > 1:
            yield value, lambda other: other
    elif isinstance(value, dict):
        for key, item in islice(value.items(), MOST_KEYS):
            for inner, put in lists_in(item):
                yield inner, _within(value, key, put)


def _within(table: dict[Any, Any], key: Any, put: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda other: {**table, key: put(other)}


def joined(one: Any, other: Any) -> Any:
    """Return two lists as one."""
    return np.concatenate([one, other]) if isinstance(one, np.ndarray) else one + other
