"""What others are about to try on a line, so that two nodes do not try the same at once.

Intents are advice: anybody may write one, it costs nothing, and it expires.
"""

from collections.abc import Iterator
from typing import Final

from node.store.jobs import LineKey
from node.store.store import Store
from protocol.records import Record
from protocol.remarks import IntentBody

TTL_S: Final = (
    900  # three runs of the five-minute task: a screen, a recheck, and time to hear of it
)
_LOOKED_AT = 500  # of the newest


def others_intents(store: Store, line: LineKey, *, author: bytes, now_ms: int) -> list[Record]:
    """Return what everybody but `author` tries on this line now, the newest first."""
    return list(_live(store, line, author, now_ms))


def titles_on(intents: list[Record], base: bytes) -> frozenset[str]:
    """Return what these intents want to try on one tree."""
    bodies = (record.body for record in intents)
    return frozenset(
        body.title for body in bodies if isinstance(body, IntentBody) and body.base == base
    )


def _live(store: Store, line: LineKey, author: bytes, now_ms: int) -> Iterator[Record]:
    for record in store.records.listed("intent", newest_first=True, limit=_LOOKED_AT):
        body = record.body
        if not isinstance(body, IntentBody) or record.author == author:
            continue
        is_here = (body.task, body.hardware_class) == (line.task, line.hardware_class)
        if is_here and 0 <= now_ms - record.ts_ms < 1000 * body.ttl_s:
            yield record
