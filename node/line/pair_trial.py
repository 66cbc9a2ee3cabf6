"""A job that is decided in pairs: a tree on trial against a base, on one secret split.

A job asks `node.line.trial` what comes next and plans it in the store, so that a kill costs the
run at hand at most and no pair is drawn anew.
"""

from dataclasses import replace
from typing import Any, ClassVar

from node.line.desk import Desk
from node.line.kind import JobStep
from node.line.ledger import Ledger
from node.line.trial import ANCHOR_PAIRS, Confirmation, Reading, next_of_confirmation
from node.store.jobs import Job, PlannedRun
from protocol.fields import Digest
from protocol.manifest import TaskManifest
from protocol.rule import Claim, Policy


class PairTrial(JobStep):
    """`tree` is on trial against `base`."""

    __slots__ = ()
    IS_EXCLUSIVE: ClassVar = True
    IS_ON_ONE_SPLIT: ClassVar = True
    base: Digest
    tree: Digest

    @property
    def claim(self) -> Claim | None:
        """What somebody says that the tree gains, in the metric's unit."""
        return None

    @property
    def policy(self) -> Policy | None:
        """The rule's numbers for it; None: the session's."""
        return None

    def weigh(
        self, runs: list[PlannedRun], reading: Reading, manifest: TaskManifest
    ) -> Confirmation:
        """Say how far the pairs have come and what they show."""
        return next_of_confirmation(
            runs,
            replace(reading, policy=self.policy or reading.policy),
            needs_anchor=self.base != manifest.baseline_tree,
            claim=self.claim,
        )

    def plan_pair(self, ledger: Ledger, job: Job[Any]) -> None:
        """Commit to the next pair, with a seed that nobody could know."""
        ledger.plan_fresh_pair(job, self.base, self.tree)

    def confirmed(self, desk: Desk, job: Job[Any], runs: list[PlannedRun]) -> Confirmation | None:
        """Plan what the trial still needs; return how it ended once it has."""
        reading = desk.paired_reading(job, self.base, self.tree)
        confirmation = self.weigh(runs, reading, desk.session.task.manifest)
        desk.activity.weighing(confirmation)
        match confirmation.move:
            case "pass" | "miss" | "unrunnable":
                return confirmation
            case "pair":
                self.plan_pair(desk.ledger, job)
            case "anchors":
                seeds = [pair.seed for pair in confirmation.pairs[-ANCHOR_PAIRS:]]
                desk.ledger.plan_anchors(job, seeds)
        if confirmation.unfinished is not None:
            seed = confirmation.unfinished
            desk.store.jobs.plan_run(job.id, role="base", tree=self.base, seed=seed)
        return None
