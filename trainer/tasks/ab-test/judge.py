"""Simulated visitors of a page with several variants, and what a policy loses among them.

Whether the n-th visitor who is shown a variant converts is drawn beforehand, for each variant on
its own: two policies that show a variant equally often meet the same luck. Regret is counted in
rates and not in what happened to be converted, so that it is exact and never below zero.
"""

from collections.abc import Generator
from random import Random
from typing import Any, TypedDict

from judging import Wrong, random_of

ROUNDS = 300
VISITORS = 20  # of one round, answered for at once: a message costs more than a choice
VARIANTS = (4, 6, 8, 12)  # every run meets all of these equally often
RATE_UNITS = 10_000  # rates are whole numbers of a hundredth of a per cent
BASE_RATES = (500, 2500)  # what the page converts at before anybody changed it
EFFECTS = (60, 140)  # a variant's rate, in per cent of that


class Page(TypedDict):
    """Rates by variant, and as a row of ones and noughts who of its visitors converts."""

    rates: list[int]
    rounds: int
    visitors: int
    luck: list[str]


class Message(TypedDict):
    """What a candidate is told before a round, by variant: how many saw it, and converted."""

    round: int
    rounds: int
    visitors: int
    shown: list[int]
    converted: list[int]


def instance(seed: bytes, split: str, index: int) -> Page:
    """Draw the variants' rates, and for each whether its first, second, … visitor converts."""
    chance = random_of(seed)
    base = chance.randint(*BASE_RATES)
    variants = VARIANTS[index % len(VARIANTS)]
    rates = [base * chance.randint(*EFFECTS) // 100 for _ in range(variants)]
    return {
        "rates": rates,
        "rounds": ROUNDS,
        "visitors": VISITORS,
        "luck": [_luck(chance, rate, ROUNDS * VISITORS) for rate in rates],
    }


def _luck(chance: Random, rate: int, visitors: int) -> str:
    return "".join("1" if chance.randrange(RATE_UNITS) < rate else "0" for _ in range(visitors))


def converse(instance: Page) -> Generator[Message, object, None]:
    """Tell each round what was seen so far, and take the variants of its visitors."""
    shown = [0] * len(instance["rates"])
    converted = [0] * len(shown)
    for number in range(instance["rounds"]):
        reply = yield {
            "round": number,
            "rounds": instance["rounds"],
            "visitors": instance["visitors"],
            "shown": list(shown),
            "converted": list(converted),
        }
        for variant in _variants_of(reply, instance):
            converted[variant] += instance["luck"][variant][shown[variant]] == "1"
            shown[variant] += 1


def _variants_of(reply: object, instance: Page) -> list[int]:
    """Return a reply's variants, each of which exists."""
    if not isinstance(reply, list) or len(reply) != instance["visitors"]:
        raise Wrong(f"a reply must be a list of {instance['visitors']} variants")
    for variant in reply:
        if type(variant) is not int or not 0 <= variant < len(instance["rates"]):
            raise Wrong("a variant must be a whole number from 0, as many as there are variants")
    return reply


def check(instance: Page, transcript: Any) -> dict[str, float]:
    """Return the share of the best variant's conversions that was given away."""
    if type(transcript) is not list or len(transcript) != instance["rounds"]:
        raise Wrong("the conversation did not go through all rounds")
    conversation = converse(instance)
    message: Message | None = next(conversation)
    rates, earned = instance["rates"], 0
    for number, exchange in enumerate(transcript, 1):
        if type(exchange) is not list or len(exchange) != 2 or exchange[0] != message:
            raise Wrong(f"round {number} of the conversation is not what the judge said")
        try:
            message = conversation.send(exchange[1])
        except StopIteration:
            message = None
        earned += sum(rates[variant] for variant in exchange[1])
    possible = max(rates) * instance["rounds"] * instance["visitors"]
    return {"regret": (possible - earned) / possible}
