"""What is heard of others here: whose claims are looked at, and what proposers are told."""

import logging
import random
import secrets
from collections.abc import Callable

from agent.proposal import Aim, Insight, PeerPatch
from node.claims.choosing import Peers
from node.claims.peer_patches import MOST_FRESH, PeerPatches
from node.home.home import Home
from node.home.people import People, read_people
from node.line.ledger import Ledger
from node.loop.briefing import Briefing
from node.loop.insights import insights_of
from node.loop.outcomes import Outcomes
from node.proposing.program_text import ProgramText
from node.settings.config import Config
from node.settings.network_definition import Network
from node.settings.sandboxing import require_peer_sandbox
from protocol.errors import SafetyError
from trainer.task_folder.task import Task

_log = logging.getLogger("node")


def open_peers(
    home: Home,
    config: Config,
    ledger: Ledger,
    *,
    network: Network | None,
    noise_sd: Callable[[], float],
    want: Callable[[bytes], None] = lambda _patch: None,
) -> Peers | None:
    """Return what chooses among peers' claims; None where their code is not to run.

    `want` is told of patches to fetch.
    """
    if config.peer_code == "none":
        return None
    members, path = network.authors if network else frozenset(), home.people

    def only(people: People) -> frozenset[bytes] | None:
        """Whose claims are looked at: friends' where only theirs are, an invited network's."""
        if config.peer_code == "friends":
            return people.friends & members if members else people.friends
        return members or None

    try:
        require_peer_sandbox(config)
    except SafetyError as fault:
        _log.warning("peers' claims are not tried here: %s (%s)", fault.message, fault.hint)
        return None
    return Peers(
        ledger,
        people=lambda: read_people(path),
        net=config.net,
        share=config.peer_share,
        chance=random.Random(secrets.randbits(64)),
        noise_sd=noise_sd,
        only=only,
        want=want,
    )


def open_briefing(
    home: Home,
    config: Config,
    ledger: Ledger,
    task: Task,
    outcomes: Outcomes,
    *,
    peers: Peers | None,
    noise_sd: Callable[[], float],
    aim: Callable[[], Aim],
    say: Callable[[str], None],
    most_fresh: int = MOST_FRESH,
) -> Briefing:
    """Return what tells proposers all that they may know.

    `say` is told of a new program; so many patches of `peers` are looked at anew at a time.
    """
    author, path = ledger.publication.author, home.people
    claimed: Callable[[], tuple[PeerPatch, ...]] = tuple
    if peers is not None:
        claimed = PeerPatches(
            ledger, peers, net=config.net, noise_sd=noise_sd, most_fresh=most_fresh
        ).latest

    def insights() -> tuple[Insight, ...]:
        blocked = read_people(path).blocked
        return insights_of(
            ledger.store, ledger.key, author, is_heard=lambda one: one not in blocked
        )

    return Briefing(
        ledger=ledger,
        task=task,
        outcomes=outcomes,
        program=ProgramText(task, home.programs, say).read,
        noise_sd=noise_sd,
        peers=claimed,
        insights=insights,
        aim=aim,
        show_unverified_words=config.peers_words,
    )
