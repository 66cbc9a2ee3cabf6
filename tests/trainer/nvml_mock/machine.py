"""Machines for `nvml.c`, which is compiled here and reads the cards from a file.

Answers are in the driver's own units: bytes, milliwatts, MHz, 12080 for CUDA 12.8.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

MIB = 1 << 20
DRIVER, CUDA = "570.133.20", 12080
LIBRARY = "libnvidia-ml.so.1"
THERE = "there"  # of calls that answer with a handle, or with nothing


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A card as its driver reports it; None means not supported.

    `watts`: the current limit, the default, and the range. `slices`: name, MiB and share in
    sevenths of each; None if the card cannot be divided.
    """

    name: str
    mib: int | None
    capability: tuple[int, int]
    watts: tuple[int, int, int, int] | None
    sm_mhz: int | None
    memory_mhz: int | None
    cores: int | None
    minor: int | None = 0
    slices: Sequence[tuple[str, int, int]] | None = None
    is_divided: bool = False
    draws: bool = False

    def answers(self, card: int) -> dict[tuple[str, str], str]:
        """Return the answers by function and argument."""
        power = self.watts or (None,) * 4
        limits = None if self.watts is None else f"{_milli(power[2])} {_milli(power[3])}"
        reported = {
            "GetHandleByIndex_v2": THERE,
            "GetHandleByUUID": THERE,
            "GetUUID": uuid_of(card),
            "GetName": self.name,
            "GetMemoryInfo": None if self.mib is None else f"{self.mib * MIB} {300 * MIB}",
            "GetCudaComputeCapability": "{} {}".format(*self.capability),
            "GetMinorNumber": self.minor,
            "GetDisplayActive": int(self.draws),
            "GetNumGpuCores": self.cores,
            "GetMaxClockInfo.sm": self.sm_mhz,
            "GetMaxClockInfo.memory": self.memory_mhz,
            "GetPowerManagementLimit": _milli(power[0]),
            "GetPowerManagementDefaultLimit": _milli(power[1]),
            "GetPowerManagementLimitConstraints": limits,
            "SetPowerManagementLimit": None if limits is None else THERE,
            "GetMigMode": None if self.slices is None else "{0} {0}".format(int(self.is_divided)),
            "GetMaxMigDeviceCount": None if self.slices is None else 7,
            "GetComputeRunningProcesses_v3": "",
            "GetGraphicsRunningProcesses_v3": "",
            "GetProcessUtilization": "",
            "GetUtilizationRates": "0 0",
            "GetCurrentClocksEventReasons": 1,
            "GetCurrentClocksThrottleReasons": 1,
            "GetClockInfo.sm": self.sm_mhz,
        }
        whole = {(name, str(card)): str(one) for name, one in reported.items() if one is not None}
        for number, (name, mib, sevenths) in enumerate(self.slices or ()):
            reported = {
                "GetMigDeviceHandleByIndex": THERE,
                "GetHandleByUUID": THERE,
                "GetDeviceHandleFromMigDeviceHandle": THERE,
                "GetUUID": uuid_of(card, number),
                "GetName": name,
                "GetGpuInstanceId": str(number + 1),
                "GetComputeInstanceId": "0",
                "GetMemoryInfo": f"{mib * MIB} {30 * MIB}",
                "GetAttributes_v2": f"{sevenths} {mib}",
                "GetComputeRunningProcesses_v3": "",
                "GetGraphicsRunningProcesses_v3": "",
            }
            whole |= {(one, f"{card}.{number}"): answer for one, answer in reported.items()}
        return {(f"nvmlDevice{name}", place): one for (name, place), one in whole.items()}


def uuid_of(card: int, part: int | None = None) -> str:
    """Return the UUID of a card, or of a slice of it."""
    kind, last = ("GPU", card) if part is None else ("MIG", 16 * card + part)
    return f"{kind}-5dd8eb1e-0000-4000-8000-{last:012x}"


def build(folder: Path, *, without: Sequence[str] = ()) -> Path:
    """Compile the library in a folder, without some functions, like an old driver."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc, which compiles the mock of NVIDIA's library")
    folder.mkdir()
    versions = folder / "versions"
    hidden = "".join(f"{name}; " for name in without)
    versions.write_text(f"{{ global: nvml*; local: {hidden}*; }};\n")
    source, library = Path(__file__).with_name("nvml.c"), folder / LIBRARY
    words = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", f"-Wl,-soname,{LIBRARY}"]
    words += [f"-Wl,--version-script={versions}", "-o", str(library), str(source)]
    subprocess.run(words, check=True)
    return folder


class Machine:
    """The file that the library reads at each call; appended lines apply from the next call on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.has()

    def has(self, *cards: Profile, driver: str = DRIVER, cuda: int | None = CUDA) -> None:
        """Set these cards, idle and without failures."""
        reported = {
            ("nvmlSystemGetDriverVersion", "-"): driver,
            ("nvmlDeviceGetCount_v2", "-"): len(cards),
        }
        if cuda is not None:
            reported["nvmlSystemGetCudaDriverVersion_v2", "-"] = cuda
        for number, card in enumerate(cards):
            reported |= card.answers(number)
        self.path.write_text(
            "".join(f"{name} {place} {one}\n" for (name, place), one in reported.items())
        )

    def answers(self, function: str, answer: object, place: str = "0") -> None:
        """Return this answer from now on."""
        with self.path.open("a") as file:
            file.write(f"{function} {place} {answer}\n")

    def fails(self, function: str, error: int, place: str = "*") -> None:
        """Return an error from now on; `*` stands for every function, or every card."""
        self.answers(function, f"!{error}", place)

    def limit_mw(self, card: int = 0) -> int:
        """Return the current power limit."""
        reported = f"nvmlDeviceGetPowerManagementLimit {card} "
        lines = [line for line in self.path.read_text().splitlines() if line.startswith(reported)]
        return int(lines[-1].removeprefix(reported))

    def environment(self, library: Path) -> dict[str, str]:
        """Return the environment in which a process finds the library and this machine."""
        before = os.environ.get("LD_LIBRARY_PATH")
        return {
            "LD_LIBRARY_PATH": f"{library}:{before}" if before else str(library),
            "NVML_MOCK": str(self.path),
        }


def _milli(watts: int | None) -> int | None:
    return None if watts is None else 1_000 * watts
