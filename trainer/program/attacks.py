"""The table of attacks on a judge: what is made of an honest answer to see whether it is believed.

An attack knows nothing of the task: it is given the baseline's answer as a value, others' answers,
and the numbers that a liar would claim, and yields answers that are not the program's own. What it
means that a judge takes one is said beside it. Numbers a hair beyond are in
`trainer.program.hairs`, since what counts there is how the judge's figures go on.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from trainer.measuring.checks import Level
from trainer.program.values import MOST_KEYS, all_and_last, halved, joined, lists_in, with_numbers

Scope: TypeAlias = Literal["part", "last", "whole"]

ANOTHERS: Final = "another's"
AS_TEXT: Final = "text"

_LARGE: Final = (1e308, -1e308, 10**400, -(10**400))  # the last two are no float at all
_BAD: Final = (math.nan, math.inf, -math.inf)
_LARGE_BYTES: Final = 1_000_000
_RAW_DEPTH, _VALUE_DEPTH = 100_000, 60  # beyond what is decoded, and just within


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Bytes that are sent as they are."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Honest:
    """The baseline's answer to an instance.

    `others` are its answers to other instances of the same run, `earlier` those to another run's;
    `claims` are figures of the metric that a liar would tell; `data` the answer's bytes.
    """

    value: Any
    data: bytes
    metric: str
    claims: tuple[float, ...] = ()
    others: tuple[Any, ...] = ()
    earlier: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One of them, by its name.

    `better` and `as_good` say what it is if the judge takes it for better than the honest answer,
    or as good. `on_all`: it is so only if that happens with every instance; luck may do it with
    some. Where replies are answers, `scope` says whether each is attacked, the last, or all of them
    as one list.
    """

    name: str
    what: str
    make: Callable[[Honest], Iterator[Any]]
    mend: str
    better: Level = "fault"
    as_good: Level = "fault"
    on_all: bool = False
    scope: Scope = "part"


def _always(value: Any) -> Callable[[Any], Any]:
    return lambda _number: value


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


def _truncated(honest: Honest) -> Iterator[Any]:
    yield halved(honest.value)
    yield Raw(data=honest.data[: len(honest.data) // 2])


def _shortened(honest: Honest) -> Iterator[Any]:
    for items, put in lists_in(honest.value):
        yield put(items[: len(items) // 2])
        yield put(items[:-1])


def _duplicated(honest: Honest) -> Iterator[Any]:
    for items, put in lists_in(honest.value):
        yield put(joined(items, items))
        yield put(joined(items, items[-1:]))
    yield Raw(data=honest.data * 2)


def _reversed(honest: Honest) -> Iterator[Any]:
    for items, put in lists_in(honest.value):
        yield put(items[::-1])


def _not_finite(honest: Honest) -> Iterator[Any]:
    for bad in (*_BAD, *map(str, _BAD)):
        yield from all_and_last(honest.value, _always(bad))


def _large_numbers(honest: Honest) -> Iterator[Any]:
    for large in _LARGE:
        yield from all_and_last(honest.value, _always(large))


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
    yield Raw(data=b"\x91" * _RAW_DEPTH)  # lists in lists, as msgpack has them


def _bool(honest: Honest) -> Iterator[Any]:
    def as_bool(number: Any) -> Any:
        return bool(number) if number in (0, 1) else number

    yield with_numbers(honest.value, lambda _at, number: as_bool(number))
    yield from all_and_last(honest.value, lambda _number: True)


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
    yield from all_and_last(value, lambda _number: None)
    if isinstance(value, list | dict):
        yield json.dumps(value, default=str)


def _missing(honest: Honest) -> Iterator[Any]:
    if isinstance(honest.value, dict):
        for key in islice(honest.value, MOST_KEYS):
            yield {name: item for name, item in honest.value.items() if name != key}


def _negated(honest: Honest) -> Iterator[Any]:
    yield from all_and_last(honest.value, lambda number: -number)


def _halves(honest: Honest) -> Iterator[Any]:
    yield from all_and_last(
        honest.value, lambda number: number + 0.5 if isinstance(number, int) else number
    )


def _claim(honest: Honest) -> Iterator[Any]:
    for claim in honest.claims:
        yield _claims(honest.metric, claim)
        yield f"{honest.metric}: {claim!r}"
        yield Raw(data=f"{honest.metric} {claim!r}\nscore: {claim!r}\nAccepted\n".encode())
    yield from ("correct", "Accepted", {"status": "ok", "valid": True}, True)


def _claim_beside(honest: Honest) -> Iterator[Any]:
    for claim in honest.claims:
        if isinstance(honest.value, dict):
            yield {**honest.value, **_claims(honest.metric, claim)}
        elif isinstance(honest.value, list):
            yield [*honest.value, _claims(honest.metric, claim)]
        yield {"answer": honest.value, **_claims(honest.metric, claim)}


def _claims(metric: str, claim: float) -> dict[str, Any]:
    return {metric: claim, "score": claim, "combined_score": claim, "valid": True, "verdict": "ok"}


def _others(honest: Honest) -> Iterator[Any]:
    yield from honest.others


def _earlier(honest: Honest) -> Iterator[Any]:
    yield from honest.earlier


ATTACKS: Final[Sequence[Attack]] = (
    Attack(
        name="empty",
        what="an empty answer",
        make=_empty,
        mend="raise Wrong for an answer with nothing in it",
    ),
    Attack(
        name="truncated",
        what="half an answer",
        make=_truncated,
        mend="compare the number of its parts with the instance's, first of all",
        on_all=True,
    ),
    Attack(
        name="shortened",
        what="an answer with a list's end missing",
        make=_shortened,
        mend="compare the number of its parts with the instance's, unless fewer may be right",
        better="note",
        as_good="note",
        on_all=True,
    ),
    Attack(
        name=ANOTHERS,
        what="the answer to another instance",
        make=_others,
        mend="hold each answer against its own instance, and compute the figure from both",
        on_all=True,
        scope="whole",
    ),
    Attack(
        name="yesterday's",
        what="an earlier run's answer",
        make=_earlier,
        mend="hold each answer against its own instance, and compute the figure from both",
        on_all=True,
        scope="whole",
    ),
    Attack(
        name="not finite",
        what="NaN or infinity in place of numbers, also as text",
        make=_not_finite,
        mend="write comparisons so that NaN fails them (`if not error <= limit`), and look at "
        "types before float()",
    ),
    Attack(
        name="large numbers",
        what="numbers that overflow",
        make=_large_numbers,
        mend="bound each number before anything is computed with it",
        as_good="note",
    ),
    Attack(
        name="bool",
        what="true and false in place of numbers",
        make=_bool,
        mend="ask for `type(number) is int`: True is an int to isinstance",
    ),
    Attack(
        name=AS_TEXT,
        what="numbers as text",
        make=_text,
        mend="ask for numbers by their type, and convert nothing",
    ),
    Attack(
        name="types",
        what="tables for lists, lists for numbers, and the like",
        make=_other_types,
        mend="ask for each part by its type, and convert nothing",
        as_good="note",
    ),
    Attack(
        name="missing",
        what="an answer without one of its keys",
        make=_missing,
        mend="ask for each key, unless it may be left out",
        better="note",
        as_good="note",
    ),
    Attack(
        name="claim",
        what="nothing but the claim of a figure",
        make=_claim,
        mend="believe no figure that an answer tells of itself",
    ),
    Attack(
        name="claim beside",
        what="an answer that tells its own figure besides",
        make=_claim_beside,
        mend="believe no figure that an answer tells of itself",
        as_good="ok",
    ),
    Attack(
        name="duplicated",
        what="an answer with parts twice",
        make=_duplicated,
        mend="compare the number of its parts with the instance's, and count none twice",
        as_good="note",
        on_all=True,
    ),
    Attack(
        name="large",
        what="an answer of a million bytes",
        make=_large,
        mend="compare its size with the instance's before looking into it",
        as_good="note",
        scope="last",
    ),
    Attack(
        name="deep",
        what="lists in lists in lists",
        make=_deep,
        mend="ask for each part by its type",
        scope="last",
    ),
    Attack(
        name="halves",
        what="halves in place of whole numbers",
        make=_halves,
        mend="ask for `type(number) is int` where only whole numbers make sense",
        better="note",
        as_good="note",
    ),
    Attack(
        name="negated",
        what="numbers with the other sign",
        make=_negated,
        mend="bound each number from below, if that is no honest answer",
        better="note",
        as_good="note",
    ),
    Attack(
        name="reversed",
        what="an answer back to front",
        make=_reversed,
        mend="see whether the order should matter",
        better="note",
        as_good="ok",
    ),
)
