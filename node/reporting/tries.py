"""What came of a source that was handed in over the API, by the mark of its canonical AST."""

from typing import TypedDict

from node.line.attempts import attempt_of
from node.line.heads import line_to_show
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.rule import DEFAULT
from protocol.units import from_nano


class AttemptDocument(TypedDict):
    """A decision in autoresearch's words; `metric` is nil where it failed, and `log` its end."""

    decision: str
    because: str
    status: str
    metric: float | None
    tree: str
    result: str | None
    log: str | None


class TryDocument(TypedDict):
    """A source that was handed in; `attempt` is nil until it is decided."""

    mark: str
    decided: bool
    attempt: AttemptDocument | None


def try_document(store: Store, blobs: Blobs, mark: bytes) -> TryDocument:
    """Return what is known of a source on the line that is worked on."""
    line, _ = line_to_show(store)
    attempt = attempt_of(store, line.key, mark, blobs.get_source, DEFAULT)
    told: AttemptDocument | None = None
    if attempt is not None:
        told = {
            "decision": attempt.word,
            "because": attempt.because,
            "status": attempt.status,
            "metric": from_nano(attempt.metric_nano),
            "tree": attempt.tree.hex(),
            "result": None if attempt.record is None else attempt.record.hex(),
            "log": attempt.log_tail if attempt.metric_nano is None else None,
        }
    return {"mark": mark.hex(), "decided": attempt is not None, "attempt": told}
