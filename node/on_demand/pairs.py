"""Pairs that a command runs by itself: nothing of them is in the store, and nothing is recorded.

The trial is the loop's (`node.line.trial`); a command keeps its runs and asks what comes next.
"""

from collections.abc import Sequence
from typing import cast

from node.line.trial import Confirmation, Pair, Reading, next_of_confirmation
from node.store.jobs import PlannedRun, StoredOutcome
from protocol.manifest import TaskManifest
from protocol.rule import MIN_PAIRS, Claim, Policy
from protocol.runs import Role, Run
from protocol.statistics import NoiseEstimate
from protocol.units import NANO, from_nano

_BAR_WIDTH = 20


def weigh(
    runs: Sequence[tuple[bytes, Run]],
    manifest: TaskManifest,
    policy: Policy,
    *,
    tolerance: float,
    memorised: float,
    claim: Claim | None = None,
) -> Confirmation:
    """Say how far a trial has come, given its ended runs with their trees, oldest first.

    `tolerance` is the audits', `memorised` what the candidate could gain by knowing the text by
    heart, both in the metric's unit. It ends with the rule's verdict: nobody else reads it.
    """
    planned = [
        PlannedRun(
            job_id=0,
            ordinal=ordinal,
            role=cast("Role", run.role),  # this program's own
            tree=tree,
            seed=run.seed,
            outcome=StoredOutcome(run=run, log_tail=""),
        )
        for ordinal, (tree, run) in enumerate(runs)
    ]
    reading = Reading(
        sign=manifest.metric.sign,
        noise=NoiseEstimate.from_class(manifest.noise_floor_nano / NANO),
        policy=policy,
        minimum_gain=2 * tolerance,
        memorised=memorised,
    )
    return next_of_confirmation(
        planned, reading, needs_anchor=False, anchor_pairs=MIN_PAIRS, claim=claim
    )


def pair_words(pair: Pair, share: float) -> str:
    """Return a pair's metrics on the secret split, and the share of the evidence after it."""
    base, candidate = from_nano(pair.base.secret_nano), from_nano(pair.candidate.secret_nano)
    bar = "█" * round(share * _BAR_WIDTH)
    return f"{base:.6f}  {candidate:.6f}  evidence {share:4.0%} {bar}"


def pair_json(pair: Pair) -> dict[str, object]:
    """Return what scripts are told of a pair, metrics in the task's unit."""
    return {
        "seed": pair.seed,
        "base": from_nano(pair.base.secret_nano),
        "candidate": from_nano(pair.candidate.secret_nano),
    }
