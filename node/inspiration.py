"""What a node's ideas are made of: what peers claim, and what proposers are told."""

import logging
import random
import secrets
from collections.abc import Callable

from node.config import Config
from node.home import Home
from node.loop.briefing import Briefing
from node.loop.ledger import Ledger
from node.loop.outcomes import Outcomes
from node.loop.peer_patches import PeerPatches
from node.loop.peers import Peers
from node.peering.definition import Network
from node.people import People, read_people
from node.proposing.program_text import ProgramText
from node.sandboxing import require_peer_sandbox
from protocol.errors import SafetyError
from trainer.task import Task

_log = logging.getLogger("node")


def briefing_of(
    home: Home,
    config: Config,
    ledger: Ledger,
    task: Task,
    outcomes: Outcomes,
    peers: Peers | None,
    noise_sd: Callable[[], float],
    say: Callable[[str], None],
) -> Briefing:
    """What tells proposers all that they may know."""
    shown = peers and PeerPatches(ledger, peers, net=config.net, noise_sd=noise_sd)
    return Briefing(
        ledger=ledger,
        task=task,
        outcomes=outcomes,
        program=ProgramText(task, home.programs, say).read,
        noise_sd=noise_sd,
        peers=shown.latest if shown else tuple,
        show_unverified_words=config.peers_words,
    )


def peers_of(
    home: Home,
    config: Config,
    ledger: Ledger,
    noise_sd: Callable[[], float],
    network: Network | None,
    want: Callable[[bytes], None],
) -> Peers | None:
    """What chooses among peers' claims; None where their code is not to run."""
    if config.peer_code == "none":
        return None
    members = network.authors if network else frozenset()

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
        people=lambda: read_people(home.people),
        net=config.net,
        share=config.peer_share,
        chance=random.Random(secrets.randbits(64)),
        noise_sd=noise_sd,
        only=only,
        want=want,
    )
