"""Published session reports of this node and of peers, as JSON.

Titles and figure names are their authors' text. Code that displays them must clean them.
"""

from collections.abc import Collection
from typing import Final, TypedDict

from node.home.people import read_people
from node.reporting.open_home import OpenHome
from node.reporting.queries import OfId, OfTask
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.codecs import plain
from protocol.errors import UsageError
from protocol.remarks import ReportBody

_MOST: Final = 500
_LOOKED_AT: Final = 5_000  # the newest

PublishedDocument = TypedDict(
    "PublishedDocument",
    {
        "id": str,
        "author": str,
        "own": bool,
        "title": str,
        "since": int,
        "until": int,
        "task": str,
        "class": str,
        "figures": dict[str, int],
        "has_text": bool,
    },
)
"""One report. `own` is true for this node's report, `has_text` if its text is stored here."""


class ReportsDocument(TypedDict):
    """Reports, newest first."""

    reports: list[PublishedDocument]


class ReportTextDocument(TypedDict):
    """A report's text, with invisible characters escaped."""

    text: str


def reports_document(
    store: Store,
    blobs: Blobs,
    task: bytes | None = None,
    *,
    net: str,
    blocked: Collection[bytes] = (),
    with_own: bool = True,
) -> ReportsDocument:
    """Return a network's reports that are not retracted, about a task or about all.

    Reports of `blocked` authors are skipped.
    """
    found: list[PublishedDocument] = []
    for record in store.records.listed("report", newest_first=True, limit=_LOOKED_AT):
        body = record.body
        if not isinstance(body, ReportBody) or record.net != net or record.author in blocked:
            continue
        is_own = store.records.is_own(record.id)
        if task not in (None, body.task) or (is_own and not with_own):
            continue
        if store.records.retraction(record.id) is not None:
            continue
        found.append(
            {
                "id": record.id.hex(),
                "author": record.author.hex(),
                "own": is_own,
                "title": body.title,
                "since": body.since_ms,
                "until": body.until_ms,
                "task": body.task.hex(),
                "class": body.hardware_class,
                "figures": dict(body.figures.items),
                "has_text": blobs.has(body.text),
            }
        )
        if len(found) == _MOST:
            break
    return {"reports": found}


def published_page(at: OpenHome, query: OfTask) -> ReportsDocument:
    """Return the reports of the network in use, without those of blocked authors."""
    task, blocked = at.task(query.task), read_people(at.home.people).blocked
    return reports_document(at.store, at.blobs, task, net=at.net, blocked=blocked)


def report_text(at: OpenHome, query: OfId) -> ReportTextDocument:
    """Return the text of a report. Raises UsageError if this node does not have it."""
    record = at.store.records.find(query.id)
    text = text_of(at.blobs, record.body) if isinstance(record.body, ReportBody) else None
    if text is None:
        raise UsageError(
            "the text of this report is not here", "fetch it: `arnode report --fetch ID`"
        )
    return {"text": text}


def text_of(blobs: Blobs, body: ReportBody) -> str | None:
    """Return a report's text with invisible characters escaped; None if it is not on this node."""
    if not blobs.has(body.text):
        return None
    return plain(blobs.get(body.text).decode("utf-8", "replace"), lines=True)
