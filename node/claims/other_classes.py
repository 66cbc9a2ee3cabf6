"""What part of a gain on one kind of hardware is found on another, by everybody's records.

A claim that was made on one class and run again by somebody else on another is a pair. What comes
of it orders whose claims are tried first: no effect elsewhere is evidence.
"""

from collections.abc import Mapping
from typing import Final

from node.store.boards import BoardKey
from node.store.store import Store
from protocol.board_facts import BoardClaim
from protocol.gains import Gain
from protocol.opinions import borne_out, claims_of
from protocol.transfer import Carried, Slope, slopes
from protocol.units import NANO

_Z95: Final = 1.96  # by which an interval's reach is a standard error


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
    votes = {
        name: [vote for vote in borne_out(facts, known) if vote.gain is not None]
        for name, facts in said.items()
    }
    pairs: dict[tuple[str, str], list[Carried]] = {}
    for there, facts in said.items():
        for claim in facts:
            if not isinstance(claim, BoardClaim) or claim.gain is None:
                continue
            for here, of_others in votes.items():
                for vote in of_others if here != there else ():
                    is_it = (vote.base, vote.tree) == (claim.base, claim.tree)
                    if is_it and vote.author != claim.author and vote.gain is not None:
                        pairs.setdefault((there, here), []).append(_pair(claim.gain, vote.gain))
    return pairs


def _pair(there: Gain, here: Gain) -> Carried:
    return Carried(
        below=there.value_nano / NANO,
        below_error=_error(there),
        above=here.value_nano / NANO,
        above_error=_error(here),
    )


def _error(gain: Gain) -> float:
    return (gain.upper_nano - gain.value_nano) / NANO / _Z95
