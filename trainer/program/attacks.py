"""The table of attacks on a judge: dishonest answers made from an honest one.

A forgery works for any task. It takes the baseline's answer, its answers to other instances, and
scores that a cheating candidate would claim. It yields answers that no honest program gives. The
table also rates how serious it is if the judge accepts them. `trainer.program.attacking` adds two
attacks that need more than a table: tolerances and transcripts.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from trainer.measuring.checks import Level
from trainer.program.answers import (
    MOST_KEYS,
    Raw,
    all_and_last,
    halved,
    joined,
    lists_in,
    with_numbers,
)

Scope: TypeAlias = Literal["part", "last", "whole"]

_LARGE: Final = (1e308, -1e308, 10**400, -(10**400))  # the last two overflow a float
_BAD: Final = (math.nan, math.inf, -math.inf)
_LARGE_BYTES: Final = 1_000_000
_RAW_DEPTH, _VALUE_DEPTH = 100_000, 60  # above the decoder's limit, and just below it


@dataclass(frozen=True, slots=True, kw_only=True)
class Honest:
    """The baseline's answer to an instance.

    `others` are its answers to other instances of the same run, `earlier` are those of an earlier
    run. `claims` are scores that a cheating candidate would claim. `data` is the answer's bytes.
    """

    value: Any
    data: bytes
    metric: str
    claims: tuple[float, ...] = ()
    others: tuple[Any, ...] = ()
    earlier: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgery:
    """A method of making dishonest answers.

    `better` and `as_good` are the levels to report if the judge scores such an answer better than
    the honest one, or as good. With `on_all` they apply only if that happens on every instance,
    because on some it may be luck.
    """

    what: str
    make: Callable[[Honest], Iterator[Any]]
    better: Level = "fault"
    as_good: Level = "fault"
    on_all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A kind of attack: its forgeries, and how a judge resists them.

    If an answer is a list of replies, `scope` says what is forged: each reply, only the last, or
    the whole list.
    """

    name: str
    hint: str
    forgeries: tuple[Forgery, ...]
    scope: Scope = "part"


# Missing


def _empty(honest: Honest) -> Iterator[Any]:
    yield from ([], {}, "", None)
    match honest.value:
        case dict() as table:
            yield {key: _blank(item) for key, item in table.items()}
        case list() as items:
            yield [_blank(item) for item in items]
        case np.ndarray() as array:
            yield array[:0]
    yield Raw(data=b"")


def _blank(value: Any) -> Any:
    match value:
        case list() | tuple() | dict() | str() | bytes():
            return type(value)()
        case np.ndarray():
            return value[:0] if value.ndim else value
    return None


def _half(honest: Honest) -> Iterator[Any]:
    yield halved(honest.value)
    yield Raw(data=honest.data[: len(honest.data) // 2])


def _shortened(honest: Honest) -> Iterator[Any]:
    for items, put in lists_in(honest.value):
        yield put(items[: len(items) // 2])
        yield put(items[:-1])


def _without_key(honest: Honest) -> Iterator[Any]:
    if isinstance(honest.value, dict):
        for key in islice(honest.value, MOST_KEYS):
            yield {name: item for name, item in honest.value.items() if name != key}


# Rearranged, and large


def _twice(honest: Honest) -> Iterator[Any]:
    for items, put in lists_in(honest.value):
        yield put(joined(items, items))
        yield put(joined(items, items[-1:]))
    yield Raw(data=honest.data * 2)


def _reversed(honest: Honest) -> Iterator[Any]:
    for items, put in lists_in(honest.value):
        yield put(items[::-1])


def _large(honest: Honest) -> Iterator[Any]:
    times = max(2, _LARGE_BYTES // max(1, len(honest.data)))
    for items, put in lists_in(honest.value):
        if isinstance(items, np.ndarray):
            yield put(np.concatenate([items] * times))
        else:
            yield put(items * times)
    yield "9" * _LARGE_BYTES
    yield Raw(data=b"9" * _LARGE_BYTES)


def _deep(honest: Honest) -> Iterator[Any]:
    value = honest.value
    for _ in range(_VALUE_DEPTH):
        value = [value]
    yield value
    yield Raw(data=b"[" * _RAW_DEPTH + b"]" * _RAW_DEPTH)
    yield Raw(data=b"\x91" * _RAW_DEPTH)  # nested lists in msgpack


# Numbers, and other types


def _always(value: Any) -> Callable[[Any], Any]:
    return lambda _number: value


def _not_finite(honest: Honest) -> Iterator[Any]:
    for bad in (*_BAD, *map(str, _BAD)):
        yield from all_and_last(honest.value, _always(bad))


def _overflowing(honest: Honest) -> Iterator[Any]:
    for large in _LARGE:
        yield from all_and_last(honest.value, _always(large))


def _negative_or_half(honest: Honest) -> Iterator[Any]:
    yield from all_and_last(honest.value, lambda number: -number)
    yield from all_and_last(
        honest.value, lambda number: number + 0.5 if isinstance(number, int) else number
    )


def _bool(honest: Honest) -> Iterator[Any]:
    def as_bool(number: Any) -> Any:
        return bool(number) if number in (0, 1) else number

    yield with_numbers(honest.value, lambda _at, number: as_bool(number))
    yield from all_and_last(honest.value, _always(True))


def _text(honest: Honest) -> Iterator[Any]:
    yield from all_and_last(honest.value, str)
    yield from all_and_last(honest.value, lambda number: f" {number}_0 ")


def _other_types(honest: Honest) -> Iterator[Any]:
    value = honest.value
    yield [value]
    if isinstance(value, dict):
        yield list(value.values())
    for items, put in lists_in(value):
        yield put({str(index): item for index, item in enumerate(items)})
    yield from all_and_last(value, lambda number: [number])
    yield from all_and_last(value, lambda number: {"value": number})
    yield from all_and_last(value, _always(None))
    if isinstance(value, list | dict):
        yield json.dumps(value, default=str)


# Claims


def _claim(honest: Honest) -> Iterator[Any]:
    for claim in honest.claims:
        yield _claims(honest.metric, claim)
        yield f"{honest.metric}: {claim!r}"
        yield Raw(data=f"{honest.metric} {claim!r}\nscore: {claim!r}\nAccepted\n".encode())
    yield from ("correct", "Accepted", {"status": "ok", "valid": True}, True)


def _additional_claim(honest: Honest) -> Iterator[Any]:
    for claim in honest.claims:
        if isinstance(honest.value, dict):
            yield {**honest.value, **_claims(honest.metric, claim)}
        elif isinstance(honest.value, list):
            yield [*honest.value, _claims(honest.metric, claim)]
        yield {"answer": honest.value, **_claims(honest.metric, claim)}


def _claims(metric: str, claim: float) -> dict[str, Any]:
    return {metric: claim, "score": claim, "combined_score": claim, "valid": True, "verdict": "ok"}


# A judge that reads text has to convert it, so this is not tried on text.
AS_TEXT: Final = Forgery(what="numbers as text", make=_text)
OF_ANOTHER: Final = Forgery(
    what="the answer to another instance", make=lambda honest: iter(honest.others), on_all=True
)

ATTACKS: Final[Sequence[Attack]] = (
    Attack(
        name="missing",
        hint="first compare the number of items in the answer with the instance's; raise Wrong for "
        "an empty answer",
        forgeries=(
            Forgery(what="an empty answer", make=_empty),
            Forgery(what="half an answer", make=_half, on_all=True),
            Forgery(
                what="an answer with a truncated list",
                make=_shortened,
                better="note",
                as_good="note",
                on_all=True,
            ),
            Forgery(
                what="an answer with a key missing",
                make=_without_key,
                better="note",
                as_good="note",
            ),
        ),
    ),
    Attack(
        name="another's",
        hint="check each answer against its own instance, and compute the score from both",
        forgeries=(
            OF_ANOTHER,
            Forgery(
                what="an earlier run's answer",
                make=lambda honest: iter(honest.earlier),
                on_all=True,
            ),
        ),
        scope="whole",
    ),
    Attack(
        name="numbers",
        hint="check the range of each number before using it, and write comparisons so that "
        "NaN fails them (`if not error <= limit`)",
        forgeries=(
            Forgery(what="NaN or infinity in place of numbers, also as text", make=_not_finite),
            Forgery(what="numbers that overflow", make=_overflowing, as_good="note"),
            Forgery(
                what="numbers with the opposite sign, or fractions in place of whole numbers",
                make=_negative_or_half,
                better="note",
                as_good="note",
            ),
        ),
    ),
    Attack(
        name="types",
        hint="check each value's exact type (`type(number) is int`, because isinstance accepts "
        "True as an int), and convert nothing",
        forgeries=(
            Forgery(what="true and false in place of numbers", make=_bool),
            AS_TEXT,
            Forgery(
                what="values of other types, such as tables in place of lists",
                make=_other_types,
                as_good="note",
            ),
        ),
    ),
    Attack(
        name="claim",
        hint="compute the score from the answer, and ignore any score that it claims",
        forgeries=(
            Forgery(what="nothing but a claimed score", make=_claim),
            Forgery(
                what="an answer that also claims a score",
                make=_additional_claim,
                as_good="ok",
            ),
        ),
    ),
    Attack(
        name="rearranged",
        hint="count no item twice, and decide whether the order should matter",
        forgeries=(
            Forgery(what="an answer with repeated items", make=_twice, as_good="note", on_all=True),
            Forgery(what="an answer in reverse order", make=_reversed, better="note", as_good="ok"),
        ),
    ),
    Attack(
        name="large",
        hint="compare the answer's size with the instance's before parsing it",
        forgeries=(
            Forgery(what="an answer of a million bytes", make=_large, as_good="note"),
            Forgery(what="deeply nested lists", make=_deep),
        ),
        scope="last",
    ),
)
