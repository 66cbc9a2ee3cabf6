"""NVIDIA's driver at its edge: what a card does at one moment, and the ends that it can come to.

What the driver has no answer to is None, never an error; a slice's clocks and slowdowns are those
of its card. A card that is gone is `CardLost`: whatever ran on it then says nothing of the code
that ran. Source: NVML's reference, by way of `nvidia-ml-py`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final, TypeVar

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
_AMBIGUOUS: Final = pynvml.NVML_ERROR_UNKNOWN
_NOWHERE: Final = (pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_GPU_NOT_FOUND)
_PERCENT: Final = 100
_NOBODY = (pynvml.NVML_SUCCESS, pynvml.NVML_ERROR_NOT_FOUND)  # nobody used the card since
# Slowed down from outside the card's own budget of power, which every busy card sits at.
_SLOWED: Final = (
    pynvml.nvmlClocksThrottleReasonHwSlowdown
    | pynvml.nvmlClocksThrottleReasonHwThermalSlowdown
    | pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown
    | pynvml.nvmlClocksThrottleReasonSwThermalSlowdown
)


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
    return error.value in _ENDS and error.value != _AMBIGUOUS


def is_gone(error: pynvml.NVMLError) -> bool:
    """Whether an answer to who looks for a card means that it, or its driver, is not there."""
    return error.value in _ENDS or error.value in _NOWHERE


@contextmanager
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A card's figures at one moment.

    `held`: bytes by process (None: not told how many); `shares`: of the card's time, by process
    that used any of it since the last look; `busy`: the share in which anybody did.
    """

    total_bytes: int | None
    used_bytes: int | None
    held: Mapping[int, int | None] | None
    shares: Mapping[int, float] | None
    busy: float | None
    is_slowed: bool | None
    sm_mhz: int | None


class CardReader:
    """Asks for one card by its UUID. Calls block; only one may be under way at a time.

    Every method raises CardLost when the card or its driver is gone.
    """

    def __init__(self, uuid: str) -> None:
        self.uuid = uuid
        self._is_slice = uuid.startswith("MIG-")
        self._stack = ExitStack()
        self._handle: Any = None
        self._card: Any = None
        self._seen_us = 0
        self._tells_memory = False

    def open(self) -> None:
        with ExitStack() as stack:
            try:
                pynvml.nvmlInit()
                # No generator's `finally`: the collector would run it while the driver hangs.
                stack.callback(told, pynvml.nvmlShutdown)
                self._handle = self._card = pynvml.nvmlDeviceGetHandleByUUID(self.uuid)
            except pynvml.NVMLError as error:
                raise CardLost.by(error, self.uuid) from error
            if self._is_slice:
                whole = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle
                self._card = self._told(whole, self._handle)
            self._shares()  # what was before is not of this watch
            self._stack = stack.pop_all()

    def close(self) -> None:
        self._stack.close()

    def read(self) -> Reading:
        before = self._memory()
        held = self._held()
        after = self._memory() or before
        rates = self._told(pynvml.nvmlDeviceGetUtilizationRates, self._handle)
        return Reading(
            total_bytes=None if after is None else after.total,
            # The smaller one: what somebody frees or takes between these calls is then nobody's.
            used_bytes=None if before is None or after is None else min(before.used, after.used),
            held=held,
            shares=self._shares(),
            busy=None if rates is None else rates.gpu / _PERCENT,
            is_slowed=self._is_slowed(),
            sm_mhz=self._of_card(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_SM),
        )

    def draws(self) -> bool:
        """Return whether the card drives a display; False if the driver does not say.

        The display mode does not tell: an H100, which has no display, reports it as enabled.
        """
        active = self._of_card(pynvml.nvmlDeviceGetDisplayActive)
        return bool(active == pynvml.NVML_FEATURE_ENABLED)

    def _memory(self) -> Any:
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(self._handle)
        except pynvml.NVMLError as error:
            # This call is the pulse: an "unknown error" where it had answered before is an end.
            if is_end(error) or (self._tells_memory and error.value == _AMBIGUOUS):
                raise CardLost.by(error, self.uuid) from error
            return None
        self._tells_memory = True
        return memory

    def _held(self) -> dict[int, int | None] | None:
        # By version: drivers before 510 know the second one only, and what the binding has without
        # a version raises no NVMLError then.
        kinds = (
            (
                pynvml.nvmlDeviceGetComputeRunningProcesses_v3,
                pynvml.nvmlDeviceGetComputeRunningProcesses_v2,
            ),
            (
                pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3,
                pynvml.nvmlDeviceGetGraphicsRunningProcesses_v2,
            ),
        )
        answers = (self._first_told(versions, self._handle) for versions in kinds)
        lists = [found for found in answers if found is not None]
        if not lists:
            return None
        return {process.pid: process.usedGpuMemory for found in lists for process in found}

    def _shares(self) -> dict[int, float] | None:
        try:
            found = pynvml.nvmlDeviceGetProcessUtilization(self._handle, self._seen_us)
        except pynvml.NVMLError as error:
            if is_end(error):
                raise CardLost.by(error, self.uuid) from error
            return {} if error.value in _NOBODY else None
        new = [one for one in found if one.timeStamp > self._seen_us]
        self._seen_us = max((one.timeStamp for one in new), default=self._seen_us)
        percents: dict[int, list[int]] = defaultdict(list)
        for one in new:
            if one.smUtil <= _PERCENT:  # some drivers fill in more than there can be
                percents[one.pid].append(one.smUtil)
        return {pid: fmean(values) / _PERCENT for pid, values in percents.items()}

    def _is_slowed(self) -> bool | None:
        # The newer name of one call; drivers before 535 know the older one only.
        names = (
            pynvml.nvmlDeviceGetCurrentClocksEventReasons,
            pynvml.nvmlDeviceGetCurrentClocksThrottleReasons,
        )
        reasons = None if self._card is None else self._first_told(names, self._card)
        return None if reasons is None else bool(reasons & _SLOWED)

    def _first_told(self, calls: Iterable[Callable[[Any], T]], handle: Any) -> T | None:
        """Return what the first of these calls answers that the driver has."""
        answers = (self._told(call, handle) for call in calls)
        return next((found for found in answers if found is not None), None)

    def _of_card(self, call: Callable[..., T], *arguments: object) -> T | None:
        return None if self._card is None else self._told(call, self._card, *arguments)

    def _told(self, call: Callable[..., T], *arguments: object) -> T | None:
        """Return what the driver answers, None where it has no answer but is there."""
        try:
            return call(*arguments)
        except pynvml.NVMLError as error:
            if is_end(error):
                raise CardLost.by(error, self.uuid) from error
            return None
