"""Questions are asked again as long as that may help, with growing waits, and charged in full."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent.completion import (
    ChatMessage,
    CompletionFault,
    CompletionRequest,
    FaultKind,
    ModelCompletion,
    ModelCost,
)
from node.proposing.retrying import Ladder, persistent

QUESTION = CompletionRequest(
    messages=(ChatMessage(role="user", content="?"),), max_tokens=1, timeout_s=1.0
)
COST = ModelCost(calls=1, tokens_in=3, tokens_out=2, usd_nano=10)
ANSWER = ModelCompletion(text="yes", is_cut=False, cost=COST)


def fault(kind: FaultKind, retry_s: float | None = None, tokens: int = 0) -> CompletionFault:
    return CompletionFault(
        kind=kind,
        detail="",
        retry_s=retry_s,
        cost=ModelCost(calls=1, tokens_in=tokens, tokens_out=tokens, usd_nano=tokens),
    )


def asked(
    outcomes: Sequence[ModelCompletion | CompletionFault], ladder: Ladder | None = None
) -> tuple[ModelCompletion | CompletionFault, list[float], int]:
    """Return the result of a question, the waits between its tries, and the unused tries."""
    waits: list[float] = []
    left = list(outcomes)

    async def complete(_: CompletionRequest) -> ModelCompletion | CompletionFault:
        return left.pop(0)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    ask = persistent(complete, sleep=sleep, chance=random.Random(1), ladder=ladder)
    return asyncio.run(ask(QUESTION)), waits, len(left)  # type: ignore[arg-type]


def test_an_answer_is_given_back_as_it_is() -> None:
    assert asked([ANSWER]) == (ANSWER, [], 0)


@pytest.mark.parametrize(
    ("kind", "tries"),
    [("rate_limited", 5), ("server", 4), ("unreachable", 4), ("timeout", 2), ("worker", 3)],
)
def test_what_may_pass_is_tried_a_few_times(kind: FaultKind, tries: int) -> None:
    outcome, waits, left = asked([fault(kind)] * 9)
    expected = replace(fault(kind), cost=ModelCost(calls=tries))
    assert (outcome, len(waits), left) == (expected, tries - 1, 9 - tries)


@pytest.mark.parametrize(
    "kind", ["unauthorized", "unknown_model", "over_budget", "overflow", "garbage", "empty"]
)
def test_what_cannot_help_is_never_tried(kind: FaultKind) -> None:
    assert asked([fault(kind), ANSWER]) == (fault(kind), [], 1)


def test_waits_double_up_to_a_cap_and_half_of_each_is_chance() -> None:
    ladder = Ladder(first_s=2, longest_s=10, again={"server": 20})
    _, waits, _ = asked([fault("server")] * 30, ladder)
    usual = [2, 4, 8, *[10] * 17]
    assert len(waits) == len(usual)
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, usual, strict=True))
    assert len(set(waits)) == len(waits)


def test_the_same_chance_gives_the_same_waits() -> None:
    assert asked([fault("server")] * 9) == asked([fault("server")] * 9)


def test_it_is_never_earlier_than_the_other_end_asked_for() -> None:
    _, waits, _ = asked([fault("rate_limited", retry_s=30.0), ANSWER])
    assert 31.0 <= waits[0] <= 32.0


def test_who_asks_for_too_long_a_wait_is_not_waited_for() -> None:
    late = fault("rate_limited", retry_s=3600.0)
    assert asked([late, ANSWER]) == (late, [], 1)


def test_the_figures_of_all_tries_are_added_up() -> None:
    outcome, _, _ = asked([fault("timeout", tokens=100), ANSWER])
    assert outcome == replace(
        ANSWER, cost=ModelCost(calls=2, tokens_in=103, tokens_out=102, usd_nano=110)
    )
    refused = replace(fault("over_budget"), cost=ModelCost())
    outcome, _, _ = asked([fault("timeout", tokens=100), refused])
    assert outcome.cost.calls == 1
    assert (outcome.cost.tokens_in, outcome.cost.usd_nano) == (100, 100)
    assert isinstance(outcome, CompletionFault)
    assert outcome.kind == "over_budget"


def test_what_ended_the_question_before_ends_the_next_one_at_once() -> None:
    away, busy = fault("unreachable"), fault("server")
    left = [*[away] * 5, busy, away, ANSWER, away, ANSWER]
    waits: list[float] = []

    async def complete(_: CompletionRequest) -> ModelCompletion | CompletionFault:
        return left.pop(0)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def ask_often() -> list[tuple[ModelCompletion | CompletionFault, int]]:
        ask = persistent(complete, sleep=sleep, chance=random.Random(1))
        said = []
        for _ in range(5):
            waits.clear()
            said.append((await ask(QUESTION), len(waits)))
        return said

    often = [replace(away, cost=ModelCost(calls=number)) for number in (4, 1, 2)]
    again = replace(ANSWER, cost=replace(COST, calls=2))
    ends = [(often[0], 3), (often[1], 0), (often[2], 1), (ANSWER, 0), (again, 1)]
    assert asyncio.run(ask_often()) == ends
