"""Which device this is: its hardware class, and the environment that records carry beside it.

Versions come from package metadata: the process that holds the signing key never imports torch.
"""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from protocol.errors import ConfigurationError
from protocol.hardware import HardwareClass, cpu_class
from protocol.manifest import TaskManifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What runs are measured on: the processor, or the NVIDIA card whose UUID is `cuda`.

    `minor` numbers the card's device file, None if the driver does not tell. `environment` is what
    may shift timings or last digits here: columns and filters, never keys.
    """

    hardware_class: HardwareClass
    environment: Mapping[str, str | int] = field(default_factory=dict)
    cuda: str | None = None
    minor: int | None = None

    @property
    def slug(self) -> str:
        """The name of its class."""
        return self.hardware_class.slug


def probe_devices(manifest: TaskManifest, gpus: Sequence[str] = ()) -> tuple[Device, ...]:
    """Return the devices that a task's runs are measured on here, all of one class.

    Tokens are counted on the processor, seconds on cards where there are some: those that `gpus`
    names by number, UUID or class, else all of the first one's class. Raises ConfigurationError if
    there are no such cards, or of several classes.
    """
    if manifest.budget.unit == "tokens":
        return (processor(),)
    from trainer.cards import probe_cards

    found = probe_cards()
    devices = [card.device for card in found.cards]
    if not gpus:
        return tuple(one for one in devices if one.slug == devices[0].slug) or (processor(),)
    chosen: dict[str | None, Device] = {}
    for wanted in gpus:
        named = [d for n, d in enumerate(devices) if wanted in (str(n), d.cuda, d.slug)]
        if not named:
            known = ", ".join(f"{number} is {one.slug}" for number, one in enumerate(devices))
            raise ConfigurationError(
                f"there is no NVIDIA card {wanted!r} here",
                known or found.fault or "`arnode doctor` shows what is found",
            )
        chosen |= {one.cuda: one for one in named}
    classes = sorted({one.slug for one in chosen.values()})
    if len(classes) > 1:
        raise ConfigurationError(
            f"cards of several classes: {', '.join(classes)}",
            "start a node for each class, each with an ARNODE_HOME of its own",
        )
    return tuple(chosen.values())


def processor() -> Device:
    """Return the processor as a device."""
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
