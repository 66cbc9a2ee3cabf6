"""A driver of invented machines, in the place of NVIDIA's library: the calls that arnode makes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TypeVar

import pynvml
import pytest

MIB = 1 << 20

N = TypeVar("N", int, float)


@dataclass(frozen=True, kw_only=True)
class FakeSlice:
    """A slice of a card. Its `name` carries the profile, but for older drivers."""

    name: str
    mib: int
    slices: int


@dataclass(frozen=True, kw_only=True)
class FakeCard:
    """A card, as its driver tells of it. None is what it has no answer to."""

    name: str
    mib: int | None
    capability: tuple[int, int] = (8, 9)
    power_w: float | None = 450.0
    power_default_w: float | None = 450.0
    sm_mhz: int | None = 3105
    memory_mhz: int | None = 10501
    cores: int | None = 16384
    is_lost: bool = False
    slices: Sequence[FakeSlice] = ()


@dataclass(kw_only=True)
class FakeDriver:
    """Answers as the library does: with a value, or by raising NVMLError."""

    cards: Sequence[FakeCard] = ()
    fault: int | None = None  # of the start
    driver: str = "570.133.20"
    cuda: int | None = 12080
    open: int = field(default=0, init=False)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the library's place."""
        for name in dir(self):
            if name.startswith("nvml"):
                monkeypatch.setattr(pynvml, name, getattr(self, name))

    def nvmlInit(self) -> None:
        if self.fault is not None:
            raise pynvml.NVMLError(self.fault)
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> bytes:
        return self.driver.encode()  # bytes in older versions of the binding

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        return _told(self.cuda)

    def nvmlDeviceGetCount(self) -> int:
        assert self.open == 1
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

    def nvmlDeviceGetMemoryInfo(self, handle: FakeCard) -> SimpleNamespace:
        return SimpleNamespace(total=_told(handle.mib) * MIB)

    def nvmlDeviceGetCudaComputeCapability(self, handle: FakeCard) -> tuple[int, int]:
        return handle.capability

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

    def nvmlDeviceGetPowerManagementLimit(self, handle: FakeCard) -> int:
        return round(1_000 * _told(handle.power_w))

    def nvmlDeviceGetPowerManagementDefaultLimit(self, handle: FakeCard) -> int:
        return round(1_000 * _told(handle.power_default_w))

    def nvmlDeviceGetMaxClockInfo(self, handle: FakeCard, kind: int) -> int:
        return _told(handle.sm_mhz if kind == pynvml.NVML_CLOCK_SM else handle.memory_mhz)

    def nvmlDeviceGetNumGpuCores(self, handle: FakeCard) -> int:
        return _told(handle.cores)


def _told(value: N | None) -> N:
    if value is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return value
