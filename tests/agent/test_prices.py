"""Prices are whole multiples of 1e-9 USD, and never below the actual cost."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.worker.model import price_of, usage_of
from agent.worker.prices import Price, Usage, nano_of, nano_per_token
from protocol.errors import Rejected


@pytest.mark.parametrize(
    ("usd", "nano"),
    [(2.5e-07, 250), (3e-06, 3000), (3.75e-08, 38), (0.0, 0), (1e-12, 1), (5.0, 5 * 10**9)],
)
def test_what_a_list_says_is_rounded_up_from_its_own_digits(usd: float, nano: int) -> None:
    assert nano_of(usd) == nano


@pytest.mark.parametrize(("usd", "nano"), [(0.15, 150), (2.5, 2500), (0.0001, 1), (0, 0)])
def test_a_price_for_a_million_tokens_is_one_for_each(usd: float, nano: int) -> None:
    assert nano_per_token(usd) == nano


@given(st.floats(min_value=0, max_value=1000))
def test_rounding_never_makes_anything_cheaper(usd: float) -> None:
    assert nano_of(usd) >= Decimal(repr(usd)) * 10**9
    assert nano_per_token(usd) >= Decimal(repr(usd)) * 1000


def test_a_question_costs_its_tokens() -> None:
    price = Price(usd_nano_in=250, usd_nano_out=2000)
    assert price.cost_nano(Usage(tokens_in=11, tokens_out=7)) == 11 * 250 + 7 * 2000


def test_beyond_its_step_a_prompt_costs_the_dear_price_with_its_answer() -> None:
    price = Price(usd_nano_in=1, usd_nano_out=10, dear_above=100, dear_nano_in=2, dear_nano_out=15)
    assert price.cost_nano(Usage(tokens_in=100, tokens_out=1)) == 110
    assert price.cost_nano(Usage(tokens_in=101, tokens_out=1)) == 217
    assert Price.from_value(price.to_value()) == price
    assert isinstance(Price.from_value({**price.to_value(), "in": -1}), Rejected)  # type: ignore[dict-item]


def test_a_plain_line_of_the_list_is_its_price() -> None:
    entry = {"input_cost_per_token": 2.5e-07, "output_cost_per_token": 2e-06}
    assert price_of(entry) == Price(
        usd_nano_in=250, usd_nano_out=2000, dear_nano_in=250, dear_nano_out=2000
    )


def test_of_several_steps_the_dearest_counts_from_the_first() -> None:
    entry = {
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 1e-05,
        "input_cost_per_token_above_128k_tokens": 2e-06,
        "output_cost_per_token_above_128k_tokens": 1.5e-05,
        "input_cost_per_token_above_200k_tokens": 4e-06,
        "input_cost_per_token_above_200k_tokens_priority": 9e-06,
    }
    assert price_of(entry) == Price(
        usd_nano_in=1000,
        usd_nano_out=10_000,
        dear_above=128_000,
        dear_nano_in=4000,
        dear_nano_out=15_000,
    )


def test_a_list_of_tiers_is_read_as_steps() -> None:
    many = {"input_cost_per_token": 5e-07, "output_cost_per_token": 4e-06}
    few = {"input_cost_per_token": 2e-07, "output_cost_per_token": 1e-06}
    entry = {
        "tiered_pricing": [{"range": [256000.0, 1e6], **many}, {"range": [0, 256000.0], **few}]
    }
    assert price_of(entry) == Price(
        usd_nano_in=200,
        usd_nano_out=1000,
        dear_above=256_000,
        dear_nano_in=500,
        dear_nano_out=4000,
    )


def test_thoughts_that_cost_more_than_words_set_the_price() -> None:
    entry = {
        "input_cost_per_token": 1e-07,
        "output_cost_per_token": 4e-07,
        "output_cost_per_reasoning_token": 3e-06,
    }
    price = price_of(entry)
    assert price is not None
    assert price.usd_nano_out == 3000


@pytest.mark.parametrize(
    "entry",
    [{}, {"input_cost_per_token": 1e-06}, {"input_cost_per_token": "1", "output_cost_per_token": 1},
     {"input_cost_per_token": 0.5, "output_cost_per_token": 0.5}],
)  # fmt: skip
def test_a_line_without_a_price_that_makes_sense_has_none(entry: dict[str, object]) -> None:
    assert price_of(entry) is None


class Said:
    def __init__(self, tokens_in: object, tokens_out: object, total: object = None) -> None:
        self.prompt_tokens, self.completion_tokens, self.total_tokens = tokens_in, tokens_out, total


def test_thoughts_outside_of_the_answer_are_counted_with_it() -> None:
    assert usage_of(Said(11, 7, 18)) == Usage(tokens_in=11, tokens_out=7)
    assert usage_of(Said(11, 7, 118)) == Usage(tokens_in=11, tokens_out=107)
    assert usage_of(Said(11, 7, 3)) == Usage(tokens_in=11, tokens_out=7)


@pytest.mark.parametrize(
    "said",
    [None, Said(0, 0, 0), Said(0, 5, 5), Said(-1, 5), Said(5, -1), Said("5", 5), Said(True, 5),
     Said(5, None), Said(2 * 10**9, 5), Said(5, 5, 2 * 10**9)],
)  # fmt: skip
def test_what_cannot_be_is_no_word_on_the_cost(said: object) -> None:
    assert usage_of(said) is None
