"""What part of a gain on one kind of hardware is found on another, by everybody's records.

A claim that was made on one class and run again by somebody else on another is a pair. What comes
of it orders whose claims are tried first: no effect elsewhere is evidence.
"""

from collections.abc import Mapping

from node.store.boards import BoardKey
from node.store.store import Store
from protocol.board_facts import BoardClaim, Vote
from protocol.gains import Gain
from protocol.opinions import borne_out, claims_of
from protocol.transfer import Carried, Slope, measured, slopes


def class_slopes(store: Store, net: str, task: bytes, here: str) -> Mapping[str, Slope]:
    """Return for each other class with a board what part of a gain there is to be expected here."""
    keys = [key for key in store.boards.listed(net) if key.task == task]
    pairs = _pairs(store, keys)
    for key in keys:
        if key.hardware_class != here:
            pairs.setdefault((key.hardware_class, here), [])
    known = slopes(pairs)
    return {there: slope for (there, to), slope in known.items() if to == here}


def _pairs(store: Store, keys: list[BoardKey]) -> dict[tuple[str, str], list[Carried]]:
    said = {key.hardware_class: store.boards.facts(key) for key in keys}
    # An attestation may answer a claim that was made on other hardware.
    known = claims_of(fact for facts in said.values() for fact in facts)
    votes: dict[tuple[bytes, bytes], list[tuple[str, Vote]]] = {}
    for name, facts in said.items():
        for vote in borne_out(facts, known):
            votes.setdefault((vote.base, vote.tree), []).append((name, vote))
    pairs: dict[tuple[str, str], list[Carried]] = {}
    for there, facts in said.items():
        for claim in facts:
            if not isinstance(claim, BoardClaim) or claim.gain is None:
                continue
            for here, vote in votes.get((claim.base, claim.tree), ()):
                if here != there and vote.author != claim.author and vote.gain is not None:
                    pairs.setdefault((there, here), []).append(_pair(claim.gain, vote.gain))
    return pairs


def _pair(there: Gain, here: Gain) -> Carried:
    (below, below_error), (above, above_error) = measured(there), measured(here)
    return Carried(below=below, below_error=below_error, above=above, above_error=above_error)
