"""A head in doubt: measured again against the one before it, and rolled back if it does not hold.

In doubt is a head whose tree measures worse than in its last trial, on the public split, which all
trials have in common; every head once what figures depend on has changed (torch, the driver, the
card); and a head that fails. The doubt is kept in the store until the working line is at the head;
a stack that passes meanwhile settles it. A head that fails is looked at before anything else.
"""

from collections.abc import Sequence
from dataclasses import replace

from node.line.heads import evidence_for
from node.line.ledger import Ledger
from node.line.steps import CatchUpStep, CheckpointStep, RemeasureStep
from node.line.surroundings import (
    Surroundings,
    changes_between,
    decisive,
    keep_surroundings,
    meta_key,
    surroundings_of,
)
from node.line.trial import Confirmation, Reading
from node.store.jobs import HEAD_TRIALS, Job, PlannedRun
from node.store.store import Store
from protocol.encoding import Value, decode, encode
from protocol.errors import ArnodeError
from protocol.kinds import Env, ResultBody
from protocol.records import Record
from protocol.rule import has_drifted
from protocol.runs import CONTENDED, Run

_FAILURES = 2  # of the bank, one after the other: one may be an accident


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


def doubt_head(ledger: Ledger, because: str, *, is_failing: bool = False) -> None:
    """Have the verified head measured again as soon as nothing is built on it.

    At once if `is_failing`: it does not run here any more.
    """
    tree = ledger.known_line.verified
    value: Value = {"tree": tree, "because": because[:200], "fails": is_failing}
    ledger.store.set_meta(meta_key("doubt", ledger.key), encode(value))


def is_head_failing(ledger: Ledger) -> bool:
    """Whether the verified head is in doubt as it does not run."""
    doubt = _doubt(ledger)
    return doubt is not None and doubt.get("fails") is True


def doubt_failing_line(ledger: Ledger) -> str | None:
    """Look at the bank's last runs; return what is done about a line that failed twice, if it did.

    What is built on the head goes back to it. The head itself is in doubt.
    """
    line = ledger.known_line
    since = max((job.id for job in ledger.store.closed_jobs(line.key, "remeasure")), default=0)
    failures = 0
    for job in reversed(ledger.store.closed_jobs(line.key, "bank", after=since)):
        (planned,) = ledger.store.runs_of(job.id)
        if planned.tree != line.working or planned.outcome is None:
            break
        if not has_failed(planned.outcome.run):
            break
        failures += 1
    if failures < _FAILURES:
        return None
    if line.working != line.verified:
        ledger.move_to(line.verified, [])
        return "the working line does not run here any more: back to the head"
    doubt_head(ledger, "it does not run here any more", is_failing=True)
    return "the head does not run here any more: it is in doubt"


def has_failed(run: Run) -> bool:
    """Whether a run says that its tree does not run here, rather than that others disturbed it."""
    return run.status != "ok" and not (run.status == "timeout" and CONTENDED in run.flags)


def open_remeasure(ledger: Ledger) -> Job | None:
    """Queue what a doubt asks for; None if there is none, or nothing that it could be about.

    Raises ArnodeError if it is the baseline that fails: there is nothing to go back to.
    """
    store, line = ledger.store, ledger.known_line
    if store.meta(meta_key("doubt", ledger.key)) is None:
        return None
    doubt = _doubt(ledger)
    step = _step(ledger, str(doubt.get("because"))) if doubt else None
    is_failing = doubt is not None and doubt.get("fails") is True
    with store.transaction():
        store.forget_meta(meta_key("doubt", ledger.key))
        if step is not None:
            return ledger.open_job("remeasure", step.to_value())
        if is_failing and line.verified != ledger.publication.manifest.baseline_tree:
            _replace(ledger)
    if is_failing and line.verified == ledger.publication.manifest.baseline_tree:
        raise ArnodeError(
            "the task's own baseline does not run here any more: nothing can be measured",
            "`arnode log` shows how its runs ended, `arnode doctor` looks at this machine",
        )
    return None


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
        line = ledger.known_line  # with a stack, if the head failed: that does not wait for it
        if confirmation.move == "pass":
            ledger.publication.adoption(step.base, step.tree, evidence=record.id)
            if not line.stack:
                ledger.move_to(step.tree, [pair.candidate for pair in pairs])
        elif confirmation.move == "miss" or _is_candidates_fault(runs):
            ledger.publication.retraction(step.evidence, f"measured again: {note}")
            vouching = evidence_for(ledger.store, ledger.key, step.base)
            ledger.publication.adoption(step.tree, step.base, evidence=vouching)
            ledger.move_to(step.base, [pair.base for pair in pairs])
            if line.stack:  # the patch that is taken back leads on to what is built on it
                ledger.go_on_at(line.working, (step.patch, *line.stack), [])
        measured = confirmation.measured(record.id)
        closed = replace(step, verdict=confirmation.verdict, measured=measured)
        ledger.store.update_job_body(job.id, closed.to_value())
        ledger.store.close_job(job.id)
    return record


def _doubt(ledger: Ledger) -> dict[str, Value] | None:
    """What is kept about the present head; None if nothing is."""
    kept = ledger.store.meta(meta_key("doubt", ledger.key))
    doubt = decode(kept) if kept else None
    if not isinstance(doubt, dict) or doubt.get("tree") != ledger.known_line.verified:
        return None
    return doubt


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


def _is_candidates_fault(runs: Sequence[Run]) -> bool:
    """Whether the head itself does not run any more."""
    return any(run.role == "candidate" and has_failed(run) for run in runs)


def _replace(ledger: Ledger) -> None:
    """Make the head before it the head, in place of one that nothing vouches for."""
    head = ledger.known_line.verified
    before = next(
        (
            one.body.from_tree
            for one in ledger.store.adoptions(ledger.key)
            if one.body.to_tree == head
        ),
        ledger.publication.manifest.baseline_tree,
    )
    ledger.publication.adoption(
        head, before, evidence=evidence_for(ledger.store, ledger.key, before)
    )
    ledger.move_to(before, [])


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
