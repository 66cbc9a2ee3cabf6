"""Which device this is: its hardware class, and the environment that records carry beside it.

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

CARD: Final = "cuda"  # where a task says what its programs run on


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What runs are measured on: the processor, or the NVIDIA card whose UUID is `cuda`.

    `minor` numbers the card's device file, `instance` a slice's GPU and compute instances, None if
    the driver does not tell. `environment` is what may shift timings or last digits here: columns
    and filters, never keys. `told` is what scripts are told of a card that has proven itself, by
    the kind of task that it did so with.
    """

    hardware_class: HardwareClass
    environment: Mapping[str, str | int] = field(default_factory=dict)
    cuda: str | None = None
    minor: int | None = None
    instance: tuple[int, int] | None = None
    told: Mapping[str, Any] = field(default_factory=dict)

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
    """Return the versions that last digits depend on."""
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
