"""`--max-watts` through NVIDIA's binding: limits are set, kept, and restored."""

import os
import signal
import time
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

import pynvml
import pytest

from node.home.home import Home
from node.running.power import limiting_power
from protocol.errors import ConfigurationError
from tests.trainer.nvml_mock.conftest import Child
from tests.trainer.nvml_mock.machine import Machine, uuid_of
from tests.trainer.nvml_mock.profiles import A100_SLICES, LAPTOP, RTX4090, T4

GET, SET = "nvmlDeviceGetPowerManagementLimit", "nvmlDeviceSetPowerManagementLimit"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def limited(home: Home, machine: Machine, max_watts: int | None) -> list[int]:
    """Return the cards' limits in milliwatts while they are limited to these watts."""
    with limiting_power(home, max_watts):
        return [machine.limit_mw(card) for card in range(2)]


def refused(home: Home, max_watts: int | None) -> str:
    try:
        with limiting_power(home, max_watts):
            raise AssertionError
    except ConfigurationError as fault:
        return f"{fault.message}; {fault.hint}"


@pytest.mark.parametrize("persistence", ["on", "off"])
def test_cards_are_held_to_it_and_have_their_limits_back(
    child: Child, machine: Machine, home: Home, persistence: str
) -> None:
    """With persistence mode off, the driver forgets limits as soon as no process has it open."""
    machine.has(RTX4090, T4)
    machine.answers("persistence", persistence, place="-")
    assert child(limited, home, machine, 250) == [250_000, 70_000]
    assert machine.limit_mw() == {"on": 320_000, "off": 450_000}[persistence]
    assert not home.power.exists()


def hold(home: Home, max_watts: int) -> None:
    """Limit the cards until this process is killed."""
    with limiting_power(home, max_watts):
        signal.pause()


def test_what_a_killed_node_left_is_given_back_by_the_next(
    child: Child, machine: Machine, library: Path, home: Home
) -> None:
    machine.has(RTX4090, T4)
    killed = get_context("spawn").Process(target=hold, args=(home, 250))
    with mock.patch.dict(os.environ, machine.environment(library)):
        killed.start()
    while machine.limit_mw() != 250_000:
        assert killed.is_alive()
        time.sleep(0.01)
    killed.kill()
    killed.join()
    assert (machine.limit_mw(), home.power.exists()) == (250_000, True)
    assert child(limited, home, machine, None) == [320_000, 70_000]
    assert not home.power.exists()


@pytest.mark.parametrize("error", [pynvml.NVML_ERROR_TIMEOUT, pynvml.NVML_ERROR_NO_PERMISSION])
@pytest.mark.parametrize("function", ["nvmlInitWithFlags", "nvmlDeviceGetHandleByUUID", SET])
def test_what_cannot_be_given_back_now_is_not_forgotten(
    child: Child, machine: Machine, home: Home, function: str, error: int
) -> None:
    machine.has(RTX4090)
    home.power.write_text(f'{{"{uuid_of(0)}": [320000, 250000]}}')
    machine.answers(GET, 250_000)
    machine.fails(function, error)
    assert uuid_of(0) in child(refused, home, None)
    assert home.power.exists()


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("nvmlDeviceGetHandleByUUID", pynvml.NVML_ERROR_GPU_IS_LOST),
        ("nvmlDeviceGetHandleByUUID", pynvml.NVML_ERROR_NOT_FOUND),
        ("nvmlInitWithFlags", pynvml.NVML_ERROR_DRIVER_NOT_LOADED),
        (GET, pynvml.NVML_ERROR_GPU_IS_LOST),
    ],
)
def test_a_card_that_is_gone_has_no_limit_to_give_back(
    child: Child, machine: Machine, home: Home, function: str, error: int
) -> None:
    machine.has(RTX4090, T4)
    home.power.write_text(f'{{"{uuid_of(0)}": [320000, 250000]}}')
    machine.fails(function, error)
    child(limited, home, machine, None)
    assert not home.power.exists()


@pytest.mark.parametrize(
    ("cards", "max_watts", "said"),
    [
        ([RTX4090], 5, "limited to 5 W: it accepts limits from 10 to 600 W"),
        ([LAPTOP], 50, "has no power limit that can be set: Not Supported"),
        ([A100_SLICES], 250, "has no power limit that can be set: Not Supported"),
        ([], 250, "needs an NVIDIA card, but this machine has none"),
    ],
    ids=["too low", "laptop", "slices", "none"],
)
def test_what_cannot_be_limited_says_so(
    child: Child, machine: Machine, home: Home, cards: list, max_watts: int, said: str
) -> None:
    machine.has(*cards)
    assert said in child(refused, home, max_watts)
    assert not home.power.exists()


def test_who_is_not_root_is_shown_the_command(child: Child, machine: Machine, home: Home) -> None:
    machine.has(RTX4090)
    machine.fails(SET, pynvml.NVML_ERROR_NO_PERMISSION)
    assert f"`sudo nvidia-smi -i {uuid_of(0)} -pl 250`" in child(refused, home, 250)
    assert machine.limit_mw() == 320_000
