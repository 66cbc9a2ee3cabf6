"""The power limits of NVIDIA cards: planning, setting and restoring a lower limit (`--max-watts`).

Limits are in milliwatts, as in the driver, by a card's UUID. Setting one needs root, and a slice
has no limit of its own.
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
    """A card's former limit, and its limit while a node runs."""

    former_mw: int
    lowered_mw: int


def plan_lowering(uuids: Iterable[str], max_watts: int) -> dict[str, Lowering]:
    """Return the limits to lower so that no card draws more than `max_watts`; set nothing yet.

    Raises ConfigurationError if a card does not support this limit.
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
                f"the card {uuid} cannot be limited to {max_watts} W: it accepts limits from "
                f"{_watts(low_mw)} to {_watts(high_mw)} W",
                "set --max-watts or `max_watts` to a value in that range",
            )
        plan[uuid] = Lowering(former_mw, wanted_mw)
    return plan


@contextlib.contextmanager
def lowered(plan: Mapping[str, Lowering]) -> Iterator[None]:
    """Set the limits of a plan, and keep its cards open during the `with` body.

    Without persistence mode, a driver without users is unloaded and loses its limits. Raises
    ConfigurationError if a limit is refused. Leaving the body does not reset the limits; `restore`
    does.
    """
    with contextlib.ExitStack() as held:
        for uuid, limits in plan.items():
            held.enter_context(_found(uuid, limits.lowered_mw))
            with _card(uuid, limits.lowered_mw) as card:
                pynvml.nvmlDeviceSetPowerManagementLimit(card, limits.lowered_mw)
        yield


def restore(plan: Mapping[str, Lowering]) -> None:
    """Reset the limits to those before a plan, except limits that were changed again since.

    A lost card is skipped, since its limit is lost too. Raises ConfigurationError if the driver
    refuses.
    """
    for uuid, limits in plan.items():
        with contextlib.suppress(CardLost), _card(uuid, limits.former_mw) as card:
            if pynvml.nvmlDeviceGetPowerManagementLimit(card) == limits.lowered_mw:
                pynvml.nvmlDeviceSetPowerManagementLimit(card, limits.former_mw)


@contextlib.contextmanager
def _card(uuid: str, limit_mw: int) -> Iterator[Any]:
    """Yield a card for reading or setting its limit.

    Turns the driver's errors in the block into ConfigurationError.
    """
    with _found(uuid, limit_mw) as card:
        try:
            yield card
        except pynvml.NVMLError as error:
            raise _refusal(error, uuid, limit_mw) from error


@contextlib.contextmanager
def _found(uuid: str, limit_mw: int) -> Iterator[Any]:
    """Open a card for the `with` body.

    Raises CardLost if the card is gone. Raises ConfigurationError if it is temporarily unavailable,
    for example because the driver is busy. A limit that was set may then still be in force.
    """
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
