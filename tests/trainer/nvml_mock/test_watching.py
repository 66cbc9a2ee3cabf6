"""A card watched through NVIDIA's binding, while sandboxes and other programs use it."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pynvml
import pytest

from protocol.runs import CONTENDED, THROTTLED
from tests.trainer.nvml_mock.conftest import Child, child_of
from tests.trainer.nvml_mock.machine import MIB, Machine, Profile, uuid_of
from tests.trainer.nvml_mock.profiles import A100_SLICES, LAPTOP, RTX4090, WSL2
from trainer.cards.load import GROUP, CardReport
from trainer.cards.nvml import CardLost
from trainer.cards.watch import LEAVING_S, CardWatch, watching

LOOKS = 20
OTHER_PID = 4_000_000  # larger than any process id


@contextmanager
def sandbox() -> Iterator[tuple[int, int]]:
    """Start a process in the place of a sandbox's first process; its child is on the card."""
    words = ["sh", "-c", "sleep 60 & echo $!; wait"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as one:
        assert one.stdout is not None
        try:
            yield one.pid, int(one.stdout.readline())
        finally:
            os.killpg(one.pid, signal.SIGKILL)


def busy(machine: Machine, place: str, *processes: tuple[int, int, int]) -> None:
    """Put processes on a card: process id, MiB, percent of its time."""
    held = " ".join(f"{pid}:{mib * MIB}" for pid, mib, _ in processes)
    shares = " ".join(f"{pid}:{percent}" for pid, _, percent in processes)
    used = 300 + sum(mib for _, mib, _ in processes)
    machine.answers("nvmlDeviceGetComputeRunningProcesses_v3", held, place)
    machine.answers("nvmlDeviceGetMemoryInfo", f"{24564 * MIB} {used * MIB}", place)
    if "." not in place:
        machine.answers("nvmlDeviceGetProcessUtilization", shares, place)
        percent = min(100, sum(percent for _, _, percent in processes))
        machine.answers("nvmlDeviceGetUtilizationRates", f"{percent} 0", place)


def run(machine: Machine, others: tuple[int, int] | None, reasons: int, place: str) -> CardReport:
    """Put a run of ours on a card, and optionally others' MiB and percent."""
    return asyncio.run(_run(machine, others, reasons, place))


async def _run(
    machine: Machine, others: tuple[int, int] | None, reasons: int, place: str
) -> CardReport:
    now_s = 0.0
    watch = CardWatch(_uuid(place), clock=lambda: now_s)
    await watch.open()
    for _ in range(GROUP):
        await watch.look()
    await watch.rested()
    with sandbox() as (root, inside):
        now_s += LEAVING_S
        async with watch.around() as window:
            with watch.ours(root):
                others_busy = [] if others is None else [(OTHER_PID, *others)]
                busy(machine, place, (inside, 3000, 90), *others_busy)
                machine.answers("nvmlDeviceGetCurrentClocksEventReasons", reasons)
                for _ in range(LOOKS):
                    now_s += 1
                    await watch.look()
            busy(machine, place)
    await watch.close()
    return window.report


def _uuid(place: str) -> str:
    card, _, part = place.partition(".")
    return uuid_of(int(card), int(part) if part else None)


def test_what_runs_in_a_sandbox_of_ours_is_ours(child: Child, machine: Machine) -> None:
    machine.has(RTX4090)
    report = child(run, machine, None, 0, "0")
    assert report.flags == ()
    assert (report.others_share, report.peak_own_bytes) == (0.0, 3000 * MIB)
    assert (report.peak_bytes, report.others_bytes) == (3300 * MIB, 300 * MIB)


@pytest.mark.parametrize(
    ("place", "others", "flags"),
    [
        ("0", (200, 30), (CONTENDED,)),
        ("0", (4000, 0), ()),  # it holds memory and uses no time
        ("0.0", (4000, 0), (CONTENDED,)),  # on a slice, the driver reports no process's time
        ("0.0", None, ()),
    ],
)
def test_who_comes_meanwhile_makes_a_run_contended(
    child: Child,
    machine: Machine,
    place: str,
    others: tuple[int, int] | None,
    flags: tuple[str, ...],
) -> None:
    machine.has(A100_SLICES if "." in place else RTX4090)
    if "." in place:
        busy(machine, place)
    assert child(run, machine, others, 0, place).flags == flags


@pytest.mark.parametrize(
    ("reasons", "flags"),
    [
        (pynvml.nvmlClocksEventReasonSwPowerCap, ()),
        (pynvml.nvmlClocksEventReasonSwThermalSlowdown, (THROTTLED,)),
        (pynvml.nvmlClocksEventReasonHwThermalSlowdown | 1, (THROTTLED,)),
        (pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown, (THROTTLED,)),
    ],
)
@pytest.mark.parametrize("place", ["0", "0.0"])
def test_heat_and_power_brakes_throttle_a_run(
    child: Child, machine: Machine, reasons: int, flags: tuple[str, ...], place: str
) -> None:
    machine.has(A100_SLICES if "." in place else RTX4090)
    if "." in place:
        busy(machine, place)
    assert child(run, machine, None, reasons, place).flags == flags


@pytest.mark.parametrize("profile", [LAPTOP, WSL2], ids=["laptop", "WSL2"])
def test_a_card_that_reports_little_is_watched(
    child: Child, machine: Machine, profile: Profile
) -> None:
    machine.has(profile)
    for name in ("UtilizationRates", "CurrentClocksEventReasons", "CurrentClocksThrottleReasons"):
        machine.fails(f"nvmlDeviceGet{name}", pynvml.NVML_ERROR_NOT_SUPPORTED)
    assert child(look_twice) == (6144 if profile is LAPTOP else 8192)


def look_twice() -> int:
    """Return the memory in MiB that a watch reports."""

    async def watched() -> int:
        watch = CardWatch(uuid_of(0))
        await watch.open()
        async with watch.around() as window:
            await watch.look()
        await watch.close()
        (size,) = {sample.reading.total_bytes for sample in window.samples}
        return (size or 0) // MIB

    return asyncio.run(watched())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (pynvml.NVML_ERROR_GPU_IS_LOST, "has fallen off the bus"),
        (pynvml.NVML_ERROR_UNKNOWN, "does not answer any more"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "its driver was updated"),
    ],
)
def test_a_card_that_is_lost_in_a_run_takes_the_blame(
    child: Child, machine: Machine, error: int, said: str
) -> None:
    machine.has(RTX4090)
    assert said in child(lose, machine, error)


def lose(machine: Machine, error: int) -> str:
    """Return the error message of a run whose card is lost with this error."""

    async def watched() -> None:
        watch = CardWatch(uuid_of(0))
        await watch.open()
        try:
            async with watch.around():
                machine.fails("*", error, place="0")
                raise RuntimeError("CUDA error: unspecified launch failure")
        finally:
            await watch.close()

    return said_of_loss(watched())


def test_a_driver_that_hangs_keeps_nobody(machine: Machine, library: Path) -> None:
    """Python continues during a call into the library, and a waiting task is released."""
    machine.has(RTX4090)
    with child_of(library, machine) as child:
        assert "hangs: its driver has not answered" in child(hang, machine)


def hang(machine: Machine) -> str:
    """Return the message about a card whose driver does not return from a call."""

    async def watched() -> None:
        async with watching(uuid_of(0), hung_s=0.2) as watch:
            await watch.look()
            machine.answers("nvmlDeviceGetMemoryInfo", "~")
            await watch.look()

    return said_of_loss(watched())


def said_of_loss(work: Coroutine[Any, Any, None]) -> str:
    """Return the message about a lost card, for a run on it."""
    try:
        asyncio.run(work)
    except CardLost as lost:
        return lost.message
    raise AssertionError
