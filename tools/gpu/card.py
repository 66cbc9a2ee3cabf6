"""The card that is measured, as torch reports it to a separate process.

That process also initialises CUDA before any sandbox does, which loads the driver's parts.
"""

import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from protocol.errors import ArnodeError
from protocol.hardware import cuda_class
from trainer.host.device import Device, processor, software

_ASK: Final = """
import json, torch
card = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
print(json.dumps({
    "name": card.name if card else None,
    "memory_bytes": card.total_memory if card else 0,
    "capability": [card.major, card.minor] if card else None,
    "uuid": f"GPU-{card.uuid}" if hasattr(card, "uuid") else None,
    "torch": torch.__version__,
    "cuda": torch.version.cuda,
}))
"""
_TIMEOUT_S: Final = 180
_DRIVER: Final = Path("/proc/driver/nvidia")

# Dense bf16 with fp32 accumulation, in TFLOP/s, from NVIDIA's data sheets; the first match counts.
_PEAKS: Final = (
    (r"\bB200\b", 2250), (r"\bH200 NVL\b", 835), (r"\bH200\b|\bGH200\b", 989),
    (r"\bH100 NVL\b", 835), (r"\bH100 PCIe\b", 756), (r"\bH100\b", 989), (r"\bH800\b", 989),
    (r"\bA100\b|\bA800\b", 312), (r"\bA40\b", 150), (r"\bA30\b", 165), (r"\bA10G\b", 70),
    (r"\bA10\b", 125), (r"\bA6000\b", 155), (r"\bL40S\b", 362), (r"\bL40\b", 181), (r"\bL4\b", 121),
    (r"\bRTX 6000 Ada\b", 364), (r"\bRTX 5090\b", 209), (r"\bRTX 4090\b(?! Laptop)", 165),
    (r"\bRTX 3090 Ti\b", 80), (r"\bRTX 3090\b", 71),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The first card that torch sees; without a card, only the versions are set."""

    name: str | None
    memory_bytes: int
    capability: tuple[int, int] | None
    uuid: str | None
    torch: str
    cuda: str | None
    driver: str | None

    @property
    def is_card(self) -> bool:
        """True if there is a card."""
        return self.name is not None

    @property
    def memory_gib(self) -> float | None:
        """The card's memory as torch reports it; None without a card."""
        return self.memory_bytes / 2**30 if self.is_card else None

    @property
    def device(self) -> Device:
        """The device for runs: the card, with torch's data only, or the processor."""
        if self.name is None or self.capability is None:
            return processor()
        return Device(
            hardware_class=cuda_class(
                self.name, self.memory_bytes, compute_capability=self.capability
            ),
            environment=software(),
            cuda=self.uuid or "0",  # its number if torch is too old to report the UUID
            minor=_minor(self.uuid),
        )

    @property
    def peak_flops(self) -> float | None:
        """The card's peak FLOP/s; None if the card is not in the table."""
        for pattern, tera in _PEAKS:
            if self.name and re.search(pattern, self.name):
                return tera * 1e12
        return None

    def figures(self) -> dict[str, object]:
        """Return the machine's fields for a document."""
        return {
            "device": "cuda" if self.is_card else "cpu",
            **asdict(self),
            "peak_tflops": None if self.peak_flops is None else self.peak_flops / 1e12,
        }


def probe_machine() -> Machine:
    """Return this machine. Raises ArnodeError if torch does not start."""
    asked = subprocess.run(
        [sys.executable, "-c", _ASK],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if asked.returncode:
        said = asked.stderr.strip().rpartition("\n")[2]
        raise ArnodeError(f"torch does not come up: {said}", "fix its installation")
    properties = json.loads(asked.stdout.splitlines()[-1])
    if properties["capability"] is not None:
        properties["capability"] = tuple(properties["capability"])
    return Machine(driver=_driver(), **properties)


def _driver() -> str | None:
    version = _DRIVER / "version"
    found = re.search(r"\d+\.\d+(\.\d+)?", version.read_text()) if version.exists() else None
    return found[0] if found else None


def _minor(uuid: str | None) -> int | None:
    """Return the number of a card's device file; None if the driver does not report it."""
    for path in _DRIVER.glob("gpus/*/information"):
        text = path.read_text()
        if uuid is not None and uuid in text and (found := re.search(r"Minor:\s*(\d+)", text)):
            return int(found[1])
    return None
