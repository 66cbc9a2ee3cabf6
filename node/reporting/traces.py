"""The visits of models and coding agents: a list, and each with its steps. For the owner only."""

from collections.abc import Mapping
from typing import Final, TypedDict

from agent.visit.trace import Refusal, TraceStep
from node.reporting.open_home import OpenHome
from node.reporting.queries import OfTrace, OfVisits
from node.store.store import Store
from node.store.traces import VisitSummary, read_trace, visits
from protocol.errors import UsageError
from protocol.units import NANO

REFUSALS: Final[Mapping[Refusal, str]] = {
    "unreadable": "not readable",
    "cut_off": "cut off",
    "unfit": "does not fit the files",
    "not_allowed": "not allowed",
    "tried": "tried before",
    "unchanged": "no change",
    "reviewer": "not chosen by the reviewer",
    "limit": "limit of the day",
    "fault": "no answer",
    "outdated": "outdated",
}


class VisitDocument(TypedDict):
    """A visit of a model or coding agent, for one proposal, and what it cost.

    `title` is its proposal's, null without one. `refusal` is the kind of reason why nothing was
    tried, `refused` the same in words, and `reason` the details. `experiments` came from it.
    """

    id: int
    ts: int
    proposer: str
    title: str | None
    refusal: str | None
    refused: str | None
    reason: str
    ms: int
    calls: int
    tokens_in: int
    tokens_out: int
    usd: float
    experiments: list[str]


class VisitsDocument(TypedDict):
    """A page of visits, the latest first."""

    visits: list[VisitDocument]
    total: int
    offset: int


class EditedFileDocument(TypedDict):
    """A file that a step edits."""

    path: str
    added: int
    removed: int


class StepDocument(TypedDict):
    """A step of a visit. The text of an edit is its diff.

    `left_out` characters are missing in the middle of a long text. `draft` numbers the proposals of
    a visit with a reviewer. A figure is null if it is unknown.
    """

    kind: str
    who: str
    text: str
    left_out: int
    refusal: str | None
    refused: str | None
    files: list[EditedFileDocument]
    draft: int | None
    ms: int | None
    tokens_in: int | None
    tokens_out: int | None
    usd: float | None


class TraceDocument(TypedDict):
    """A visit and its steps; `dropped` more steps in the middle were too many to store."""

    visit: VisitDocument
    steps: list[StepDocument]
    dropped: int


def visits_page(at: OpenHome, query: OfVisits) -> VisitsDocument:
    """Return a page of visits; with `without=experiments`, of those that led to none."""
    total, found = visits(
        at.store.database,
        offset=query.offset,
        limit=query.limit,
        without_result=query.without == "experiments",
    )
    return {
        "visits": [_visit(one) for one in found],
        "total": total,
        "offset": query.offset,
    }


def trace_page(at: OpenHome, query: OfTrace) -> TraceDocument:
    """Return the visit with a number. Raises UsageError if it is not stored."""
    return trace_document(at.store, query.number)


def trace_document(store: Store, number: int) -> TraceDocument:
    """Return the visit with a number. Raises UsageError if it is not stored."""
    found = read_trace(store.database, number)
    if found is None:
        raise UsageError(
            f"there is no visit {number}, or it was dropped as too old",
            "GET /traces lists the stored visits",
        )
    visit, body = found
    return {
        "visit": _visit(visit),
        "steps": [_step(step) for step in body.steps],
        "dropped": body.dropped,
    }


def _visit(visit: VisitSummary) -> VisitDocument:
    return {
        "id": visit.number,
        "ts": visit.ts_ms,
        "proposer": visit.proposer,
        "title": visit.title or None,
        "refusal": visit.refusal,
        "refused": REFUSALS[visit.refusal] if visit.refusal else None,
        "reason": visit.reason,
        "ms": visit.ms,
        "calls": visit.cost.calls,
        "tokens_in": visit.cost.tokens_in,
        "tokens_out": visit.cost.tokens_out,
        "usd": visit.cost.usd_nano / NANO,
        "experiments": [result.hex() for result in visit.results],
    }


def _step(step: TraceStep) -> StepDocument:
    return {
        "kind": step.kind,
        "who": step.who,
        "text": step.text,
        "left_out": step.left_out,
        "refusal": step.refusal,
        "refused": REFUSALS[step.refusal] if step.refusal else None,
        "files": [
            {"path": one.path, "added": one.added, "removed": one.removed} for one in step.files
        ],
        "draft": step.draft,
        "ms": step.ms,
        "tokens_in": step.tokens_in,
        "tokens_out": step.tokens_out,
        "usd": None if step.usd_nano is None else step.usd_nano / NANO,
    }
