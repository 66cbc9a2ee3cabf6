"""Drivers that are missing or do not start, and lost cards: each error has its own name."""

from ctypes.util import find_library
from dataclasses import replace
from pathlib import Path

import pynvml
import pytest

from tests.trainer.nvml_mock.calls import REFUSALS, lost, probed
from tests.trainer.nvml_mock.conftest import Child, child_of
from tests.trainer.nvml_mock.machine import MIB, Machine, uuid_of
from tests.trainer.nvml_mock.profiles import A100, H100, L40S
from trainer.card_selftest.steps import find_card_faults
from trainer.cards.cards import Cards


def test_a_machine_without_the_library_has_no_card(machine: Machine, tmp_path: Path) -> None:
    if find_library("nvidia-ml"):
        pytest.skip("NVIDIA's driver is installed here")
    with child_of(tmp_path, machine) as child:
        assert child(probed) == Cards()
        assert "not installed" in child(lost)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "NVML/RM version mismatch"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "Driver Not Loaded"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "Insufficient Permissions"),
        (pynvml.NVML_ERROR_UNINITIALIZED, "Uninitialized"),
        (pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH, "Argument version mismatch"),
    ],
)
def test_a_driver_that_does_not_start_is_a_fault(
    child: Child, machine: Machine, error: int, said: str
) -> None:
    machine.has(H100)
    machine.fails("nvmlInitWithFlags", error)
    found = child(probed)
    assert found.cards == ()
    assert f"driver does not answer: {said}" in found.fault.replace("RM has detected an ", "")
    assert child(lost)


@pytest.mark.parametrize("error", REFUSALS.values(), ids=REFUSALS)
def test_cards_that_are_not_reported_are_a_fault(
    child: Child, machine: Machine, error: int
) -> None:
    machine.has(H100)
    machine.fails("nvmlDeviceGetCount_v2", error)
    found = child(probed)
    assert found.cards == ()
    assert "does not report its cards" in str(found.fault)


@pytest.mark.parametrize(
    ("error", "said", "hint"),
    [
        (pynvml.NVML_ERROR_GPU_IS_LOST, "has fallen off the bus", "reboot"),
        (pynvml.NVML_ERROR_RESET_REQUIRED, "must be reset", f"nvidia-smi -r -i {uuid_of(0)}"),
        (pynvml.NVML_ERROR_UNKNOWN, "does not answer any more", "reboot"),
        (pynvml.NVML_ERROR_GPU_NOT_FOUND, "does not answer: Unknown Error", "reboot"),
    ],
)
def test_a_lost_card_is_reported_by_name(
    child: Child, machine: Machine, error: int, said: str, hint: str
) -> None:
    machine.has(H100, L40S)
    whole = child(probed).cards
    machine.fails("*", error, place="0")
    assert child(probed) == Cards(cards=whole[1:])
    reported = child(lost)
    assert reported.startswith(f"the card {uuid_of(0)} {said}")
    assert hint in reported
    assert [fault.name for fault in child(find_card_faults, whole[0])][-1] == "card-lost"


@pytest.mark.parametrize(
    "error",
    [
        pynvml.NVML_ERROR_GPU_IS_LOST,
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_INSUFFICIENT_POWER,
        pynvml.NVML_ERROR_UNKNOWN,
    ],
)
def test_a_machine_whose_every_card_is_lost_does_not_pass_for_one_without(
    child: Child, machine: Machine, error: int
) -> None:
    machine.has(H100)
    machine.fails("*", error, place="0")
    found = child(probed)
    assert found.cards == ()
    assert str(found.fault).startswith("NVIDIA's driver does not report its cards: ")


def test_a_card_that_is_to_be_divided_and_is_not_is_a_fault(child: Child, machine: Machine) -> None:
    machine.has(replace(A100, is_divided=True))
    said = "NVIDIA A100-SXM4-80GB is in MIG mode but has no slice"
    assert child(probed) == Cards(fault=said)


@pytest.mark.parametrize(
    "function",
    [
        "MemoryInfo", "ComputeRunningProcesses_v3", "GraphicsRunningProcesses_v3",
        "ProcessUtilization", "UtilizationRates", "CurrentClocksEventReasons", "ClockInfo.sm",
    ],
)  # fmt: skip
def test_whichever_call_meets_it_a_card_that_goes_while_it_is_read_is_lost(
    child: Child, machine: Machine, function: str
) -> None:
    machine.has(H100)
    machine.fails(f"nvmlDeviceGet{function}", pynvml.NVML_ERROR_GPU_IS_LOST)
    assert "has fallen off the bus" in child(lost)


def test_a_card_that_others_have_is_taken(child: Child, machine: Machine) -> None:
    machine.has(H100)
    (card,) = child(probed).cards
    machine.answers("nvmlDeviceGetMemoryInfo", f"{81559 * MIB} {40 << 30}")
    taken = child(find_card_faults, card)[-1]
    assert (taken.name, taken.said) == ("card-taken", "other programs use 40.0 of 79.6 GiB")
    machine.answers("nvmlDeviceGetMemoryInfo", f"{81559 * MIB} {39 << 30}")
    assert "card-taken" not in [fault.name for fault in child(find_card_faults, card)]
