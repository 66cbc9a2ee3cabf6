"""A driver's answers through NVIDIA's binding: cards, readings, and unsupported calls."""

import inspect
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pynvml
import pytest

from protocol.runs import Env
from tests.trainer.nvml import FakeDriver
from tests.trainer.nvml_mock.calls import REFUSALS, probed, read
from tests.trainer.nvml_mock.conftest import Child, child_of
from tests.trainer.nvml_mock.machine import LIBRARY, MIB, Machine, Profile, build, uuid_of
from tests.trainer.nvml_mock.profiles import (
    A100,
    A100_SLICES,
    B200,
    H100,
    L40S,
    LAPTOP,
    LAPTOP_WITH_LIMITS,
    RTX4090,
    T4,
    WSL2,
)
from trainer.cards.cards import GraphicsCard
from trainer.cards.nvml import Reading

ROOT = Path(__file__).parents[3]


def test_the_library_has_what_arnode_calls_and_so_has_the_stand_in(library: Path) -> None:
    """A call to any other function would fail here, or reach NVIDIA's own library there."""
    sources = [
        path.read_text() for room in ("node", "trainer") for path in (ROOT / room).rglob("*.py")
    ]
    called = set(re.findall(r"pynvml\.(nvml(?!Clocks)[A-Z]\w+)", "\n".join(sources)))
    assert called == {name for name in dir(FakeDriver) if name.startswith("nvml")}
    wanted = {"nvmlErrorString", *(symbol_of(name) for name in called)}
    words = ["nm", "-D", "--defined-only", str(library / LIBRARY)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert {line.split()[-1] for line in said.splitlines()} == wanted


def symbol_of(name: str) -> str:
    """Return the library's name of a function of the binding."""
    text = inspect.getsource(getattr(pynvml, "nvmlInitWithFlags" if name == "nvmlInit" else name))
    found = re.search(r'_nvmlGetFunctionPointer\("(\w+)"\)', text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("profile", "slug", "family"),
    [
        (A100, "a100-sxm4-80g", "cuda-sm80"),
        (H100, "h100-80g", "cuda-sm90"),
        (B200, "b200-180g", "cuda-sm100"),
        (L40S, "l40s-45g", "cuda-sm89"),
        (T4, "t4-15g", "cuda-sm75"),
        (RTX4090, "rtx4090-24g", "cuda-sm89"),
        (LAPTOP, "rtx3060-laptop-6g", "cuda-sm86"),
        (WSL2, "rtx3070-8g", "cuda-sm86"),
    ],
    ids=lambda one: one.name if isinstance(one, Profile) else "",
)
def test_a_card_is_what_its_driver_says(
    child: Child, machine: Machine, profile: Profile, slug: str, family: str
) -> None:
    machine.has(replace(profile, name="first"), profile)
    (_, card) = child(probed).cards
    power = profile.watts or (None, None)
    reported = {
        "driver": "570.133.20",
        "cuda_driver": "12.8",
        "power_limit_w": power[0],
        "power_default_w": power[1],
        "sm_clock_max_mhz": profile.sm_mhz,
        "mem_clock_max_mhz": profile.memory_mhz,
        "cuda_cores": profile.cores,
    }
    assert card == GraphicsCard(
        uuid=uuid_of(1),
        name=profile.name,
        memory_bytes=(profile.mib or 0) * MIB,
        compute_capability=profile.capability,
        minor=profile.minor,
        env={name: one for name, one in reported.items() if one is not None},
    )
    assert (card.hardware_class.slug, card.hardware_class.family) == (slug, family)
    assert Env.from_value(dict(card.env)) == Env.of(card.env)
    if profile.mib is not None:
        assert child(read, card.uuid).total_bytes == profile.mib * MIB


def test_slices_are_devices_next_to_whole_cards(child: Child, machine: Machine) -> None:
    machine.has(A100_SLICES, H100)
    cards = child(probed).cards
    assert [(card.uuid, card.hardware_class.slug) for card in cards] == [
        (uuid_of(0, 0), "a100-80g-mig-3g40g"),
        (uuid_of(0, 1), "a100-80g-mig-1g10g"),  # by its size, since the name does not say it
        (uuid_of(1), "h100-80g"),
    ]
    assert cards[0].env["power_limit_w"] == 400  # its card's
    assert [card.device.instance for card in cards] == [(1, 0), (2, 0), None]
    reading = child(read, uuid_of(0, 0))
    assert (reading.total_bytes, reading.used_bytes) == (40192 * MIB, 30 * MIB)
    assert (reading.shares, reading.busy, reading.sm_mhz) == (None, None, 1410)


def test_a_reading_is_in_bytes_shares_and_mhz(child: Child, machine: Machine) -> None:
    machine.has(RTX4090)
    machine.answers("nvmlDeviceGetMemoryInfo", f"{24564 * MIB} {5_000_000_000}")
    machine.answers("nvmlDeviceGetComputeRunningProcesses_v3", f"4000000:{3 * MIB}")
    machine.answers("nvmlDeviceGetGraphicsRunningProcesses_v3", "900:4294967297 901 902:0")
    shares = "4000000:50 900:20 900:30 901:4294967295"  # an odd driver reports more than 100 %
    machine.answers("nvmlDeviceGetProcessUtilization", shares)
    machine.answers("nvmlDeviceGetUtilizationRates", "87 40")
    machine.answers("nvmlDeviceGetCurrentClocksEventReasons", 0x8000000000000040)
    machine.answers("nvmlDeviceGetClockInfo.sm", 2520)
    assert child(read) == Reading(
        total_bytes=24564 * MIB,
        used_bytes=5_000_000_000,
        held={4_000_000: 3 * MIB, 900: 4_294_967_297, 901: None, 902: 0},
        shares={4_000_000: 0.5, 900: 0.25},
        busy=0.87,
        is_slowed=True,
        sm_mhz=2520,
    )


@pytest.mark.parametrize(
    ("name", "is_new"),
    [
        (LAPTOP_WITH_LIMITS.name, False),
        ("NVIDIA GeForce RTX 2070 with Max-Q Design", False),
        ("NVIDIA GeForce RTX 4070", True),
    ],
)
def test_a_limit_that_changes_by_itself_is_no_new_environment(
    child: Child, machine: Machine, name: str, is_new: bool
) -> None:
    """A laptop's limit follows its battery; a desktop's owner sets it."""
    machine.has(replace(LAPTOP_WITH_LIMITS, name=name))
    before = child(probed)
    machine.answers("nvmlDeviceGetPowerManagementLimit", 35_000)
    machine.answers("nvmlDeviceGetPowerManagementDefaultLimit", 40_000)
    assert (child(probed) != before) is is_new


# Readings that a driver refuses are missing, and all others are there


@pytest.mark.parametrize("error", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize(
    ("function", "missing"),
    [
        ("nvmlSystemGetDriverVersion", "driver"),
        ("nvmlSystemGetCudaDriverVersion_v2", "cuda_driver"),
        ("nvmlDeviceGetPowerManagementLimit", "power_limit_w"),
        ("nvmlDeviceGetPowerManagementDefaultLimit", "power_default_w"),
        ("nvmlDeviceGetMaxClockInfo.sm", "sm_clock_max_mhz"),
        ("nvmlDeviceGetMaxClockInfo.memory", "mem_clock_max_mhz"),
        ("nvmlDeviceGetNumGpuCores", "cuda_cores"),
    ],
)
def test_what_shifts_timings_is_left_out_where_it_is_refused(
    child: Child, machine: Machine, function: str, missing: str, error: int
) -> None:
    machine.has(RTX4090)
    (whole,) = child(probed).cards
    machine.fails(function, error)
    (card,) = child(probed).cards
    assert card == replace(whole, env={n: one for n, one in whole.env.items() if n != missing})
    assert len(card.env) == len(whole.env) - 1


@pytest.mark.parametrize("error", REFUSALS.values(), ids=REFUSALS)
def test_a_card_that_reports_little_of_itself_is_one(
    child: Child, machine: Machine, error: int
) -> None:
    machine.has(A100)
    for name in ("MinorNumber", "CudaComputeCapability", "MigMode", "MemoryInfo"):
        machine.fails(f"nvmlDeviceGet{name}", error)
    (card,) = child(probed).cards
    assert (card.minor, card.compute_capability) == (None, (0, 0))
    assert card.memory_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    machine.has(A100_SLICES)
    machine.fails("nvmlDeviceGetAttributes_v2", error)
    assert [card.mig_profile for card in child(probed).cards] == ["3g.40gb", "unknown"]


@pytest.mark.parametrize("error", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize(
    ("functions", "missing"),
    [
        (["MemoryInfo"], ["total_bytes", "used_bytes"]),
        (["ComputeRunningProcesses_v3"], []),  # graphics processes are still listed
        (["ComputeRunningProcesses_v3", "GraphicsRunningProcesses_v3"], ["held"]),
        (["ProcessUtilization"], ["shares"]),
        (["UtilizationRates"], ["busy"]),
        (["CurrentClocksEventReasons"], []),  # the function's older name works
        (["CurrentClocksEventReasons", "CurrentClocksThrottleReasons"], ["is_slowed"]),
        (["ClockInfo.sm"], ["sm_mhz"]),
    ],
    ids="+".join,
)
def test_a_reading_lacks_what_is_refused(
    child: Child, machine: Machine, functions: list[str], missing: list[str], error: int
) -> None:
    machine.has(RTX4090)
    for function in functions:
        machine.fails(f"nvmlDeviceGet{function}", error)
    reading = child(read)
    assert [name for name in Reading.__slots__ if getattr(reading, name) is None] == missing


OLD = [
    f"nvmlDeviceGet{name}"
    for name in (
        "ComputeRunningProcesses_v3", "GraphicsRunningProcesses_v3", "NumGpuCores",
        "CurrentClocksEventReasons", "Attributes_v2", "ProcessUtilization", "MigMode",
    )
]  # fmt: skip


def test_an_old_driver_has_not_all_functions(machine: Machine, tmp_path: Path) -> None:
    machine.has(replace(RTX4090, watts=None), driver="470.256.02", cuda=11040)
    machine.answers("nvmlDeviceGetComputeRunningProcesses_v2", "4000000:1048576")
    with child_of(build(tmp_path / "old", without=OLD), machine) as child:
        (card,) = child(probed).cards
        assert (card.env["driver"], card.env["cuda_driver"]) == ("470.256.02", "11.4")
        assert "cuda_cores" not in card.env
        reading = child(read)
    assert reading.held == {4_000_000: MIB}
    assert (reading.shares, reading.is_slowed, reading.sm_mhz) == (None, False, 3105)
