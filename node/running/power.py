"""The power limit of the cards while a node runs (`--max-watts`), and its removal afterwards.

The former limits are written to a file before any limit is lowered. If a node is killed, the next
node restores the limits from this file.
"""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

from node.home.faults import explaining_faults
from node.home.files import write_file
from node.home.home import Home
from protocol.errors import ConfigurationError
from trainer.cards.cards import probe_cards
from trainer.cards.power import Lowering, lowered, plan_lowering, restore

_log = logging.getLogger("node")


@contextlib.contextmanager
def limiting_power(home: Home, max_watts: int | None) -> Iterator[None]:
    """Limit each card to `max_watts`; None leaves the limits. The caller holds the home's lock.

    Raises ConfigurationError if the limit cannot be set.
    """
    _give_back(home.power)
    if max_watts is None:
        yield
        return
    cards = probe_cards()
    if not cards.cards:
        raise ConfigurationError(
            "--max-watts needs an NVIDIA card, but "
            + ("this machine has none" if not cards.fault else f"none is readable: {cards.fault}"),
            "leave out --max-watts and `max_watts`; `arnode doctor` checks this machine",
        )
    plan = plan_lowering([card.uuid for card in cards.cards], max_watts)
    if not plan:
        yield
        return
    _write(home.power, plan)
    try:
        with lowered(plan):
            for uuid, limits in plan.items():
                _log.info("card %s: %d W instead of %d", uuid, max_watts, limits.former_mw // 1000)
            yield
    finally:
        try:
            _give_back(home.power)
        except ConfigurationError as fault:  # raising it would hide why the node ended
            _log.warning("%s (%s)", fault.message, fault.hint)


def _give_back(path: Path) -> None:
    plan = _read(path)
    if plan:
        restore(plan)
        with explaining_faults(path):
            path.unlink()


def _write(path: Path, plan: Mapping[str, Lowering]) -> None:
    entries = {uuid: [limits.former_mw, limits.lowered_mw] for uuid, limits in plan.items()}
    with explaining_faults(path):
        write_file(path, json.dumps(entries).encode())


def _read(path: Path) -> dict[str, Lowering]:
    with explaining_faults(path):
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return {}
    try:
        entries = json.loads(text)
        return {uuid: Lowering(int(was), int(now)) for uuid, (was, now) in entries.items()}
    except (ValueError, TypeError, AttributeError) as fault:
        raise ConfigurationError(
            f"{path}, the cards' former power limits, cannot be read",
            "check them with `nvidia-smi -q -d POWER`, then remove the file",
        ) from fault
