"""The alpha budget of a line. The part of it that one trial uses is the trial's alpha.

The store counts the trials. Their alphas follow from the counts, so the bound of
`protocol.rule.trial_alpha` holds for a line of any length, across restarts. Only trials that may
move the verified head on their own draw an alpha: promotion trials and catching up. `verify`,
`compare`, re-runs and new trials of a head in doubt draw none.

Trials of peers' trees draw on the budget of their introducer: the neighbour from which this node
first received the claim. Claims without a known neighbour share one introducer; they are from a
bundle, or were stored by a version that did not record neighbours. Introducers are ranked in the
order of their first draw. The introducer of the last peer tree that passed is ranked first, so that
newly made identities cannot displace it.
"""

from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from node.line.line_writer import LineWriter
from node.line.pair_trial import HeadTrial
from node.store.jobs import Job
from node.store.store import meta_key
from protocol.encoding import Value, decode, encode
from protocol.rule import trial_alpha
from protocol.units import NANO

T = TypeVar("T", bound=HeadTrial)

_TRIALS: Final = "trials"
_NOBODY: Final = ""  # the introducer of claims without a known neighbour
_MOST_PLACES: Final = 64  # later introducers share the tiny budget of unknown ones


def open_trial(line_writer: LineWriter, step: T) -> Job[T]:
    """Start a trial of a tree against the verified head, with a newly drawn alpha."""
    claim = step.claim_on_trial
    introducer = None if claim is None else introducer_of(line_writer, claim)
    with line_writer.store.database.writing():
        return line_writer.open_job(replace(step, alpha_nano=draw_alpha(line_writer, introducer)))


def introducer_of(line_writer: LineWriter, claim: bytes) -> str:
    """Return the neighbour that first delivered a peer's result; it pays for the result's trial."""
    return line_writer.store.records.introducer(claim) or _NOBODY


def draw_alpha(line_writer: LineWriter, introducer: str | None) -> int:
    """Return the next trial's alpha in 1e-9 units, and count it.

    `introducer` is None for this node's own tree. Callers hold the transaction.
    """
    trials = _trials(line_writer)
    if introducer is None:
        trials.own += 1
        alpha = trial_alpha(trials.own)
    else:
        if introducer not in trials.introduced and len(trials.introduced) >= _MOST_PLACES:
            introducer = _NOBODY
        number = trials.introduced[introducer] = trials.introduced.get(introducer, 0) + 1
        place = trials.gone + [*trials.introduced].index(introducer) + 1
        alpha = trial_alpha(number, introducer=place)
    _keep(line_writer, trials)
    # Rounded down, as the sum has a bound. No alpha is zero before the 10,000th trial.
    return max(1, int(alpha * NANO))


def reset_alpha_budget(line_writer: LineWriter, *, introducer: str | None = None) -> None:
    """Restart the counts after a passed trial; `introducer` is None for this node's own tree.

    Callers hold the transaction.
    """
    first = _trials(line_writer).first if introducer is None else introducer
    introduced = {} if first is None else {first: 0}
    _keep(line_writer, _Trials(introduced=introduced, first=first))


@dataclass(kw_only=True)
class _Trials:
    """Counts of trials since the last adoption: of this node's trees, and by introducer.

    The introducers are in the order of their ranks. `first` is the introducer that gets the first
    rank after the next adoption. `gone` is the number of ranks that an earlier version of arnode
    used up. In that version, one trial of a peer's tree used the whole budget of a rank.
    """

    own: int = 0
    gone: int = 0
    introduced: dict[str, int] = field(default_factory=dict)
    first: str | None = None


def _keep(line_writer: LineWriter, trials: _Trials) -> None:
    introduced: list[Value] = [[name, count] for name, count in trials.introduced.items()]
    value: Value = {
        "own": trials.own,
        "peers": trials.gone,
        "introduced": introduced,
        "first": trials.first,
    }
    line_writer.store.set_meta(meta_key(_TRIALS, line_writer.key), encode(value))


def _trials(line_writer: LineWriter) -> _Trials:
    kept = line_writer.store.meta(meta_key(_TRIALS, line_writer.key))
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
