"""NVIDIA cards as the driver reports them, and the choice of devices for a task's runs.

Any driver call may be unsupported (slices, laptops, virtual cards, WSL2). This is not an error: the
property is then missing. torch renumbers devices by CUDA_VISIBLE_DEVICES, so cards are identified
by UUID. Source: NVML's reference, through `nvidia-ml-py`.
"""

import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pynvml

from protocol.errors import ConfigurationError
from protocol.hardware import ANY, HardwareClass, cuda_class
from protocol.manifest import TaskManifest
from trainer.cards.nvml import initialised, query
from trainer.host.device import CARD, Device, processor, software

_PROFILE = re.compile(r"\bMIG\s+(\S+)$")
_MILLIWATTS: Final = 1_000
# Words in the names of cards whose power limit changes by itself with load, charger and battery.
_MOBILE: Final = ("Laptop", "Mobile", "Max-Q")
_PHYSICAL_BYTES: Final = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphicsCard:
    """A card or a MIG slice that is a device for CUDA.

    `memory_bytes` is the memory of the whole card. `minor` is the number of its device file.
    `instance` has the numbers of a slice's GPU instance and compute instance. `env` contains
    properties that may affect timings, under their names in records.
    """

    uuid: str
    name: str
    memory_bytes: int
    compute_capability: tuple[int, int]
    mig_profile: str | None = None
    minor: int | None = None
    instance: tuple[int, int] | None = None
    env: dict[str, str | int] = field(default_factory=dict)

    @property
    def hardware_class(self) -> HardwareClass:
        return cuda_class(
            self.name,
            self.memory_bytes,
            compute_capability=self.compute_capability,
            mig_profile=self.mig_profile,
        )

    @property
    def device(self) -> Device:
        """The card as a device for runs."""
        return Device(
            hardware_class=self.hardware_class,
            environment={**software(), **self.env},
            cuda=self.uuid,
            minor=self.minor,
            instance=self.instance,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cards:
    """The cards that the driver reported; `fault` is the reason if it reported none."""

    cards: tuple[GraphicsCard, ...] = ()
    fault: str | None = None

    @property
    def names(self) -> str:
        """The names of the cards on one line; empty without cards."""
        return ", ".join(card.name for card in self.cards)


@functools.cache
def idle_cards(manifest: TaskManifest) -> str:
    """Return a message about the cards that a task leaves idle; empty without such cards."""
    names = "" if is_for_cards(manifest) else probe_cards().names
    return f"idle, as {manifest.name} is measured on the CPU: {names}" if names else ""


def probe_cards() -> Cards:
    """Ask the driver for its cards. A missing driver gives no cards and no fault."""
    try:
        with initialised():
            try:
                cards = tuple(_devices())
                return Cards(cards=cards, fault=None if cards else _why_none())
            except pynvml.NVMLError as error:  # for example, a card has fallen off the bus
                return Cards(fault=f"NVIDIA's driver does not report its cards: {error}")
    except pynvml.NVMLError_LibraryNotFound:
        return Cards()
    except pynvml.NVMLError as error:
        return Cards(fault=f"NVIDIA's driver does not answer: {error}")


def by_class(found: Cards) -> list[tuple[GraphicsCard, ...]]:
    """Return the cards of each hardware class; the class that a node prefers comes first.

    A node prefers the class with the most cards; of classes with equally many, the one with more
    memory.
    """
    classes: dict[str, list[GraphicsCard]] = {}
    for card in found.cards:
        classes.setdefault(card.hardware_class.slug, []).append(card)
    preferred = sorted(classes.values(), key=lambda cards: (-len(cards), -cards[0].memory_bytes))
    return [tuple(cards) for cards in preferred]


def probe_wanted(gpus: Sequence[str]) -> Cards:
    """Return the result of `probe_cards`, with only the cards that a node uses.

    These are the cards that `gpus` names, else the cards of the first class (`by_class`). Raises
    the errors of `chosen_cards`.
    """
    found, chosen = probe_cards(), {one.cuda for one in chosen_cards(gpus)}
    if not gpus:
        return replace(found, cards=next(iter(by_class(found)), ()))
    return replace(found, cards=tuple(card for card in found.cards if card.uuid in chosen))


def probe_devices(manifest: TaskManifest, gpus: Sequence[str] = ()) -> tuple[Device, ...]:
    """Return the devices for a task's runs on this machine, all of one hardware class.

    Tasks with a budget of seconds, and programs that need a card, run on cards if there are any:
    those that `gpus` names, else those of the first class (`by_class`). All other tasks run on the
    processor. The hardware class is `any` if the machine does not affect the metric. Raises the
    errors of `chosen_cards`.
    """
    if manifest.program is not None and manifest.program.device == ANY:
        return (replace(processor(), hardware_class=HardwareClass(ANY, ANY)),)
    if not is_for_cards(manifest):
        return (processor(),)
    if gpus:
        return chosen_cards(gpus)
    return tuple(card.device for card in probe_wanted(()).cards) or (processor(),)


def is_for_cards(manifest: TaskManifest) -> bool:
    """Return True if a task's runs use cards where available."""
    if manifest.program is not None:
        return manifest.program.device == CARD
    return manifest.budget.unit == "seconds"


def chosen_cards(gpus: Sequence[str]) -> tuple[Device, ...]:
    """Return the cards that the setting `gpus` names by number, UUID or class, all of one class.

    Raises ConfigurationError if a card does not exist, or if the cards are of several classes.
    """
    if not gpus:
        return ()
    found = probe_cards()
    devices = [card.device for card in found.cards]
    chosen: dict[str | None, Device] = {}
    for wanted in gpus:
        named = [d for n, d in enumerate(devices) if wanted in (str(n), d.cuda, d.slug)]
        if not named:
            raise _no_such_card(wanted, devices, found.fault)
        chosen |= {one.cuda: one for one in named}
    classes = sorted({one.slug for one in chosen.values()})
    if len(classes) > 1:
        raise ConfigurationError(
            f"cards of several classes: {', '.join(classes)}",
            "start one node for each class, each with its own ARNODE_HOME",
        )
    return tuple(chosen.values())


def _no_such_card(wanted: str, devices: Sequence[Device], fault: str | None) -> ConfigurationError:
    what = f"`gpus` names the NVIDIA card {wanted!r}"
    if not devices:
        return ConfigurationError(
            f"{what}, and {fault or 'no NVIDIA card is found here'}",
            'leave out `--gpus`, or unset the setting (`arnode home config set gpus ""`), to run on'
            " the processor; or install the driver: `nvidia-smi` must list the card",
        )
    there = ", ".join(f"{number} is {one.slug}" for number, one in enumerate(devices))
    return ConfigurationError(
        f"{what}, which was not found; found: {there}",
        "name cards by these numbers or classes, or by UUID as `nvidia-smi -L` lists them; without"
        " `gpus` the class with most cards is used",
    )


def _devices() -> Iterator[GraphicsCard]:
    system = _known(
        driver=_text(pynvml.nvmlSystemGetDriverVersion),
        cuda_driver=_version(query(pynvml.nvmlSystemGetCudaDriverVersion_v2)),
    )
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = query(pynvml.nvmlDeviceGetHandleByIndex, index)
        if handle is None:  # the card belongs to another container
            continue
        if _is_divided(handle):  # only the slices of a divided card are devices
            yield from _slices(handle, system)
        elif (card := _card(handle, system)) is not None:
            yield card


def _why_none() -> str | None:
    """Return the reason none of the driver's cards can be used; None if the driver has no cards.

    Raises pynvml.NVMLError if the driver does not answer for one of its cards.
    """
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        pynvml.nvmlDeviceGetUUID(handle)
        name = pynvml.nvmlDeviceGetName(handle)
        if _is_divided(handle):
            return f"{name} is in MIG mode but has no slice"
    return None


def _is_divided(card: Any) -> bool:
    mode = query(pynvml.nvmlDeviceGetMigMode, card)
    return mode is not None and mode[0] == pynvml.NVML_DEVICE_MIG_ENABLE


def _slices(whole: Any, system: dict[str, str | int]) -> Iterator[GraphicsCard]:
    card = _card(whole, system)
    if card is None:
        return
    for number in range(query(pynvml.nvmlDeviceGetMaxMigDeviceCount, whole) or 0):
        handle = query(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, whole, number)
        if handle is None:
            continue
        if (uuid := _text(pynvml.nvmlDeviceGetUUID, handle)) is not None:
            named = _PROFILE.search(_text(pynvml.nvmlDeviceGetName, handle) or "")
            profile = named[1] if named else _profile(handle)
            yield replace(card, uuid=uuid, mig_profile=profile, instance=_instance(handle))


def _instance(handle: Any) -> tuple[int, int] | None:
    calls = (pynvml.nvmlDeviceGetGpuInstanceId, pynvml.nvmlDeviceGetComputeInstanceId)
    whole, part = (query(call, handle) for call in calls)
    return None if whole is None or part is None else (whole, part)


def _profile(handle: Any) -> str:
    """Return a slice's MIG profile, derived from its size, since older drivers do not name it."""
    attributes = query(pynvml.nvmlDeviceGetAttributes_v2, handle)
    if attributes is None:
        return "unknown"
    return f"{attributes.gpuInstanceSliceCount}g.{round(attributes.memorySizeMB / 1024)}gb"


def _card(handle: Any, system: dict[str, str | int]) -> GraphicsCard | None:
    uuid, name = _text(pynvml.nvmlDeviceGetUUID, handle), _text(pynvml.nvmlDeviceGetName, handle)
    memory = query(pynvml.nvmlDeviceGetMemoryInfo, handle)
    capability = query(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    if uuid is None or name is None:
        return None
    is_mobile = any(word in str(name) for word in _MOBILE)
    env = _known(
        **({} if is_mobile else _power(handle)),
        sm_clock_max_mhz=query(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
        mem_clock_max_mhz=query(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_MEM),
        cuda_cores=query(pynvml.nvmlDeviceGetNumGpuCores, handle),
    )
    return GraphicsCard(
        uuid=uuid,
        name=name,
        # A card that reports no memory of its own, such as GB10, uses the machine's.
        memory_bytes=_PHYSICAL_BYTES if memory is None else memory.total,
        compute_capability=(0, 0) if capability is None else tuple(capability),
        minor=query(pynvml.nvmlDeviceGetMinorNumber, handle),
        env={**system, **env},
    )


def _power(handle: Any) -> dict[str, int | None]:
    return {
        "power_limit_w": _watts(query(pynvml.nvmlDeviceGetPowerManagementLimit, handle)),
        "power_default_w": _watts(query(pynvml.nvmlDeviceGetPowerManagementDefaultLimit, handle)),
    }


def _text(call: Callable[..., str | bytes], *arguments: object) -> str | None:
    found = query(call, *arguments)
    return found.decode(errors="replace") if isinstance(found, bytes) else found


def _watts(milliwatts: int | None) -> int | None:
    return None if milliwatts is None else round(milliwatts / _MILLIWATTS)


def _version(number: int | None) -> str | None:
    """Format a version number such as 12080 as "12.8"."""
    return None if number is None else f"{number // 1000}.{number % 1000 // 10}"


def _known(**entries: str | int | None) -> dict[str, str | int]:
    return {name: entry for name, entry in entries.items() if entry is not None}
