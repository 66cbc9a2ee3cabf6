"""Which device this is: its hardware class, and the environment that records carry beside it.

Versions come from package metadata: the process that holds the signing key never imports torch.
"""

import os
import platform
from importlib import metadata
from pathlib import Path

from protocol.hardware import HardwareClass, cpu_class


def probe_class() -> HardwareClass:
    """Return the hardware class runs are measured on."""
    return cpu_class(platform.machine())


def probe_environment() -> dict[str, str | int]:
    """Return what may shift timings or last digits here: columns and filters, never keys."""
    return {
        "torch": metadata.version("torch"),
        "numpy": metadata.version("numpy"),
        "python": platform.python_version(),
        "os": platform.system().lower(),
        "cpu": _processor_name()[:64],
        "cores": len(os.sched_getaffinity(0)),
        "threads": 1,
    }


def _processor_name() -> str:
    for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
