"""Peers' patches for proposers: the most promising claims, each as a change of code.

Comments and docstrings are removed from them, and each passed the inspection that all peers' code
must pass before it runs. They state who measured the gain: the author, other nodes, or this node.
"""

from collections.abc import Callable
from typing import Final

from agent.proposal import Level, PeerPatch
from agent.source.edits import edits_between
from node.line.line_writer import LineWriter
from node.loop.offers import Offer
from node.loop.peer_claims import Peers
from node.source_review.source_review import ReviewedStep
from node.store.boards import BoardKey
from node.store.measured_here import measured_here
from protocol.evidence import GAINS
from protocol.patches import unified_diff
from protocol.record_kinds import PatchBody
from protocol.units import NANO

MOST_SHOWN: Final = 24
MOST_FRESH: Final = 2  # few, since runs wait for ideas meanwhile


class PeerPatches:
    """Peers' claims on a line's leaderboards. `noise_sd` is the current noise of one run here.

    A call inspects at most `most_fresh` patches that were not inspected before, since each
    inspection takes a tenth of a second and a child process.
    """

    def __init__(
        self,
        line_writer: LineWriter,
        peers: Peers,
        *,
        net: str,
        noise_sd: Callable[[], float],
        most_fresh: int = MOST_FRESH,
    ) -> None:
        self._line_writer = line_writer
        self._peers = peers
        self._board = BoardKey(
            net=net, task=line_writer.key.task, hardware_class=line_writer.key.hardware_class
        )
        self._noise_sd = noise_sd
        self._most_fresh = most_fresh

    def latest(self) -> tuple[PeerPatch, ...]:
        """Return the most promising patches whose files are here, the best first."""
        if self._line_writer.line is None:
            return ()
        here = measured_here(self._line_writer.store.boards.own_facts(self._board))
        shown: list[PeerPatch] = []
        source_review, left = self._peers.source_review, self._most_fresh
        for offer in self._peers.offers(self._peers.authors.rates()):
            is_fresh = not source_review.is_reviewed(offer.body)
            if is_fresh and not (left and source_review.is_here(offer.body)):
                continue
            step = source_review.step(offer.body, own=self._line_writer.known_line.working)
            left -= is_fresh and source_review.is_reviewed(
                offer.body
            )  # else its tree was not inspected
            body = self._line_writer.store.records.patch(offer.patch)
            if body is None or step is None:
                continue
            is_rerun = offer.found_gain > offer.refuted
            level: Level = "others" if is_rerun else "claimed"
            if (own := here.get(offer.body.tree)) and own.verdict in GAINS:
                level = "here"
            shown.append(self._shown(offer, body, step, level))
            if len(shown) == MOST_SHOWN:
                break
        return tuple(shown)

    def _shown(self, offer: Offer, body: PatchBody, step: ReviewedStep, level: Level) -> PeerPatch:
        return PeerPatch(
            patch=offer.patch,
            author=offer.author.hex()[:8],
            level=level,
            hardware_class=offer.body.hardware_class,
            is_near=offer.is_near,
            gain_sd=offer.gain_nano / NANO / self._noise_sd(),
            title=body.title,
            why=body.why,
            diff=unified_diff(step.base, step.tree),
            edits=edits_between(step.base, step.tree),
        )
