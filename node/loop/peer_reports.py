"""Reports of peers' sessions: figures and titles for proposers, never the reports' texts.

A text is another author's prose, of any length. A user may fetch it, but no prompt contains it.
"""

from collections.abc import Collection, Iterator
from typing import Final

from agent.proposal import PeerReport
from node.store.jobs import LineKey
from node.store.store import Store
from protocol.remarks import ReportBody
from protocol.units import NANO

_SHOWN: Final = 4
_LOOKED_AT: Final = 500  # newest records of all authors
_ID_DIGITS: Final = 12
_HOUR_MS: Final = 3_600_000
_GAIN: Final = "gain_nano"


def reports_of_others(
    store: Store,
    line: LineKey,
    author: bytes,
    *,
    noise_sd: float,
    blocked: Collection[bytes] = (),
) -> tuple[PeerReport, ...]:
    """Return the latest report of a few other authors on a line's task, the newest first.

    Retracted reports are left out, as are those of `author` (this node) and of blocked authors.
    `noise_sd` is of one run here, in the metric's unit.
    """
    found: dict[bytes, PeerReport] = {}
    for their, body in _unretracted(store, line, {author, *blocked}):
        if their not in found:
            found[their] = _peer_report(their, body, line, noise_sd)
        if len(found) == _SHOWN:
            break
    return tuple(found.values())


def _unretracted(
    store: Store, line: LineKey, passed_over: Collection[bytes]
) -> Iterator[tuple[bytes, ReportBody]]:
    for record in store.records.listed("report", newest_first=True, limit=_LOOKED_AT):
        body = record.body
        if not isinstance(body, ReportBody) or body.task != line.task:
            continue
        if record.author not in passed_over and store.records.retraction(record.id) is None:
            yield record.author, body


def _peer_report(author: bytes, body: ReportBody, line: LineKey, noise_sd: float) -> PeerReport:
    gain_nano = body.figures.get(_GAIN)
    return PeerReport(
        author=author.hex()[:_ID_DIGITS],
        hardware_class=body.hardware_class,
        is_near=body.hardware_class == line.hardware_class,
        hours=(body.until_ms - body.since_ms) / _HOUR_MS,
        figures=body.figures.items,
        gain_sd=gain_nano / NANO / noise_sd if gain_nano and noise_sd else None,
        title=body.title,
    )
