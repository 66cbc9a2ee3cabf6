"""The price of a model's tokens, in whole 1e-9 USD per token; it may be higher for long prompts.

Prices are rounded up to a whole 1e-9 USD per token, so the computed cost is never less than what is
charged. This module does not depend on the provider.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Final

from protocol.codecs import integer
from protocol.fields import Mapped, Named

MAX_TOKENS: Final = 1_000_000_000  # per question; larger figures are ignored
MAX_USD_NANO: Final = 10**6  # per token: a thousand USD for a million tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage(Mapped):
    """The tokens that a question used: of the prompt, and of the answer including reasoning."""

    tokens_in: Annotated[int, integer(0, MAX_TOKENS)]
    tokens_out: Annotated[int, integer(0, MAX_TOKENS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(Mapped):
    """1e-9 USD per token of a prompt (`in`) and of an answer (`out`).

    If a prompt has more than `dear_above` tokens, `dear_nano_in` and `dear_nano_out` are the prices
    of all tokens of the prompt and of its answer.
    """

    usd_nano_in: Annotated[int, integer(0, MAX_USD_NANO), Named("in")]
    usd_nano_out: Annotated[int, integer(0, MAX_USD_NANO), Named("out")]
    dear_above: Annotated[int | None, integer(0, MAX_TOKENS)] = None
    dear_nano_in: Annotated[int, integer(0, MAX_USD_NANO), Named("dear_in")] = 0
    dear_nano_out: Annotated[int, integer(0, MAX_USD_NANO), Named("dear_out")] = 0

    def cost_nano(self, usage: Usage) -> int:
        """Return the cost of a question with this usage, in 1e-9 USD."""
        nano_in, nano_out = self.usd_nano_in, self.usd_nano_out
        if self.dear_above is not None and usage.tokens_in > self.dear_above:
            nano_in, nano_out = self.dear_nano_in, self.dear_nano_out
        return usage.tokens_in * nano_in + usage.tokens_out * nano_out


FREE: Final = Price(usd_nano_in=0, usd_nano_out=0)


def nano_of(usd: float) -> int:
    """Return an amount of USD in 1e-9 USD, rounded up. The float's shortest decimal form counts."""
    # repr: a price list says 2.5e-07, but that float times 1e9 is slightly more than 250.
    scaled = Decimal(repr(usd)) * 10**9
    return int(scaled.to_integral_value(rounding=ROUND_CEILING))


def nano_per_token(usd_per_million: float) -> int:
    """Return a price in USD per million tokens as 1e-9 USD per token, rounded up."""
    scaled = Decimal(repr(usd_per_million)) * 1000
    return int(scaled.to_integral_value(rounding=ROUND_CEILING))
