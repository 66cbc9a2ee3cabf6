"""What a model's tokens cost: whole 1e-9 USD for each, and more for each of a very long prompt.

Prices are rounded up to a whole 1e-9 USD a token, so that what is reckoned is never less than what
is charged. Knows nothing of who sells them.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Final

from protocol.codecs import integer
from protocol.fields import Mapped, Named

MAX_TOKENS: Final = 1_000_000_000  # of one question; what says more than that says nothing
MAX_USD_NANO: Final = 10**6  # for a token: a thousand USD for a million of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage(Mapped):
    """How many tokens a question took: of the prompt, and of the answer with all thoughts."""

    tokens_in: Annotated[int, integer(0, MAX_TOKENS)]
    tokens_out: Annotated[int, integer(0, MAX_TOKENS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(Mapped):
    """1e-9 USD for a token of a prompt and of an answer.

    A prompt of more than `dear_above` tokens costs, with its answer, the dear price for each.
    """

    usd_nano_in: Annotated[int, integer(0, MAX_USD_NANO), Named("in")]
    usd_nano_out: Annotated[int, integer(0, MAX_USD_NANO), Named("out")]
    dear_above: Annotated[int | None, integer(0, MAX_TOKENS)] = None
    dear_nano_in: Annotated[int, integer(0, MAX_USD_NANO), Named("dear_in")] = 0
    dear_nano_out: Annotated[int, integer(0, MAX_USD_NANO), Named("dear_out")] = 0

    def cost_nano(self, usage: Usage) -> int:
        """Return 1e-9 USD for a question that took so many tokens."""
        nano_in, nano_out = self.usd_nano_in, self.usd_nano_out
        if self.dear_above is not None and usage.tokens_in > self.dear_above:
            nano_in, nano_out = self.dear_nano_in, self.dear_nano_out
        return usage.tokens_in * nano_in + usage.tokens_out * nano_out


FREE: Final = Price(usd_nano_in=0, usd_nano_out=0)


def nano_of(usd: float) -> int:
    """Return an amount of USD in whole 1e-9 USD, rounded up from the decimal that is written."""
    # repr: 2.5e-07 is what a price list says, its product with 1e9 is a little more than 250.
    scaled = Decimal(repr(usd)) * 10**9
    return int(scaled.to_integral_value(rounding=ROUND_CEILING))


def nano_per_token(usd_per_million: float) -> int:
    """Return 1e-9 USD a token, rounded up, of a price in USD for a million tokens."""
    scaled = Decimal(repr(usd_per_million)) * 1000
    return int(scaled.to_integral_value(rounding=ROUND_CEILING))
