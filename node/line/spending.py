"""What the trials of a line may err: each draws an alpha, and the store remembers how many did.

So the bound of `protocol.rule.trial_alpha` holds for a line of any length, over restarts. Only what
may move the verified head on its own draws one: checkpoints and catching up. `verify`, `compare`,
attestations and a head that is measured again draw none.
"""

from dataclasses import replace
from typing import Final, Literal, TypeVar

from node.line.ledger import Ledger
from node.line.pair_trial import HeadTrial
from node.line.surroundings import meta_key
from node.store.jobs import Job
from protocol.encoding import Value, decode, encode
from protocol.rule import trial_alpha
from protocol.units import NANO

Drawer = Literal["own", "peers"]
T = TypeVar("T", bound=HeadTrial)

_TRIALS: Final = "trials"


def open_trial(ledger: Ledger, step: T) -> Job[T]:
    """Put a tree on trial against the verified head, with an alpha of its own."""
    drawer: Drawer = "peers" if step.is_of_peers(ledger.publication.author) else "own"
    with ledger.store.database.writing():
        return ledger.open_job(replace(step, alpha_nano=draw_alpha(ledger, drawer)))


def draw_alpha(ledger: Ledger, drawer: Drawer) -> int:
    """Return the next trial's alpha in 1e-9 units, and count it. Callers hold the transaction."""
    trials = _trials(ledger)
    trials[drawer] += 1
    counts: Value = {"own": trials["own"], "peers": trials["peers"]}
    ledger.store.set_meta(meta_key(_TRIALS, ledger.key), encode(counts))
    # Rounded down, as the sum is what is promised; none is zero before the 60,000th.
    return max(1, int(trial_alpha(trials[drawer], is_peers=drawer == "peers") * NANO))


def note_adoption(ledger: Ledger) -> None:
    """Begin to count anew, as a trial passed. Callers hold the transaction."""
    ledger.store.forget_meta(meta_key(_TRIALS, ledger.key))


def _trials(ledger: Ledger) -> dict[Drawer, int]:
    """How many trials drew an alpha since the last adoption."""
    kept = ledger.store.meta(meta_key(_TRIALS, ledger.key))
    match decode(kept) if kept else None:
        case {"own": int(own), "peers": int(peers)}:
            return {"own": own, "peers": peers}
    return {"own": 0, "peers": 0}
