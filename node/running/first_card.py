"""The self-test of an NVIDIA card at the start of a node, before a task uses the card."""

import asyncio
import logging
import sys
from dataclasses import dataclass
from shlex import quote

from node.home.config import Config
from node.home.home import Home
from node.line.open_task import AUTO, OF_CARDS, STAND_IN
from node.running.stand_in import awaited_download, download_text, find_no_room
from node.terminal.terminal import say
from protocol.codecs import plain
from protocol.errors import ConfigurationError
from trainer.card_selftest.machine import devices_to_test, selftest_of
from trainer.card_selftest.report import Fault, SelfTestConditions, load_report, save_report
from trainer.card_selftest.steps import find_card_faults, find_sandbox_faults
from trainer.cards.cards import GraphicsCard, by_class, probe_cards, probe_wanted
from trainer.host.device import Device

_log = logging.getLogger("node")


@dataclass(frozen=True, slots=True, kw_only=True)
class UntestedCard:
    """A card that must pass its self-test before it is used.

    `known` are faults of earlier tests. If `card` is None, the processor is tested, at toy size.
    """

    device: Device
    card: GraphicsCard | None
    known: tuple[Fault, ...] = ()

    @property
    def name(self) -> str:
        """The name for people."""
        return self.card.name if self.card else "the processor"

    async def run_selftest(self, home: Home) -> bool:
        """Run the self-test, store its result, and return True if the card is usable."""
        report(f"{self.name} runs its self-test; this happens once and takes some minutes:")
        selftest = selftest_of(self.device, self.card, say=report, known=self.known)
        result = await selftest.run()
        save_report(result, home.data)
        return result.passed


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskHere:
    """The task to start, and the card, if any, that must pass its self-test first."""

    task: str
    untested_card: UntestedCard | None = None


def task_here(home: Home, config: Config) -> TaskHere:
    """Return the task to start; if a card is present but unusable, report the reason.

    This function downloads nothing. Raises ConfigurationError if the user named a task that needs
    the card.
    """
    if config.task not in (AUTO, OF_CARDS):
        return TaskHere(task=config.task)
    found = probe_wanted(config.gpus)
    if found.fault and config.task == AUTO:
        report(f"{found.fault}; `{STAND_IN}` runs on the processor; `nvidia-smi` may show more")
    wanted = devices_to_test(found)
    if not wanted:
        return TaskHere(task=STAND_IN if config.task == AUTO else OF_CARDS)
    if not config.gpus:
        _say_other_classes(home)
    device, card = wanted[0]
    before = load_report(SelfTestConditions.of(device), home.data)
    if card is None or (before and before.passed):
        return TaskHere(task=OF_CARDS)
    download = awaited_download(home, OF_CARDS)
    no_room = find_no_room(download, home.data) if download else None
    faults = [*find_card_faults(card), *([no_room] if no_room else [])]
    if not any(fault.ends_it for fault in faults):
        faults += asyncio.run(find_sandbox_faults(card))
    for fault in faults:
        if fault.ends_it and config.task == OF_CARDS:
            raise ConfigurationError(f"{fault.name}: {fault.said}", fault.hint)
        report(str(fault))
    if any(fault.ends_it for fault in faults):
        return TaskHere(task=STAND_IN)
    if download:
        report(f"{OF_CARDS} is fetched for {card.name}: {download_text(download)}")
    known = tuple(fault for fault in before.faults if fault.is_kept) if before else ()
    return TaskHere(
        task=OF_CARDS, untested_card=UntestedCard(device=device, card=card, known=known)
    )


def _say_other_classes(home: Home) -> None:
    """Report how to start another node for other cards: a node uses one hardware class."""
    used, *others = by_class(probe_cards())
    for cards in others:
        if any(fault.ends_it for fault in find_card_faults(cards[0])):
            continue
        slug = cards[0].hardware_class.slug
        command = f"ARNODE_HOME={quote(f'{home.root}-{slug}')} arnode start --gpus {slug}"
        report(f"this node uses {used[0].name}; start another one for {cards[0].name}: `{command}`")


def report(line: str) -> None:
    """Write a line to the log and, in a terminal, to standard error."""
    _log.info("%s", line)
    if sys.stdout.isatty():  # otherwise the log goes only to its file
        say(plain(line), err=True)
