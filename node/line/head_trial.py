"""What all trials against the verified head share: fresh pairs, until the rule knows."""

from dataclasses import replace
from typing import Annotated, Any, ClassVar

from node.line.desk import Desk
from node.line.drift import doubt_head, drift_of
from node.line.kind import JobStep
from node.line.trial import Confirmation, Measured, next_of_confirmation
from node.store.jobs import Job, PlannedRun
from protocol.fields import OPTIONAL, Digest
from protocol.rule import Claim, Policy


class HeadTrial(JobStep):
    """A tree on trial against a base; what came of it is filled in when it is closed."""

    __slots__ = ()
    IS_EXCLUSIVE: ClassVar = True
    IS_ON_ONE_SPLIT: ClassVar = True
    base: Digest
    tree: Digest
    measured: Annotated[Measured | None, OPTIONAL]

    def confirmed(
        self,
        desk: Desk,
        job: Job[Any],
        runs: list[PlannedRun],
        *,
        claim: Claim | None = None,
        policy: Policy | None = None,
    ) -> Confirmation | None:
        """Plan what the trial still needs; return how it ended once it has.

        `policy` are the rule's numbers, else the session's.
        """
        reading = desk.paired_reading(job, self.base, self.tree)
        confirmation = next_of_confirmation(
            runs,
            replace(reading, policy=policy or desk.policy),
            needs_anchor=self.base != desk.session.task.source.tree,
            claim=claim,
        )
        desk.activity.weighing(confirmation)
        match confirmation.move:
            case "wait":
                return None
            case "pair":
                desk.ledger.plan_fresh_pair(job, self.base, self.tree)
                return None
            case "base":
                desk.plan_base(job, self.base, confirmation)
                return None
            case "anchors":
                desk.plan_anchors(job, confirmation)
                return None
        return confirmation


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
