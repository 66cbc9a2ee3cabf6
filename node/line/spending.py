"""What the trials of a line may err: each draws an alpha, and the store remembers how many did.

So the bound of `protocol.rule.trial_alpha` holds for a line of any length, over restarts. Only what
may move the verified head on its own draws one: checkpoints and catching up. `verify`, `compare`,
attestations and a head that is measured again draw none.

Peers' trees draw on what their introducer has: the neighbour from whom this node first got the
claim. Claims of which no neighbour is known (out of a bundle, or taken in by a version that did not
keep it) have one introducer together. Introducers have their places in the order in which they
first drew. Through whom the last peer's tree came that passed, has the first one, so that nobody
loses it to identities that were made since.
"""

from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from node.line.ledger import Ledger
from node.line.pair_trial import HeadTrial
from node.store.jobs import Job
from node.store.store import meta_key
from protocol.encoding import Value, decode, encode
from protocol.rule import trial_alpha
from protocol.units import NANO

T = TypeVar("T", bound=HeadTrial)

_TRIALS: Final = "trials"
_NOBODY: Final = ""  # the introducer of what no neighbour brought
_MOST_PLACES: Final = 64  # later ones draw with nobody, on a place that is worth next to nothing


def open_trial(ledger: Ledger, step: T) -> Job[T]:
    """Put a tree on trial against the verified head, with an alpha of its own."""
    claim = step.claim_on_trial
    introducer = None if claim is None else introducer_of(ledger, claim)
    with ledger.store.database.writing():
        return ledger.open_job(replace(step, alpha_nano=draw_alpha(ledger, introducer)))


def introducer_of(ledger: Ledger, claim: bytes) -> str:
    """Return on whose share the trial of a peer's result draws."""
    return ledger.store.records.introducer(claim) or _NOBODY


def draw_alpha(ledger: Ledger, introducer: str | None) -> int:
    """Return the next trial's alpha in 1e-9 units, and count it; `introducer`: None for own.

    Callers hold the transaction.
    """
    trials = _trials(ledger)
    if introducer is None:
        trials.own += 1
        alpha = trial_alpha(trials.own)
    else:
        if introducer not in trials.introduced and len(trials.introduced) >= _MOST_PLACES:
            introducer = _NOBODY
        number = trials.introduced[introducer] = trials.introduced.get(introducer, 0) + 1
        place = trials.gone + [*trials.introduced].index(introducer) + 1
        alpha = trial_alpha(number, introducer=place)
    _keep(ledger, trials)
    # Rounded down, as the sum is what is promised; none is zero before the 10,000th.
    return max(1, int(alpha * NANO))


def note_adoption(ledger: Ledger, *, introducer: str | None = None) -> None:
    """Begin to count anew, as a trial passed; `introducer`: of the peer's tree that did.

    Callers hold the transaction.
    """
    first = _trials(ledger).first if introducer is None else introducer
    introduced = {} if first is None else {first: 0}
    _keep(ledger, _Trials(introduced=introduced, first=first))


@dataclass(kw_only=True)
class _Trials:
    """How many trials drew an alpha since the last adoption: own, and by introducer, in places.

    `gone`: so many places are taken for good. A version before counted all peers' trials together,
    and each drew what is now the whole share of a place. `first` has the first place after the next
    adoption as well.
    """

    own: int = 0
    gone: int = 0
    introduced: dict[str, int] = field(default_factory=dict)
    first: str | None = None


def _keep(ledger: Ledger, trials: _Trials) -> None:
    introduced: list[Value] = [[name, count] for name, count in trials.introduced.items()]
    value: Value = {
        "own": trials.own,
        "peers": trials.gone,
        "introduced": introduced,
        "first": trials.first,
    }
    ledger.store.set_meta(meta_key(_TRIALS, ledger.key), encode(value))


def _trials(ledger: Ledger) -> _Trials:
    kept = ledger.store.meta(meta_key(_TRIALS, ledger.key))
    value = decode(kept) if kept else None
    match value:
        case {"own": int(own), "peers": int(gone), **rest}:
            trials = _Trials(own=own, gone=gone)
        case _:
            return _Trials()
    match rest:
        case {"introduced": list(introduced), "first": str() | None as first}:
            trials.first = first
            for one in introduced:
                match one:
                    case [str(name), int(count)]:
                        trials.introduced[name] = count
    return trials
