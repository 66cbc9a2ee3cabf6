"""Offers: gains that peers report for this task, and their patches applied to this line's tree.

Of a gain that was measured on another hardware class, only a fraction is expected here. The
fraction is estimated from the records of all authors. Each claim from that class that another
author re-ran on this class is one data point.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import sqrt

from node.line.line_writer import LineWriter
from node.loop.fleet_keeps import FleetKeeps
from node.source_review.source_review import SourceReview
from node.store.boards import BoardKey
from node.store.store import Store
from protocol.board import Row
from protocol.board_facts import BoardClaim, Vote
from protocol.gains import Gain
from protocol.opinions import claims_of, supported_votes
from protocol.prospects import KEPT_ERROR_SD, AuthorRate, expected_gain_sd
from protocol.record_kinds import ResultBody
from protocol.source import Source
from protocol.transfer import ObservedTransfer, Slope, measured, slopes
from protocol.units import NANO

_LOOKED_AGAIN = 64  # new records until the fractions for other classes are estimated again
_LOOKED_AT = 200  # rows of each leaderboard


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A gain that a peer reports for a patch: the result with the report, and the evidence.

    `pairs` is the number of pairs behind the gain. It is 0 if one of the user's other nodes kept
    the patch by few runs and claims nothing yet. `found_gain` and `refuted` are the numbers of
    other nodes that confirmed and refuted the claim. `worth_sd` is the gain expected here.
    `is_near`: the gain was measured on this hardware class.
    """

    result: bytes
    author: bytes
    body: ResultBody
    patch: bytes
    gain_nano: int
    gain_lower_nano: int | None
    pairs: int
    found_gain: int = 0
    refuted: int = 0
    worth_sd: float
    is_near: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ported:
    """An offer's patch applied to another tree, which may already have some of its changes.

    `gain_sd` is the offered gain times the fraction of the patch that the tree lacked. To rate the
    author, this node compares its own measurement with `claim_sd`. This is the same gain, reduced
    by the expected selection bias if the patch was kept by few runs.
    """

    offer: Offer
    source: Source
    fingerprint: bytes
    gain_sd: float
    claim_sd: float


class Offers:
    """The offers for a line: claims on the task's leaderboards, and patches that the fleet kept.

    `noise_sd` returns the current noise of one run here. `fleet` returns the keys of the user's
    other nodes.
    """

    def __init__(
        self,
        line_writer: LineWriter,
        *,
        net: str,
        noise_sd: Callable[[], float],
        source_review: SourceReview,
        fleet: Callable[[], frozenset[bytes]],
    ) -> None:
        self._line_writer = line_writer
        self._store = line_writer.store
        self._net = net
        self._noise_sd = noise_sd
        self._source_review = source_review
        self._fleet = fleet
        is_maximised = line_writer.record_writer.manifest.metric.direction == "max"
        self._fleet_keeps = FleetKeeps(
            line_writer.store, line_writer.key, is_maximised=is_maximised
        )
        self._slopes: Mapping[str, Slope] = {}
        self._looked_at = -_LOOKED_AGAIN  # the number of the last record at that time

    def ranked(
        self, rates: Mapping[bytes, AuthorRate], *, is_accepted: Callable[[bytes], bool]
    ) -> list[Offer]:
        """Return the offers of accepted authors, the most promising first."""
        noise_sd = self._noise_sd()

        def worth_sd(author: bytes, gain_nano: int, error_sd: float) -> float:
            rate, gain_sd = rates.get(author, AuthorRate()), gain_nano / NANO / noise_sd
            return rate.worth_sd(gain_sd, standard_error_sd=error_sd)

        offers: list[Offer] = []
        for key, row in self._all_rows():
            body = self.result(row) if is_accepted(row.author) else None
            if body is None or body.patch is None or row.gain_nano <= 0:
                continue
            is_near = key.hardware_class == self._line_writer.key.hardware_class
            part = 1.0 if is_near else self._part_of(key)
            offers.append(
                Offer(
                    result=row.result,
                    author=row.author,
                    body=body,
                    patch=body.patch,
                    gain_nano=row.gain_nano,
                    gain_lower_nano=row.gain_lower_nano,
                    pairs=row.pairs,
                    found_gain=row.found_gain,
                    refuted=row.refuted,
                    worth_sd=part * worth_sd(row.author, row.gain_nano, sqrt(2 / row.pairs)),
                    is_near=is_near,
                )
            )
        offers += [
            Offer(
                result=keep.result,
                author=keep.author,
                body=keep.body,
                patch=keep.patch,
                gain_nano=keep.gain_nano,
                gain_lower_nano=None,
                pairs=0,
                worth_sd=worth_sd(keep.author, keep.gain_nano, KEPT_ERROR_SD),
                is_near=True,
            )
            for keep in self._fleet_keeps.of(self._fleet())
            if is_accepted(keep.author)
        ]
        return sorted(offers, key=lambda offer: (-offer.worth_sd, offer.body.tree))

    def _part_of(self, key: BoardKey) -> float:
        """Return the expected fraction of a gain on another hardware class that is found here."""
        newest = self._store.records.last_number()
        if newest >= self._looked_at + _LOOKED_AGAIN or key.hardware_class not in self._slopes:
            own = self._line_writer.key
            self._slopes = class_slopes(self._store, self._net, own.task, own.hardware_class)
            self._looked_at = newest
        return max(0.0, self._slopes[key.hardware_class].mean)

    def rows(self) -> tuple[Row, ...]:
        """Return the leaderboard rows of this line's own hardware class."""
        own = self._line_writer.key.hardware_class
        return tuple(row for key, row in self._all_rows() if key.hardware_class == own)

    def onto(self, offer: Offer, working: Source) -> Ported | None:
        """Return an offer's patch applied to a tree.

        None if it must not run, adds nothing or conflicts with the tree.
        """
        fitted = self._source_review.onto(offer.body, working)
        if fitted is None:
            return None
        gain_sd = offer.gain_nano / NANO / self._noise_sd()
        held_to_sd = (
            gain_sd if offer.pairs else expected_gain_sd(gain_sd, standard_error_sd=KEPT_ERROR_SD)
        )
        return Ported(
            offer=offer,
            source=fitted.source,
            fingerprint=fitted.fingerprint,
            gain_sd=fitted.part * gain_sd,
            claim_sd=fitted.part * held_to_sd,
        )

    def result(self, row: Row) -> ResultBody | None:
        """Return the result behind a row."""
        body = self._store.records.get(row.result).body
        return body if isinstance(body, ResultBody) else None

    def _all_rows(self) -> Iterator[tuple[BoardKey, Row]]:
        for key in self._store.boards.listed(self._net):
            if key.task == self._line_writer.key.task:
                for row in self._store.boards.get(key, _LOOKED_AT).rows:
                    yield key, row


def class_slopes(store: Store, net: str, task: bytes, here: str) -> Mapping[str, Slope]:
    """Return the fraction of a gain that is expected here, by the class where it was measured.

    `here` is this node's hardware class. The result has an entry for every other hardware class
    with a leaderboard of the task.
    """
    keys = [key for key in store.boards.listed(net) if key.task == task]
    pairs = _pairs(store, keys)
    for key in keys:
        if key.hardware_class != here:
            pairs.setdefault((key.hardware_class, here), [])
    known = slopes(pairs)
    return {there: slope for (there, to), slope in known.items() if to == here}


def _pairs(store: Store, keys: list[BoardKey]) -> dict[tuple[str, str], list[ObservedTransfer]]:
    said = {key.hardware_class: store.boards.facts(key) for key in keys}
    # A re-run may answer a claim that was made on other hardware.
    known = claims_of(fact for facts in said.values() for fact in facts)
    votes: dict[tuple[bytes, bytes], list[tuple[str, Vote]]] = {}
    for name, facts in said.items():
        for vote in supported_votes(facts, known):
            votes.setdefault((vote.base, vote.tree), []).append((name, vote))
    pairs: dict[tuple[str, str], list[ObservedTransfer]] = {}
    for there, facts in said.items():
        for claim in facts:
            if not isinstance(claim, BoardClaim) or claim.gain is None:
                continue
            for here, vote in votes.get((claim.base, claim.tree), ()):
                if here != there and vote.author != claim.author and vote.gain is not None:
                    pairs.setdefault((there, here), []).append(_pair(claim.gain, vote.gain))
    return pairs


def _pair(there: Gain, here: Gain) -> ObservedTransfer:
    (below, below_error), (above, above_error) = measured(there), measured(here)
    return ObservedTransfer(
        below=below, below_error=below_error, above=above, above_error=above_error
    )
