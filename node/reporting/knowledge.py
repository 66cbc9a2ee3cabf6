"""Knowledge beyond single results: insights, and the importance of hyperparameters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypedDict

from node.reporting.open_home import OpenHome
from node.reporting.queries import OfTask
from protocol.remarks import InsightBody

if TYPE_CHECKING:
    from agent.proposal import HyperparameterImportance

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


class ValueDocument(TypedDict):
    """A hyperparameter's value, and its estimated gain over the present value, in sd of one run."""

    value: bool | int | float | str
    gain_sd: float


class HyperparameterDocument(TypedDict):
    """A hyperparameter, and the share of variance that it explains alone, with a 90 % interval."""

    name: str
    share: float
    low: float
    high: float
    best: bool | int | float | str
    values: list[ValueDocument]


class ImportanceDocument(TypedDict):
    """Hyperparameters, the most important first; empty if too few of their values were tried.

    `explained` is the share of variance that all of them explain together.
    """

    hyperparameters: list[HyperparameterDocument]
    explained: float


def importance_document(found: "Sequence[HyperparameterImportance]") -> ImportanceDocument:
    """Return the importance of hyperparameters as JSON."""
    return {
        "hyperparameters": [
            {
                "name": one.name,
                "share": one.share,
                "low": one.low,
                "high": one.high,
                "best": one.best,
                "values": [{"value": value, "gain_sd": gain} for value, gain in one.gains],
            }
            for one in found
        ],
        "explained": min(1.0, sum(one.share for one in found)),
    }
