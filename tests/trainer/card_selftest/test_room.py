"""Sizes by free memory: the driver is faked, and steps behave as on a card."""

import asyncio
from dataclasses import replace

import pynvml
import pytest

from protocol.source import Source
from tests.trainer.card_selftest.test_card_selftest import ATTENTION, PLAIN, changed
from tests.trainer.nvml import FakeCard, FakeDriver, FakeLoad, FakeProcess
from trainer.card_selftest import steps as steps_module
from trainer.card_selftest.machine import devices_to_test
from trainer.card_selftest.probing import Abilities
from trainer.card_selftest.report import Fault
from trainer.card_selftest.sizing import (
    Paced,
    Room,
    Size,
    Trial,
    find_fitting,
    room_of,
    sizes_of,
    sizes_within,
)
from trainer.card_selftest.steps import CardSelfTest
from trainer.card_selftest.whole_runs import TOY
from trainer.cards.cards import Cards, probe_cards
from trainer.host.capacity import available_bytes
from trainer.host.device import processor

MIB, GIB = 1 << 20, 1 << 30
TABLE = sizes_of(steps_module._SCRIPT.read_bytes())
SMALL = steps_module._TOY
CARD = FakeCard(name="NVIDIA GeForce RTX 4090", mib=24576)
COMPILED = Abilities(attention="varlen", compiles=True, is_pinned=True)


def taken(mib: int) -> FakeLoad:
    return FakeLoad(processes={4_000_000: FakeProcess(mib=mib)})


@pytest.mark.parametrize(
    ("total_gib", "free_gib", "width", "least_gib"),
    [
        (79.6, 79.1, 640, 76),
        (79.6, 60.0, 640, 38),  # a fourth of it is in use by others
        (23.99, 23.5, 512, 20),
        (23.99, 18.1, 512, 20),
        (23.99, 17.9, 384, 13),
        (19.995, 19.6, 384, 13),  # enough free memory, but a size for larger cards is not used
        (12.0, 11.7, 384, 9),
        (8.0, 7.7, 256, 6),
        (6.0, 5.7, 256, 6),
        (6.0, 5.2, 256, 0),  # with a desktop
        (4.0, 3.8, 256, 0),
    ],
)
def test_the_largest_size_that_has_room_now_comes_first(
    total_gib: float, free_gib: float, width: int, least_gib: float
) -> None:
    room = Room(total_bytes=round(total_gib * GIB), free_bytes=round(free_gib * GIB))
    first, *smaller = sizes_within(TABLE, room)
    assert (first.width, first.least_gib) == (width, least_gib)
    assert [*smaller] == TABLE[TABLE.index(first) + 1 :]


def test_what_is_kept_for_a_desktop_is_not_to_be_had() -> None:
    room = Room(total_bytes=24 * GIB, free_bytes=18 * GIB + 512 * MIB, kept_bytes=513 * MIB)
    assert room.usable_bytes == 18 * GIB - MIB
    assert sizes_within(TABLE, room)[0].least_gib == 13
    assert sizes_within(TABLE, replace(room, kept_bytes=512 * MIB))[0].least_gib == 20
    assert Room(total_bytes=GIB, free_bytes=MIB, kept_bytes=2 * MIB).usable_bytes == 0


@pytest.mark.parametrize(("draws", "kept"), [(False, 0), (True, 512 * MIB)])
def test_the_driver_reports_the_room(
    monkeypatch: pytest.MonkeyPatch, draws: bool, kept: int
) -> None:
    driver = FakeDriver(cards=[replace(CARD, draws=draws)], load=taken(1000))
    driver.install(monkeypatch)
    (card,) = probe_cards().cards
    expected = Room(total_bytes=24576 * MIB, free_bytes=(24576 - 1300) * MIB, kept_bytes=kept)
    assert room_of(card) == expected
    driver.errors["nvmlDeviceGetDisplayActive"] = pynvml.NVML_ERROR_NOT_SUPPORTED
    assert room_of(card).kept_bytes == 0
    assert driver.open == 0


def test_a_card_without_memory_of_its_own_has_what_the_machine_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    FakeDriver(cards=[FakeCard(name="NVIDIA GB10", mib=None)]).install(monkeypatch)
    (card,) = probe_cards().cards
    room = room_of(card)
    assert room.total_bytes == card.memory_bytes
    assert room.free_bytes == pytest.approx(available_bytes(), rel=0.5)


# The size step of the self-test


def sized(
    monkeypatch: pytest.MonkeyPatch, driver: FakeDriver, *, needs_gib: dict[int, float]
) -> tuple[Size | None, list[Fault], list[str]]:
    """Let the driver's card find its size; the memory of a step depends on its width and rows."""

    async def paced(trial: Trial, size: Size) -> Paced:
        (card,) = probe_cards().cards
        if size.rows * needs_gib[size.width] * GIB > trial.share * card.memory_bytes:
            return Paced(size=size, why="CUDA out of memory", is_too_large=True)
        return Paced(size=size, tokens_per_s=1000)

    driver.install(monkeypatch)
    monkeypatch.setattr(Trial, "paced", paced)
    (card,) = probe_cards().cards
    said: list[str] = []
    selftest = CardSelfTest(device=card.device, card=card, say=said.append, scale=TOY)
    size = asyncio.run(selftest._step("size", selftest._find_size(COMPILED)))
    return size, [fault for step in selftest._steps for fault in step.faults], said


def test_a_tenth_of_what_is_free_is_spared_and_not_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = {512: 0.6, 384: 0.1, 256: 0.05}  # 19.2 GiB at 32 rows
    size, faults, said = sized(monkeypatch, FakeDriver(cards=[CARD]), needs_gib=needs)
    assert (size, faults) == (TABLE[2], [])
    assert "size: 23.7 of 24.0 GiB are free" in said
    size, faults, said = sized(
        monkeypatch, FakeDriver(cards=[CARD], load=taken(4096)), needs_gib=needs
    )
    assert size == TABLE[2].at_once(16)
    (fault,) = faults
    assert "micro-batch 32x2048 needs more than 74% of the memory" in fault.said


def test_a_desktop_has_memory_kept_free_and_its_owner_is_informed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desktop = FakeDriver(cards=[replace(CARD, draws=True)])
    size, _, said = sized(monkeypatch, desktop, needs_gib={512: 0.663, 384: 0.1, 256: 0.05})
    assert size == TABLE[2].at_once(16)  # 32 rows would fit if no memory were kept free
    (line,) = [line for line in said if "desktop" in line]
    assert "512 MiB are reserved" in line
    assert "`arnode start --when-idle`" in line


def test_where_not_one_row_fits_smaller_sizes_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = {512: 30, 384: 25, 256: 0.1}
    size, faults, _ = sized(monkeypatch, FakeDriver(cards=[CARD]), needs_gib=needs)
    assert size is not None
    assert (size.width, size.sequence, size.rows) == (256, 512, 32)
    assert {fault.name for fault in faults} == {"out-of-memory"}
    assert [fault.instead for fault in faults].count("the next smaller size") == 3
    size, faults, _ = sized(
        monkeypatch, FakeDriver(cards=[CARD]), needs_gib=dict.fromkeys(needs, 30)
    )
    assert (size, faults[-1].name) == (None, "no-size-fits")


def test_a_shape_that_did_not_fit_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has one shape for cards of 40 and of 80 GiB, with different rows at once."""
    large = FakeDriver(cards=[FakeCard(name="NVIDIA H100 80GB HBM3", mib=81559)])
    needs = {640: 100, 512: 0.1, 384: 0.1, 256: 0.1}
    size, faults, _ = sized(monkeypatch, large, needs_gib=needs)
    assert size == TABLE[2]
    assert [fault.said.partition("x2048 needs")[0] for fault in faults] == [
        f"9x640, micro-batch {rows}" for rows in (128, 64, 32, 16, 8, 4, 2, 1)
    ]


@pytest.mark.soak
def test_a_smaller_size_is_what_the_script_takes_with_a_mask_instead_of_flex_attention() -> None:
    """Run it on the processor, with a script that has no memory for three layers.

    Flex attention is not used without compilation.
    """
    raised = f"{ATTENTION}if LAYERS > 2:\n    raise torch.OutOfMemoryError('out of memory')\n"
    reported = 'assert CARD["attention"] == "masked", CARD\n'
    trial = Trial(
        device=processor(),
        source=Source.of({"train.py": changed((ATTENTION, raised + reported))}),
        abilities=replace(PLAIN, attention="flex"),
        vocabulary_size=8192,
        limit_s=60,
    )
    sizes = [SMALL.at_once(1), replace(SMALL, layers=2, rows=2)]
    paced, faults = asyncio.run(find_fitting(trial, sizes))
    assert [fault.instead for fault in faults] == ["the next smaller size"]
    assert paced is not None
    assert paced.why == ""
    assert paced.size == sizes[1].at_once(1)  # half of them without compilation


def test_a_step_of_one_micro_batch_has_enough_tokens() -> None:
    """The largest sizes have all rows of a step in one micro-batch."""
    trial = Trial(
        device=processor(),
        source=Source.of({"train.py": steps_module._SCRIPT.read_bytes()}),
        abilities=PLAIN,
        vocabulary_size=8192,
        limit_s=60,
    )
    size = replace(SMALL, layers=1, rows=SMALL.step_tokens // SMALL.sequence)
    assert asyncio.run(trial.paced(size)).why == ""


# The cards that are tested


def test_each_class_of_cards_is_tested_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [FakeCard(name=f"NVIDIA GeForce RTX {n}", mib=24576) for n in (3090, 4090, 4090)]
    FakeDriver(cards=cards).install(monkeypatch)
    found = devices_to_test(probe_cards())
    assert [device.slug for device, _ in found] == ["rtx4090-24g", "rtx3090-24g"]
    assert devices_to_test(Cards()) == []
