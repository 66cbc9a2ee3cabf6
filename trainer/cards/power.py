"""The power limits of NVIDIA cards: what lowering them to `--max-watts` takes, and setting them.

Limits are in milliwatts, as the driver has them, by a card's UUID. Setting one takes root, and a
slice has none of its own.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pynvml

from protocol.errors import ConfigurationError
from trainer.cards.nvml import CardLost, initialised, is_end, is_gone

_MILLIWATTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Lowering:
    """A card's limit as it was, and as it is to be while a node runs."""

    former_mw: int
    lowered_mw: int


def plan_lowering(uuids: Iterable[str], max_watts: int) -> dict[str, Lowering]:
    """Return what must be lowered for no card to draw more than that; nothing is set yet.

    Raises ConfigurationError when a card cannot be held to it.
    """
    wanted_mw = max_watts * _MILLIWATTS
    plan: dict[str, Lowering] = {}
    for uuid in uuids:
        with _card(uuid, wanted_mw) as card:
            former_mw = pynvml.nvmlDeviceGetPowerManagementLimit(card)
            if former_mw <= wanted_mw:
                continue
            low_mw, high_mw = pynvml.nvmlDeviceGetPowerManagementLimitConstraints(card)
        if wanted_mw < low_mw:
            raise ConfigurationError(
                f"the card {uuid} cannot be held to {max_watts} W: it takes limits from "
                f"{_watts(low_mw)} to {_watts(high_mw)} W",
                "give --max-watts or `max_watts` in that range",
            )
        plan[uuid] = Lowering(former_mw, wanted_mw)
    return plan


@contextlib.contextmanager
def lowered(plan: Mapping[str, Lowering]) -> Iterator[None]:
    """Set the limits of a plan, and have its cards open while the block lasts.

    Without persistence mode a driver that nobody has open is unloaded, and its limits with it.
    Raises ConfigurationError where a limit is refused. It is for `restore` to set them back.
    """
    with contextlib.ExitStack() as held:
        for uuid, limits in plan.items():
            held.enter_context(_found(uuid, limits.lowered_mw))
            with _card(uuid, limits.lowered_mw) as card:
                pynvml.nvmlDeviceSetPowerManagementLimit(card, limits.lowered_mw)
        yield


def restore(plan: Mapping[str, Lowering]) -> None:
    """Set the limits as they were before a plan, but for those that somebody changed since.

    A card that is gone has lost its limit too. Raises ConfigurationError where it is refused.
    """
    for uuid, limits in plan.items():
        with contextlib.suppress(CardLost), _card(uuid, limits.former_mw) as card:
            if pynvml.nvmlDeviceGetPowerManagementLimit(card) == limits.lowered_mw:
                pynvml.nvmlDeviceSetPowerManagementLimit(card, limits.former_mw)


@contextlib.contextmanager
def _card(uuid: str, limit_mw: int) -> Iterator[Any]:
    """Find a card whose limit is asked for, or set to this; refusals are ConfigurationError."""
    with _found(uuid, limit_mw) as card:
        try:
            yield card
        except pynvml.NVMLError as error:
            raise _refusal(error, uuid, limit_mw) from error


@contextlib.contextmanager
def _found(uuid: str, limit_mw: int) -> Iterator[Any]:
    """Have a card open. Raises CardLost when it is gone, ConfigurationError if it is not to be had
    now, as from a busy driver: its limit may stand then."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(initialised())
            card = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        except pynvml.NVMLError as error:
            lost = CardLost.by(error, uuid)
            if is_gone(error):
                raise lost from error
            if error.value == pynvml.NVML_ERROR_NO_PERMISSION:
                raise _refusal(error, uuid, limit_mw) from error
            raise ConfigurationError(lost.message, lost.hint) from error
        yield card


def _refusal(error: pynvml.NVMLError, uuid: str, limit_mw: int) -> ConfigurationError:
    if is_end(error):
        return CardLost.by(error, uuid)
    if error.value == pynvml.NVML_ERROR_NO_PERMISSION:
        return ConfigurationError(
            f"only root may set the power limit of the card {uuid}",
            f"`sudo nvidia-smi -i {uuid} -pl {_watts(limit_mw)}`, then start again",
        )
    return ConfigurationError(
        f"the card {uuid} has no power limit that can be set: {error}",
        "leave out --max-watts and `max_watts`",
    )


def _watts(milliwatts: int) -> str:
    return f"{milliwatts / _MILLIWATTS:g}"
