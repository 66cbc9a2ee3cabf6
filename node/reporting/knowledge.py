"""Insights: lessons of series of results, in words."""

from typing import Final, TypedDict

from node.reporting.open_home import OpenHome
from node.reporting.queries import OfTask
from protocol.remarks import InsightBody

_MOST: Final = 500
_LOOKED_AT: Final = 5_000

InsightDocument = TypedDict(
    "InsightDocument",
    {
        "id": str,
        "author": str,
        "own": bool,
        "text": str,
        "ts": int,
        "class": str | None,
        "evidence": list[str],
    },
)
"""One insight; `own` is true if this node wrote it."""


class InsightsDocument(TypedDict):
    """Insights, newest first."""

    insights: list[InsightDocument]


def insights_document(at: OpenHome, query: OfTask) -> InsightsDocument:
    """Return the insights of all authors about a task, or about all tasks."""
    store, task = at.store, at.task(query.task)
    found: list[InsightDocument] = []
    for record in store.records.listed("insight", newest_first=True, limit=_LOOKED_AT):
        body = record.body
        if not isinstance(body, InsightBody) or record.net != at.net:
            continue
        if task not in (None, body.task) or store.records.retraction(record.id) is not None:
            continue
        found.append(
            {
                "id": record.id.hex(),
                "author": record.author.hex(),
                "own": store.records.is_own(record.id),
                "text": body.message,
                "ts": record.ts_ms,
                "class": body.hardware_class,
                "evidence": [one.hex() for one in body.evidence],
            }
        )
        if len(found) == _MOST:
            break
    return {"insights": found}
