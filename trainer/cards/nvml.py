"""The interface to NVIDIA's driver: readings of a card, and the detection of a lost card.

A figure that the driver does not provide is None, never an error. The clocks and slowdowns of a
slice are those of its card. A lost card raises `CardLost`; the result of a run on it then says
nothing about the code. Source: NVML's reference, through `nvidia-ml-py`.
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

_XID: Final = "`sudo dmesg | grep -i xid` shows the reason"
_RELOAD: Final = "reboot, or stop all programs that use the card and reload the driver's modules"
# The message about the card, and the fix; `{}` is the card's UUID.
_ENDS: Final = {
    pynvml.NVML_ERROR_GPU_IS_LOST: (
        "has fallen off the bus",
        f"reboot; if it happens again, check its power supply and cooling: {_XID}",
    ),
    pynvml.NVML_ERROR_RESET_REQUIRED: (
        "must be reset",
        f"`sudo nvidia-smi -r -i {{}}`, or reboot: {_XID}",
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "is gone: its driver is not loaded any more",
        "`sudo modprobe nvidia`, or reboot",
    ),
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        "is gone: its driver is not installed any more",
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
# Some calls also return it for "unsupported". It means a lost card only if the call worked before.
_AMBIGUOUS: Final = pynvml.NVML_ERROR_UNKNOWN
_NOWHERE: Final = (pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_GPU_NOT_FOUND)
_PERCENT: Final = 100
_NOBODY = (pynvml.NVML_SUCCESS, pynvml.NVML_ERROR_NOT_FOUND)  # no process used the card since
# Slowdowns for other reasons than the card's own power cap, at which every busy card runs.
_SLOWED: Final = (
    pynvml.nvmlClocksThrottleReasonHwSlowdown
    | pynvml.nvmlClocksThrottleReasonHwThermalSlowdown
    | pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown
    | pynvml.nvmlClocksThrottleReasonSwThermalSlowdown
)


class CardLost(ConfigurationError):  # noqa: N818 -- an event of a card, not an error of a run
    """A lost card or driver, which must be repaired before further runs. No candidate causes it."""

    def __init__(self, uuid: str, what: str, hint: str) -> None:
        super().__init__(f"the card {uuid} {what}", hint)

    @classmethod
    def by(cls, error: pynvml.NVMLError, uuid: str) -> "CardLost":
        """Return the error for a driver's error code."""
        what, hint = _ENDS.get(error.value, (f"does not answer: {error}", f"reboot: {_XID}"))
        return cls(uuid, what, hint.format(uuid))

    @classmethod
    def hung(cls, uuid: str, waited_s: float) -> "CardLost":
        """Return the error for a driver that hangs in a call."""
        return cls(
            uuid, f"hangs: its driver has not answered for {waited_s:.0f} s", f"reboot: {_XID}"
        )

    @classmethod
    def replaced(cls, uuid: str) -> "CardLost":
        """Return the error for a driver whose files on disk differ from the loaded ones."""
        mismatch = pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
        return cls.by(mismatch, uuid)


def query(call: Callable[..., T], *arguments: object) -> T | None:
    """Return the driver's answer, or None on any error."""
    try:
        return call(*arguments)
    except pynvml.NVMLError:
        return None


def is_end(error: pynvml.NVMLError) -> bool:
    """Return True if an error of a driver call means that the card or its driver is gone."""
    return error.value in _ENDS and error.value != _AMBIGUOUS


def is_gone(error: pynvml.NVMLError) -> bool:
    """Return True if an error of a card lookup means that the card or its driver is missing."""
    return error.value in _ENDS or error.value in _NOWHERE


@contextmanager
def initialised() -> Iterator[None]:
    """Open the driver's library for the `with` body. Raises pynvml.NVMLError."""
    pynvml.nvmlInit()
    try:
        yield
    finally:
        query(pynvml.nvmlShutdown)


def is_library_replaced(maps: Path = Path("/proc/self/maps")) -> bool:
    """Return True if an update removed the library that this process has loaded.

    The loaded library and the old driver still work in this process, but no new process can use the
    card.
    """
    lines = maps.read_text(errors="replace").splitlines()
    return any("/libnvidia-ml.so" in line and line.endswith(" (deleted)") for line in lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A card's figures at one moment.

    - `held`: bytes by process (None: unknown number).
    - `shares`: share of the card's time by process, for those that used it since the last reading.
    - `busy`: share of the time in which any process used the card.
    """

    total_bytes: int | None
    used_bytes: int | None
    held: Mapping[int, int | None] | None
    shares: Mapping[int, float] | None
    busy: float | None
    is_slowed: bool | None
    sm_mhz: int | None


class CardReader:
    """Reads the figures of one card, given by UUID. Calls block; make only one at a time.

    Every method raises CardLost if the card or its driver is gone.
    """

    def __init__(self, uuid: str) -> None:
        self.uuid = uuid
        self._is_slice = uuid.startswith("MIG-")
        self._stack = ExitStack()
        self._handle: Any = None
        self._card: Any = None
        self._seen_us = 0
        self._reports_memory = False

    def open(self) -> None:
        with ExitStack() as stack:
            try:
                pynvml.nvmlInit()
                # Not in a generator's `finally`: garbage collection would run it while the driver
                # hangs.
                stack.callback(query, pynvml.nvmlShutdown)
                self._handle = self._card = pynvml.nvmlDeviceGetHandleByUUID(self.uuid)
            except pynvml.NVMLError as error:
                raise CardLost.by(error, self.uuid) from error
            if self._is_slice:
                whole = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle
                self._card = self._query(whole, self._handle)
            self._shares()  # discard the use before now
            self._stack = stack.pop_all()

    def close(self) -> None:
        self._stack.close()

    def read(self) -> Reading:
        before = self._memory()
        held = self._held()
        after = self._memory() or before
        rates = self._query(pynvml.nvmlDeviceGetUtilizationRates, self._handle)
        return Reading(
            total_bytes=None if after is None else after.total,
            # The smaller one, so that memory freed or taken between the calls counts for no one.
            used_bytes=None if before is None or after is None else min(before.used, after.used),
            held=held,
            shares=self._shares(),
            busy=None if rates is None else rates.gpu / _PERCENT,
            is_slowed=self._is_slowed(),
            sm_mhz=self._of_card(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_SM),
        )

    def draws(self) -> bool:
        """Return whether the card drives a display; False if the driver does not say.

        NVML's display mode is not used, since an H100, which has no display, reports it as enabled.
        """
        active = self._of_card(pynvml.nvmlDeviceGetDisplayActive)
        return bool(active == pynvml.NVML_FEATURE_ENABLED)

    def _memory(self) -> Any:
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(self._handle)
        except pynvml.NVMLError as error:
            # This call is the health check: an "unknown error" after it has worked means a loss.
            if is_end(error) or (self._reports_memory and error.value == _AMBIGUOUS):
                raise CardLost.by(error, self.uuid) from error
            return None
        self._reports_memory = True
        return memory

    def _held(self) -> dict[int, int | None] | None:
        # Call versions explicitly: drivers before 510 know only the second, and the binding's
        # unversioned function does not raise NVMLError there.
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
        answers = (self._first_answer(versions, self._handle) for versions in kinds)
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
            if one.smUtil <= _PERCENT:  # some drivers report impossible values above 100
                percents[one.pid].append(one.smUtil)
        return {pid: fmean(values) / _PERCENT for pid, values in percents.items()}

    def _is_slowed(self) -> bool | None:
        # Two names of one call; drivers before 535 know only the second.
        names = (
            pynvml.nvmlDeviceGetCurrentClocksEventReasons,
            pynvml.nvmlDeviceGetCurrentClocksThrottleReasons,
        )
        reasons = None if self._card is None else self._first_answer(names, self._card)
        return None if reasons is None else bool(reasons & _SLOWED)

    def _first_answer(self, calls: Iterable[Callable[[Any], T]], handle: Any) -> T | None:
        """Return the answer of the first of these calls that the driver supports."""
        answers = (self._query(call, handle) for call in calls)
        return next((found for found in answers if found is not None), None)

    def _of_card(self, call: Callable[..., T], *arguments: object) -> T | None:
        return None if self._card is None else self._query(call, self._card, *arguments)

    def _query(self, call: Callable[..., T], *arguments: object) -> T | None:
        """Return the driver's answer, or None on an error. Raises CardLost if the card is gone."""
        try:
            return call(*arguments)
        except pynvml.NVMLError as error:
            if is_end(error):
                raise CardLost.by(error, self.uuid) from error
            return None
