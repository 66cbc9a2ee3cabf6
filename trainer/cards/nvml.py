"""NVIDIA's driver at its edge: calls that it may not support, and the ends that a card can come to.

A call without an answer is None, never an error. A card that is gone is `CardLost`: whatever ran on
it then says nothing of the code that ran. Source: NVML's reference, by way of `nvidia-ml-py`.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import pynvml

from protocol.errors import ConfigurationError

T = TypeVar("T")

_XID: Final = "`sudo dmesg | grep -i xid` says why"
_RELOAD: Final = "reboot, or stop what uses the card and load the driver's modules anew"
# What is said of the card, and the mend; `{}` is its UUID.
_ENDS: Final = {
    pynvml.NVML_ERROR_GPU_IS_LOST: (
        "has fallen off the bus",
        f"reboot; if it comes again, look at its power supply and cooling: {_XID}",
    ),
    pynvml.NVML_ERROR_RESET_REQUIRED: (
        "must be reset",
        f"`sudo nvidia-smi -r -i {{}}`, or reboot: {_XID}",
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "is gone with its driver, which is not loaded any more",
        "`sudo modprobe nvidia`, or reboot",
    ),
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        "is gone with its driver, which is not installed any more",
        "install NVIDIA's driver again, then reboot",
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "cannot be used: its driver was updated and the old one is still loaded",
        _RELOAD,
    ),
    pynvml.NVML_ERROR_UNKNOWN: (
        "does not answer any more",
        f"`sudo nvidia-smi -r -i {{}}`, or reboot: {_XID}",
    ),
}
# Also an answer for "not here" from single calls: it means an end only from one that worked before.
AMBIGUOUS: Final = pynvml.NVML_ERROR_UNKNOWN


class CardLost(ConfigurationError):  # noqa: N818 -- what befell a card, not a run
    """A card or its driver is gone: to be mended first, and never a candidate's doing."""

    def __init__(self, uuid: str, what: str, hint: str) -> None:
        super().__init__(f"the card {uuid} {what}", hint)

    @classmethod
    def by(cls, error: pynvml.NVMLError, uuid: str) -> "CardLost":
        """Return what a driver's answer means for a card."""
        what, hint = _ENDS.get(error.value, (f"cannot be asked: {error}", f"reboot: {_XID}"))
        return cls(uuid, what, hint.format(uuid))

    @classmethod
    def hung(cls, uuid: str, waited_s: float) -> "CardLost":
        """Return what it means that the driver does not come back from a call."""
        return cls(
            uuid, f"hangs: its driver has not answered for {waited_s:.0f} s", f"reboot: {_XID}"
        )

    @classmethod
    def replaced(cls, uuid: str) -> "CardLost":
        """Return what it means that the driver's files are others than the loaded ones."""
        mismatch = pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
        return cls.by(mismatch, uuid)


def told(call: Callable[..., T], *arguments: object) -> T | None:
    """Return what the driver answers, None where it has no answer."""
    try:
        return call(*arguments)
    except pynvml.NVMLError:
        return None


def is_end(error: pynvml.NVMLError) -> bool:
    """Whether an answer means that the card or its driver is gone, whichever call it is to."""
    return error.value in _ENDS and error.value != AMBIGUOUS


@contextlib.contextmanager
def initialised() -> Iterator[None]:
    """Have the driver's library open. Raises pynvml.NVMLError."""
    pynvml.nvmlInit()
    try:
        yield
    finally:
        told(pynvml.nvmlShutdown)


def is_library_replaced(maps: Path = Path("/proc/self/maps")) -> bool:
    """Whether an update removed the library that this process has loaded.

    It goes on answering here, as does the old driver, while no new process can use the card.
    """
    lines = maps.read_text(errors="replace").splitlines()
    return any("/libnvidia-ml.so" in line and line.endswith(" (deleted)") for line in lines)
