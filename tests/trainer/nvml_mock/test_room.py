"""The card with the least free memory of its class is tested, so the size fits all of them."""

from dataclasses import replace

import pynvml

from tests.trainer.nvml_mock.conftest import Child
from tests.trainer.nvml_mock.machine import MIB, Machine, uuid_of
from tests.trainer.nvml_mock.profiles import A100_SLICES, RTX4090
from trainer.card_selftest.machine import devices_to_test
from trainer.card_selftest.sizing import Room, room_of
from trainer.cards.cards import probe_cards


def selftest_output() -> list[str]:
    """Return the UUIDs of the cards that would be tested."""
    return [str(device.cuda) for device, _ in devices_to_test(probe_cards())]


def rooms() -> list[Room]:
    return [room_of(card) for card in probe_cards().cards]


def test_the_card_with_the_least_room_proves(child: Child, machine: Machine) -> None:
    machine.has(RTX4090, RTX4090, RTX4090)
    machine.answers("nvmlDeviceGetMemoryInfo", f"{24564 * MIB} {2000 * MIB}", place="1")
    assert child(selftest_output) == [uuid_of(1)]
    machine.has(RTX4090, replace(RTX4090, draws=True), RTX4090)
    assert child(selftest_output) == [uuid_of(1)]


def test_a_lost_card_leaves_it_to_another(child: Child, machine: Machine) -> None:
    machine.has(RTX4090, RTX4090)
    machine.answers("nvmlDeviceGetMemoryInfo", f"{24564 * MIB} {2000 * MIB}", place="0")
    machine.fails("nvmlDeviceGetHandleByUUID", pynvml.NVML_ERROR_GPU_IS_LOST, place="0")
    assert child(selftest_output) == [uuid_of(1)]
    machine.fails("nvmlDeviceGetHandleByUUID", pynvml.NVML_ERROR_GPU_IS_LOST, place="1")
    assert child(selftest_output) == [uuid_of(0)]  # its fault is reported then


def test_a_slice_has_its_own_room(child: Child, machine: Machine) -> None:
    machine.has(A100_SLICES, replace(RTX4090, draws=True))
    assert child(rooms) == [
        Room(total_bytes=40192 * MIB, free_bytes=(40192 - 30) * MIB),
        Room(total_bytes=9728 * MIB, free_bytes=(9728 - 30) * MIB),
        Room(total_bytes=24564 * MIB, free_bytes=(24564 - 300) * MIB, kept_bytes=512 * MIB),
    ]
