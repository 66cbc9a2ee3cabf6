"""Claims that are run again as they were made: against their own base, on seeds nobody could know.

A claim is judged by the rule's power mode on this machine's secret split, and what came of it is
signed, whichever way it went. Nothing moves here: adopting is another step, with other evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from node.line.ledger import Ledger
from node.line.noise import known_noise
from node.line.steps import AttestationStep
from node.line.trial import ANCHOR_PAIRS, Confirmation, Pair, Reading, next_of_confirmation
from node.store.jobs import Job, LineKey, PlannedRun
from node.store.store import Store
from protocol.attestation import MAX_PAIRS, attestation_seed, prove_seeds
from protocol.evidence import BorneOut, Evidence, least_nano
from protocol.gains import Scale, pairs_of
from protocol.keys import SigningKey
from protocol.manifest import TaskManifest
from protocol.rule import MIN_PAIRS
from protocol.runs import Run
from protocol.source import Source
from protocol.units import NANO


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedClaim:
    """A claim to run again, how far, and whether to tell everybody; gains positive if better.

    `target` is the result that makes it, `author` who signed that.
    """

    base: Source
    candidate: Source
    target: bytes | None
    author: bytes
    gain_nano: int | None
    lower_nano: int | None
    alpha: float
    max_pairs: int
    is_quick: bool
    is_published: bool


def step_of(wanted: WantedClaim, *, key: SigningKey) -> AttestationStep:
    """Return the job's body; `key` is this node's author key, from which the seeds follow."""
    base, tree = wanted.base.tree, wanted.candidate.tree
    return AttestationStep(
        base=base,
        tree=tree,
        target=wanted.target,
        author=wanted.author,
        gain_nano=wanted.gain_nano,
        lower_nano=wanted.lower_nano,
        alpha_micro=round(wanted.alpha * 1e6),
        max_pairs=wanted.max_pairs,
        is_quick=wanted.is_quick,
        # Nobody is a witness of their own.
        is_published=wanted.is_published and wanted.author != key.public,
        proof=prove_seeds(key, target=wanted.target, base=base, tree=tree),
    )


def asked_before(store: Store, line: LineKey, step: AttestationStep) -> Job | None:
    """Return the job of the same question, queued or done.

    The seeds follow from the claim and this node's key: asked again, it would measure the same.
    """
    queued = [job for job in store.open_jobs(line) if job.kind == "attestation"]
    for job in [*queued, *store.closed_jobs(line, "attestation")]:
        if AttestationStep.from_value(job.body).question == step:
            return job
    return None


def open_attestation(ledger: Ledger, wanted: WantedClaim) -> Job:
    """Queue a claim and return its job, or that of the same question if it was asked before."""
    step = step_of(wanted, key=ledger.publication.key)
    if job := asked_before(ledger.store, ledger.key, step):
        return job
    ledger.blobs.put_source(wanted.base)
    ledger.blobs.put_source(wanted.candidate)
    with ledger.store.transaction():
        return ledger.open_job("attestation", step.to_value())


def plan_next_pair(ledger: Ledger, job: Job, step: AttestationStep) -> None:
    """Commit to the claim's next pair, with the seed that its proof gives."""
    planned = dict.fromkeys(run.seed for run in ledger.store.runs_of(job.id))
    ledger.plan_pair(job, step.base, step.tree, attestation_seed(step.proof, len(planned)))


def close_attestation(
    ledger: Ledger,
    job: Job,
    step: AttestationStep,
    runs: Sequence[Run],
    confirmation: Confirmation,
) -> AttestationStep:
    """Keep the verdict and, unless the user said no, sign it. Callers hold the transaction."""
    judged = confirmation.judgement
    record = None
    if step.is_published:
        record = ledger.publication.attestation(
            base=step.base,
            tree=step.tree,
            target=step.target,
            proof=step.proof,
            runs=runs,
            verdict=confirmation.verdict,
            alpha_millionths=step.alpha_micro,
            max_pairs=min(step.max_pairs, MAX_PAIRS),
        ).id
    closed = replace(
        step,
        verdict=confirmation.verdict,
        reason=confirmation.reason,
        word=judged.claim or "" if judged else "",
        measured_nano=round(judged.gain * NANO) if judged else None,
        from_nano=round(judged.lower * NANO) if judged else None,
        to_nano=round(judged.upper * NANO) if judged else None,
        log_e_milli=round(judged.log_e * 1000) if judged else None,
        record=record,
    )
    ledger.store.update_job_body(job.id, closed.to_value())
    ledger.store.close_job(job.id)
    return closed


def weigh(
    runs: Sequence[PlannedRun], step: AttestationStep, reading: Reading, manifest: TaskManifest
) -> Confirmation:
    """Say how far a claim's pairs have come and what they show.

    What others may count is measured on until its record shows it by itself, and a gain beside the
    task's baseline as well: boards rank by that.
    """
    is_for_others = step.is_published and step.part is None
    return next_of_confirmation(
        runs,
        replace(reading, policy=step.policy),
        needs_anchor=is_for_others and step.base != manifest.baseline_tree,
        anchor_pairs=ANCHOR_PAIRS if is_for_others else MIN_PAIRS,
        claim=step.claim,
        for_readers=(lambda pairs: _shown(pairs, step, manifest)) if is_for_others else None,
    )


def _shown(pairs: Sequence[Pair], step: AttestationStep, manifest: TaskManifest) -> BorneOut | None:
    """Return what boards see in these pairs, of the claim as they read it."""
    runs = [run for pair in pairs for run in (pair.base, pair.candidate)]
    shown = Evidence.of(
        pairs_of(runs, "base", Scale.of(manifest), secret=True), manifest.noise_floor_nano
    )
    gain_nano, lower_nano = step.gain_nano or 0, step.lower_nano or 0
    return shown.bears_out(least_nano(gain_nano, lower_nano))


def reading_of(store: Store, manifest: TaskManifest, job: Job, step: AttestationStep) -> Reading:
    """Return how a job's metrics are read where no session is open: to show them."""
    return Reading(
        sign=manifest.metric.sign,
        noise=known_noise(store, job.line, manifest.noise_floor_nano),
        policy=step.policy,
    )
