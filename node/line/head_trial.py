"""What all trials against the verified head share: what is kept of them, and a look at the head."""

from typing import Annotated, Any

from node.line.desk import Desk
from node.line.drift import doubt_head, drift_of
from node.line.pair_trial import PairTrial
from node.line.trial import Confirmation, Measured
from node.store.jobs import Job
from protocol.fields import OPTIONAL


class HeadTrial(PairTrial):
    """A tree on trial with the verified head; what came of it is filled in when it is closed."""

    __slots__ = ()
    measured: Annotated[Measured | None, OPTIONAL]


def watch_head(desk: Desk, job: Job[Any], base: bytes, confirmation: Confirmation) -> None:
    """Compare the head's runs with those of its last trial; a worse one is in doubt.

    So is one that failed.
    """
    if confirmation.is_bases_fault:
        desk.activity.say("the head fails beside it: it is looked at first, the other waits")
        doubt_head(desk.ledger, "it failed beside another tree", is_failing=True)
        return
    drift = drift_of(desk.store, job, base, desk.reading(), desk.head_trials)
    if drift is None:
        return
    how = f"the head measures {abs(drift):.4f} {'worse' if drift > 0 else 'better'} than before"
    desk.activity.say(f"{how} on the public rows: the machine has changed, or it never was so")
    if drift > 0 and confirmation.move != "pass":
        doubt_head(desk.ledger, how)


def note_of(confirmation: Confirmation) -> str:
    """Return what a record says of how a trial ended."""
    latest, judgement = confirmation.latest, confirmation.judgement
    if latest is None or judgement is None:
        return confirmation.reason
    return (
        f"{judgement.verdict} after {len(confirmation.pairs)} pairs on the secret split: gain "
        f"{latest.gain:.6f}, 95 % interval {latest.lower:.6f} to {latest.upper:.6f}"
    )
