"""The device that runs are measured on: its hardware class, and the environment shown in records.

Versions come from package metadata: the process that holds the signing key never imports torch.
"""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from protocol.hardware import HardwareClass, cpu_class

CARD: Final = "cuda"  # the value of a task's `device` for programs that run on a card


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """The device that runs are measured on: the processor or an NVIDIA card.

    `cuda` is the card's UUID, None for the processor. `minor` is the number of the card's device
    file. `instance` holds the ids of a MIG slice's GPU instance and compute instance; it is None if
    the driver does not report them. `environment` lists properties that may affect timings or the
    last digits of a score. Results can be filtered by these properties, which are not part of the
    hardware class. `script_settings` are the settings that scripts receive for a card that passed
    its self-test.
    """

    hardware_class: HardwareClass
    environment: Mapping[str, str | int] = field(default_factory=dict)
    cuda: str | None = None
    minor: int | None = None
    instance: tuple[int, int] | None = None
    script_settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        return self.hardware_class.slug


def processor() -> Device:
    return Device(
        hardware_class=cpu_class(platform.machine()),
        environment={
            **software(),
            "cpu": _processor_name()[:64],
            "cores": len(os.sched_getaffinity(0)),
            "threads": 1,
        },
    )


def software() -> dict[str, str | int]:
    """Return the versions that the last digits of a score depend on."""
    return {
        "torch": metadata.version("torch"),
        "numpy": metadata.version("numpy"),
        "python": platform.python_version(),
        "os": platform.system().lower(),
    }


def _processor_name() -> str:
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
