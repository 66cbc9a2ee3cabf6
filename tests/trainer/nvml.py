"""A driver of invented machines in place of NVIDIA's library, with the calls that arnode makes."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from types import SimpleNamespace
from typing import TypeVar

import pynvml
import pytest

MIB = 1 << 20

N = TypeVar("N", int, float)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class FakeSlice:
    """A slice of a card. Its `name` contains the profile, except with older drivers."""

    name: str
    mib: int
    slices: int


@dataclass(frozen=True, kw_only=True)
class FakeCard:
    """A card as its driver reports it; None is an unsupported value."""

    name: str
    mib: int | None
    capability: tuple[int, int] = (8, 9)
    power_w: float | None = 450.0
    power_default_w: float | None = 450.0
    sm_mhz: int | None = 3105
    memory_mhz: int | None = 10501
    cores: int | None = 16384
    minor: int | None = None
    is_lost: bool = False
    draws: bool = False
    slices: Sequence[FakeSlice] = ()


@dataclass(kw_only=True)
class FakeProcess:
    """A process on a card. `percent` is its share of the card's time since the last call."""

    mib: int | None
    percent: int = 0
    draws: bool = False  # it draws windows and does not compute


@dataclass(kw_only=True)
class FakeLoad:
    """The load of a card. `mib` is memory that no listed process holds."""

    mib: int = 300
    processes: dict[int, FakeProcess] = field(default_factory=dict)
    hidden: dict[int, FakeProcess] = field(default_factory=dict)  # of other containers
    past: dict[int, int] = field(default_factory=dict)  # earlier processes, with their percents
    reasons: int = 0
    sm_mhz: int = 2500

    @property
    def used_mib(self) -> int:
        """The memory in use."""
        everybody = [*self.processes.values(), *self.hidden.values()]
        return self.mib + sum(process.mib or 0 for process in everybody)

    @property
    def percent(self) -> int:
        """The share of time in which any process used the card."""
        everybody = [*self.processes.values(), *self.hidden.values()]
        return min(100, sum(process.percent for process in everybody))


@dataclass(kw_only=True)
class FakeDriver:
    """A driver that answers like the library: with a value, or by raising NVMLError.

    `errors` are the errors of calls, by name. With `hangs`, no call returns until the event is set.
    """

    cards: Sequence[FakeCard] = ()
    fault: int | None = None  # at the start
    driver: str = "570.133.20"
    cuda: int | None = 12080
    load: FakeLoad = field(default_factory=FakeLoad)
    errors: dict[str, int] = field(default_factory=dict)
    hangs: threading.Event | None = None
    is_root: bool = True
    open: int = field(default=0, init=False)
    limits_mw: dict[str, int] = field(default_factory=dict, init=False)  # that were set, by name
    _now_us: int = field(default=1_000_000, init=False)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Replace the library."""
        for name in dir(self):
            if name.startswith("nvml"):
                monkeypatch.setattr(pynvml, name, self._failing(name, getattr(self, name)))

    def fail(self, error: int) -> None:
        """Answer every call about such a card with an error from now on."""
        self.errors |= {name: error for name in dir(self) if name.startswith("nvmlDevice")}

    def without(self, *names: str) -> None:
        """Make all calls with these words in their names unsupported."""
        for name in dir(self):
            if any(word in name for word in names):
                self.errors[name] = pynvml.NVML_ERROR_NOT_SUPPORTED

    def _failing(self, name: str, call: Callable[..., T]) -> Callable[..., T]:
        @wraps(call)
        def answer(*arguments: object) -> T:
            if self.hangs is not None:
                self.hangs.wait()
            if name in self.errors:
                raise pynvml.NVMLError(self.errors[name])
            return call(*arguments)

        return answer

    def nvmlInit(self) -> None:
        if self.fault is not None:
            raise pynvml.NVMLError(self.fault)
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> bytes:
        return self.driver.encode()  # older versions of the binding return bytes

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        return _supported(self.cuda)

    def nvmlDeviceGetCount(self) -> int:
        assert self.open > 0
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeCard:
        if self.cards[index].is_lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return self.cards[index]

    def nvmlDeviceGetUUID(self, handle: FakeCard | FakeSlice) -> str:
        kind = "MIG" if isinstance(handle, FakeSlice) else "GPU"
        return f"{kind}-{handle.name}"

    def nvmlDeviceGetName(self, handle: FakeCard | FakeSlice) -> str:
        return handle.name

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> FakeCard | FakeSlice:
        assert self.open > 0
        for handle in (*self.cards, *(one for card in self.cards for one in card.slices)):
            if self.nvmlDeviceGetUUID(handle) == uuid:
                return handle
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: FakeSlice) -> FakeCard:
        return next(card for card in self.cards if handle in card.slices)

    def nvmlDeviceGetMemoryInfo(self, handle: FakeCard | FakeSlice) -> SimpleNamespace:
        return SimpleNamespace(total=_supported(handle.mib) * MIB, used=self.load.used_mib * MIB)

    def nvmlDeviceGetComputeRunningProcesses_v3(
        self, _: FakeCard | FakeSlice
    ) -> list[SimpleNamespace]:
        return self._listed(draws=False)

    def nvmlDeviceGetGraphicsRunningProcesses_v3(
        self, _: FakeCard | FakeSlice
    ) -> list[SimpleNamespace]:
        return self._listed(draws=True)

    nvmlDeviceGetComputeRunningProcesses_v2 = nvmlDeviceGetComputeRunningProcesses_v3
    nvmlDeviceGetGraphicsRunningProcesses_v2 = nvmlDeviceGetGraphicsRunningProcesses_v3

    def _listed(self, *, draws: bool) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(
                pid=pid, usedGpuMemory=None if process.mib is None else process.mib * MIB
            )
            for pid, process in self.load.processes.items()
            if process.draws == draws
        ]

    def nvmlDeviceGetProcessUtilization(
        self, handle: FakeCard | FakeSlice, since_us: int
    ) -> list[SimpleNamespace]:
        _whole(handle)
        self._now_us += 1_000_000
        assert since_us < self._now_us
        found = [
            SimpleNamespace(pid=pid, timeStamp=self._now_us, smUtil=process.percent)
            for pid, process in self.load.processes.items()
            if process.percent
        ]
        if not since_us:
            found += [
                SimpleNamespace(pid=pid, timeStamp=self._now_us - 1, smUtil=percent)
                for pid, percent in self.load.past.items()
            ]
        if not found:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return found

    def nvmlDeviceGetUtilizationRates(self, handle: FakeCard | FakeSlice) -> SimpleNamespace:
        _whole(handle)
        return SimpleNamespace(gpu=self.load.percent, memory=0)

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: FakeCard | FakeSlice) -> int:
        _whole(handle)
        return self.load.reasons

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: FakeCard | FakeSlice) -> int:
        _whole(handle)
        return self.load.reasons

    def nvmlDeviceGetClockInfo(self, handle: FakeCard | FakeSlice, kind: int) -> int:
        _whole(handle)
        assert kind == pynvml.NVML_CLOCK_SM
        return self.load.sm_mhz

    def nvmlDeviceGetCudaComputeCapability(self, handle: FakeCard) -> tuple[int, int]:
        return handle.capability

    def nvmlDeviceGetMinorNumber(self, handle: FakeCard) -> int:
        return _supported(handle.minor)

    def nvmlDeviceGetMigMode(self, handle: FakeCard) -> list[int]:
        if handle.capability < (8, 0):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [int(bool(handle.slices))] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, _: FakeCard) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: FakeCard, number: int) -> FakeSlice:
        if number >= len(handle.slices):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return handle.slices[number]

    def nvmlDeviceGetAttributes_v2(self, handle: FakeSlice) -> SimpleNamespace:
        return SimpleNamespace(memorySizeMB=handle.mib, gpuInstanceSliceCount=handle.slices)

    def nvmlDeviceGetGpuInstanceId(self, handle: FakeSlice) -> int:
        card = self.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
        return 1 + card.slices.index(handle)

    def nvmlDeviceGetComputeInstanceId(self, _: FakeSlice) -> int:
        return 0

    def nvmlDeviceGetPowerManagementLimit(self, handle: FakeCard | FakeSlice) -> int:
        card = _whole(handle)
        return self.limits_mw.get(card.name, round(1_000 * _supported(card.power_w)))

    def nvmlDeviceGetPowerManagementLimitConstraints(self, handle: FakeCard) -> list[int]:
        return [100_000, round(1_000 * _supported(handle.power_default_w))]

    def nvmlDeviceSetPowerManagementLimit(self, handle: FakeCard, limit_mw: int) -> None:
        if not self.is_root:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
        self.limits_mw[handle.name] = limit_mw

    def nvmlDeviceGetPowerManagementDefaultLimit(self, handle: FakeCard) -> int:
        return round(1_000 * _supported(handle.power_default_w))

    def nvmlDeviceGetMaxClockInfo(self, handle: FakeCard, kind: int) -> int:
        return _supported(handle.sm_mhz if kind == pynvml.NVML_CLOCK_SM else handle.memory_mhz)

    def nvmlDeviceGetDisplayActive(self, handle: FakeCard) -> int:
        return int(handle.draws)

    def nvmlDeviceGetNumGpuCores(self, handle: FakeCard) -> int:
        return _supported(handle.cores)


def _whole(handle: FakeCard | FakeSlice) -> FakeCard:
    """Return a card; a slice of one raises an error, since it has no answer."""
    if isinstance(handle, FakeSlice):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return handle


def _supported(value: N | None) -> N:
    if value is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return value
