"""What a start does about an NVIDIA card: it is worked on once it has proven itself here."""

import asyncio
import logging
import sys
from dataclasses import dataclass
from shlex import quote

from node.home.config import Config
from node.home.home import Home
from node.line.open_task import AUTO, OF_CARDS, STAND_IN
from node.running.stand_in import awaited_download, find_no_room, told
from protocol.codecs import plain
from protocol.errors import ConfigurationError
from trainer.cards.cards import GraphicsCard, by_class, probe_cards, probe_wanted
from trainer.host.device import Device
from trainer.proving.machine import devices_to_prove, proving_of
from trainer.proving.proof import Fault, ProofConditions, keep, remembered
from trainer.proving.proving import find_card_faults, find_sandbox_faults

_log = logging.getLogger("node")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unproven:
    """A card that is to prove itself before it is worked on; `known` is what failed before.

    Without a card it is the processor in a card's place, at toy size.
    """

    device: Device
    card: GraphicsCard | None
    known: tuple[Fault, ...] = ()

    @property
    def name(self) -> str:
        """What people call it."""
        return self.card.name if self.card else "the processor"

    async def prove(self, home: Home) -> bool:
        """Let it, keep what came of it, and return whether runs can be made on it."""
        say(f"{self.name} proves itself, which takes some minutes, once:")
        proving = proving_of(self.device, self.card, say=say, known=self.known)
        proof = await proving.prove()
        keep(proof, home.data)
        return proof.is_usable


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskHere:
    """The task that a start is for, and the card that has to prove itself for it, if one has."""

    task: str
    unproven: Unproven | None = None


def task_here(home: Home, config: Config) -> TaskHere:
    """Return what a start works on; what keeps it from a card that is here is said.

    Nothing is fetched before that. Raises ConfigurationError where that keeps it from a task that
    somebody named.
    """
    if config.task not in (AUTO, OF_CARDS):
        return TaskHere(task=config.task)
    found = probe_wanted(config.gpus)
    if found.fault and config.task == AUTO:
        say(f"{found.fault}; `{STAND_IN}` runs on the processor; `nvidia-smi` may tell more")
    wanted = devices_to_prove(found)
    if not wanted:
        return TaskHere(task=STAND_IN if config.task == AUTO else OF_CARDS)
    if not config.gpus:
        _say_other_classes(home)
    device, card = wanted[0]
    before = remembered(ProofConditions.of(device), home.data)
    if card is None or (before and before.is_usable):
        return TaskHere(task=OF_CARDS)
    download = awaited_download(home, OF_CARDS)
    no_room = find_no_room(download, home.data) if download else None
    faults = [*find_card_faults(card), *([no_room] if no_room else [])]
    if not any(fault.ends_it for fault in faults):
        faults += asyncio.run(find_sandbox_faults(card))
    for fault in faults:
        if fault.ends_it and config.task == OF_CARDS:
            raise ConfigurationError(f"{fault.name}: {fault.said}", fault.mend)
        say(str(fault))
    if any(fault.ends_it for fault in faults):
        return TaskHere(task=STAND_IN)
    if download:
        say(f"{OF_CARDS} is fetched for {card.name}: {told(download)}")
    known = tuple(fault for fault in before.faults if fault.is_kept) if before else ()
    return TaskHere(task=OF_CARDS, unproven=Unproven(device=device, card=card, known=known))


def _say_other_classes(home: Home) -> None:
    """Say how cards get a node that this one leaves alone: a node works on one class."""
    used, *others = by_class(probe_cards())
    for cards in others:
        if any(fault.ends_it for fault in find_card_faults(cards[0])):
            continue
        slug = cards[0].hardware_class.slug
        command = f"ARNODE_HOME={quote(f'{home.root}-{slug}')} arnode start --gpus {slug}"
        say(f"this node works on {used[0].name}; for {cards[0].name} start another: `{command}`")


def say(line: str) -> None:
    """Tell the log, and whoever started it."""
    _log.info("%s", line)
    if sys.stdout.isatty():  # the log is in its file alone then
        print(plain(line), file=sys.stderr, flush=True)
