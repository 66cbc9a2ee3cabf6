"""The time that a record's runs spent in each stage."""

from typing import TypedDict

from node.store.jobs import StoredOutcome
from node.store.store import Store
from protocol.record_kinds import ResultBody
from protocol.records import Record
from protocol.rerun import RerunBody
from trainer.measuring.loss_curve import as_pairs
from trainer.measuring.timeline import AHEAD


class StageDocument(TypedDict):
    """One stage of a run.

    `at_ms` counts from the moment the sandbox received the source. It is negative for stages before
    that, such as starting a sandbox ahead of time.
    """

    sandbox: str
    stage: str
    at_ms: int
    ms: int


class TimelineDocument(TypedDict):
    """The stages of one run, in the order in which they began.

    `curve` has the points [step, loss] that the run printed while it trained; they are not
    verified. `machine` is the other machine that ran it, null if this one did.
    """

    seed: int
    role: str
    status: str
    began_ms: int
    stages: list[StageDocument]
    curve: list[tuple[int, float]]
    machine: str | None


def timeline_document(store: Store, record: Record) -> list[TimelineDocument]:
    """Return the stages of each run of a record by this node; empty for peers' records."""
    body = record.body
    if not isinstance(body, ResultBody | RerunBody) or not store.records.is_own(record.id):
        return []
    outcomes = store.jobs.outcomes_of(body.runs)
    return [_run_document(outcome) for outcome in outcomes if outcome.stages]


def _run_document(outcome: StoredOutcome) -> TimelineDocument:
    began_ms = min(
        (one.start_ms for one in outcome.stages if one.name not in AHEAD),
        default=outcome.stages[0].start_ms,
    )
    return {
        "seed": outcome.run.seed,
        "role": outcome.run.role,
        "status": outcome.run.status,
        "began_ms": began_ms,
        "stages": [
            {
                "sandbox": one.part,
                "stage": one.name,
                "at_ms": one.start_ms - began_ms,
                "ms": one.end_ms - one.start_ms,
            }
            for one in outcome.stages
        ],
        "curve": as_pairs(outcome.curve),
        "machine": outcome.machine,
    }
