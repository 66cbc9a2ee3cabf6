"""The self-tests of this machine's cards, and the report on all of them."""

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from trainer.card_selftest.report import Fault, SelfTestReport
from trainer.card_selftest.sizing import room_of
from trainer.card_selftest.steps import CardSelfTest
from trainer.card_selftest.whole_runs import CARD, TOY
from trainer.cards.cards import Cards, GraphicsCard, by_class
from trainer.cards.nvml import CardLost
from trainer.host.device import Device, processor

REPORT: Final = "gpu-report.json"

Wanted = tuple[Device, GraphicsCard | None]


def devices_to_test(found: Cards) -> list[Wanted]:
    """Return one card of each hardware class, in the order in which a node prefers the classes.

    From each class, return the card with the least usable memory, since its result is then valid
    for all cards of the class.
    """
    least = [min(cards, key=_room) if len(cards) > 1 else cards[0] for cards in by_class(found)]
    return [(card.device, card) for card in least]


def _room(card: GraphicsCard) -> float:
    try:
        return room_of(card).usable_bytes
    except CardLost:  # prefer another card of the class
        return math.inf


def on_processor() -> Wanted:
    """Return the processor, to be tested like a card."""
    return processor(), None


def no_driver(found: Cards) -> Fault:
    """Return the fault to report if no card can be tested."""
    return Fault(
        name="no-driver",
        said=found.fault or "NVIDIA's driver is not installed, or it finds no card",
        hint="`nvidia-smi` must list the card",
    )


def run_selftests(
    wanted: Sequence[Wanted], *, say: Callable[[str], None]
) -> list[tuple[SelfTestReport, GraphicsCard | None]]:
    """Test devices one after the other; return their results."""
    return [
        (asyncio.run(selftest_of(device, card, say=say).run()), card) for device, card in wanted
    ]


def selftest_of(
    device: Device,
    card: GraphicsCard | None,
    *,
    say: Callable[[str], None],
    known: Sequence[Fault] = (),
) -> CardSelfTest:
    """Return a device's self-test: at toy scale for the processor, at full scale for a card."""
    scale = TOY if card is None else CARD
    return CardSelfTest(device=device, card=card, say=say, scale=scale, known=tuple(known))


def write_report(results: Sequence[tuple[SelfTestReport, GraphicsCard | None]], path: Path) -> None:
    """Write the report that a user may send: a JSON list with one object per hardware class."""
    documents = [result.document(card) for result, card in results]
    path.write_text(json.dumps(documents, indent=1) + "\n")
