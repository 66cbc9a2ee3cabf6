"""A head in doubt: measured again against the one before it, and rolled back if it does not hold.

In doubt is a head whose tree measures worse than in its last trial, on the public split, which all
trials have in common; and every head once what figures depend on has changed: torch, the driver,
the card. The doubt is kept in the store until the working line is at the head; a stack that passes
meanwhile settles it.
"""

from collections.abc import Sequence
from dataclasses import replace

from node.loop.heads import evidence_for
from node.loop.ledger import Ledger
from node.loop.steps import CatchUpStep, CheckpointStep, RemeasureStep
from node.loop.surroundings import (
    Surroundings,
    changes_between,
    decisive,
    keep_surroundings,
    meta_key,
    surroundings_of,
)
from node.loop.trial import Confirmation, Reading
from node.store.jobs import HEAD_TRIALS, Job, PlannedRun
from node.store.store import Store
from protocol.encoding import Value, decode, encode
from protocol.kinds import Env, ResultBody
from protocol.records import Record
from protocol.rule import has_drifted
from protocol.runs import Run


def note_surroundings(ledger: Ledger, env: Env) -> str | None:
    """Remember what this line is measured in; return what has changed since it last was, if so.

    Then what is known of its noise is a guess again, the bank is forgotten, the head in doubt.
    """
    store, line, now = ledger.store, ledger.key, decisive(env)
    before = surroundings_of(store, line)
    if before and before.env == now:
        return None
    changes = changes_between(before.env, now) if before else None
    with store.transaction():
        after_job = store.last_job() if before else 0
        keep_surroundings(store, line, Surroundings(env=now, after_job=after_job))
        if changes:
            ledger.forget_bank()
            doubt_head(ledger, changes)
    return changes


def doubt_head(ledger: Ledger, because: str) -> None:
    """Have the verified head measured again as soon as nothing is built on it."""
    value: Value = {"tree": ledger.known_line.verified, "because": because[:200]}
    ledger.store.set_meta(meta_key("doubt", ledger.key), encode(value))


def open_remeasure(ledger: Ledger) -> Job | None:
    """Queue what a doubt asks for; None if there is none, or nothing that it could be about."""
    store, line = ledger.store, ledger.known_line
    kept = store.meta(meta_key("doubt", ledger.key))
    if kept is None:
        return None
    doubt, step = decode(kept), None
    if isinstance(doubt, dict) and doubt.get("tree") == line.verified:
        step = _step(ledger, str(doubt.get("because")))
    with store.transaction():
        store.forget_meta(meta_key("doubt", ledger.key))
        return ledger.open_job("remeasure", step.to_value()) if step else None


def drift_of(
    store: Store, job: Job, step: CheckpointStep | CatchUpStep, reading: Reading
) -> float | None:
    """Return by how much the head measured worse (> 0) or better in a trial than in the last.

    In the metric's unit, on the public split: that of a trial's own is text that no other trial
    saw. None if that is within what chance does, or there is no other trial of it.
    """
    later = _publics(store.runs_of(job.id), step.base, reading)
    for trial in _trials(store, job):
        earlier = _publics(store.runs_of(trial.id), step.base, reading)
        if not earlier or not later:
            continue
        if not has_drifted(earlier, later, reading.noise.sd):
            return None
        return sum(later) / len(later) - sum(earlier) / len(earlier)
    return None


def close_remeasure(
    ledger: Ledger,
    job: Job,
    step: RemeasureStep,
    runs: Sequence[Run],
    confirmation: Confirmation,
    *,
    note: str,
) -> Record:
    """Record what came of it. It holds: vouched for anew. Else the head before it is the head.

    Where the pairs could not tell (the head before it fails here), nothing moves.
    """
    with ledger.store.transaction():
        told = f"measured again, {step.because}: {note}"
        record = ledger.record_confirmation(step.patch, step, runs, confirmation, note=told)
        pairs = confirmation.pairs[-2:]
        if confirmation.move == "pass":
            ledger.publication.adoption(step.base, step.tree, evidence=record.id)
            ledger.move_to(step.tree, [pair.candidate for pair in pairs])
        elif confirmation.move == "miss" or _has_failed(runs):
            ledger.publication.retraction(step.evidence, f"measured again: {note}")
            vouching = evidence_for(ledger.store, ledger.key, step.base)
            ledger.publication.adoption(step.tree, step.base, evidence=vouching)
            ledger.move_to(step.base, [pair.base for pair in pairs])
        measured = confirmation.measured(record.id)
        closed = replace(step, verdict=confirmation.verdict, measured=measured)
        ledger.store.update_job_body(job.id, closed.to_value())
        ledger.store.close_job(job.id)
    return record


def _step(ledger: Ledger, because: str) -> RemeasureStep | None:
    """What to measure again: the step that the head's own evidence is about."""
    head = ledger.known_line.verified
    evidence = evidence_for(ledger.store, ledger.key, head)
    body = ledger.store.record(evidence).body if evidence else None
    if evidence is None or not isinstance(body, ResultBody) or body.patch is None:
        return None  # the baseline, or what the user adopted at their own risk
    return RemeasureStep(
        base=body.base,
        tree=head,
        patch=body.patch,
        evidence=evidence,
        because=because,
    )


def _has_failed(runs: Sequence[Run]) -> bool:
    """Whether the head itself does not run any more, rather than this machine being too busy."""
    return any(run.role == "candidate" and run.status not in ("ok", "timeout") for run in runs)


def _trials(store: Store, job: Job) -> list[Job]:
    """Earlier trials, the last one first."""
    trials = [one for kind in HEAD_TRIALS for one in store.closed_jobs(job.line, kind)]
    return sorted((one for one in trials if one.id < job.id), key=lambda one: -one.id)


def _publics(runs: Sequence[PlannedRun], tree: bytes, reading: Reading) -> list[float]:
    return [
        reading.value(run.outcome.run.metric_nano)
        for run in runs
        if run.tree == tree and run.outcome and run.outcome.run.metric_nano is not None
    ]
