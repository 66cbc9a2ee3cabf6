"""Hypotheses of people and programs: registered before they are tried, closed afterwards.

A hypothesis is announced to other nodes on the line as an intent, so that nobody tries the same
meanwhile. Its outcome is a private note of this node and appears in no record.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal, TypeAlias

from node.line.ledger import Ledger
from node.store.jobs import LineKey
from node.store.store import Store, keep, kept_of
from protocol.codecs import choice, line, text
from protocol.errors import Rejected, UsageError
from protocol.fields import Digest, Items, Mapped, Named, Natural
from protocol.remarks import MAX_TITLE

State: TypeAlias = Literal["open", "done", "dropped"]

MAX_WHY: Final = 1_000
_HYPOTHESES: Final = "hypotheses"
_LIMIT_BYTES: Final = 1 << 20
_MOST_KEPT: Final = 300
_TTL_S: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis(Mapped):
    """A hypothesis; `id` is its intent record, `result` the experiment that tried it."""

    id: Digest
    ts_ms: Annotated[Natural, Named("ts")]
    title: Annotated[str, line(1, MAX_TITLE)]
    why: Annotated[str, text(MAX_WHY)]
    state: Annotated[State, choice("open", "done", "dropped")] = "open"
    result: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hypotheses(Mapped):
    hypotheses: Annotated[tuple[Hypothesis, ...], Items(0, _MOST_KEPT)]


def hypotheses_of(store: Store, line_key: LineKey) -> tuple[Hypothesis, ...]:
    """Return a line's hypotheses, oldest first."""
    kept = kept_of(store, _HYPOTHESES, line_key, _Hypotheses, limit_bytes=_LIMIT_BYTES)
    return kept.hypotheses if kept else ()


def register(ledger: Ledger, title: str, why: str, *, now_ms: int) -> Hypothesis:
    """Announce a hypothesis on the working line.

    Raises UsageError for an invalid title or text, or if the same title is open.
    """
    known = hypotheses_of(ledger.store, ledger.key)
    if any(one.state == "open" and one.title == title for one in known):
        raise UsageError("this hypothesis is open already", "close it first, or state another")
    sketch = Hypothesis.from_value(
        {"id": bytes(32), "ts": now_ms, "title": title, "why": why, "state": "open", "result": None}
    )
    if isinstance(sketch, Rejected):
        raise UsageError(
            f"that is not a hypothesis: {sketch.reason}", f"a title has 1 to {MAX_TITLE} characters"
        )
    with ledger.store.transaction():
        record = ledger.publication.intent(ledger.explored.tree, title, ttl_s=_TTL_S)
        found = replace(sketch, id=record.id)
        _keep(ledger, (*known, found))
    return found


def complete(ledger: Ledger, number: str, *, result: bytes | None) -> Hypothesis:
    """Close a hypothesis with the experiment that tried it, or drop it if that is None.

    Raises UsageError if it is unknown, ambiguous or closed, or if there is no such experiment.
    """
    known = hypotheses_of(ledger.store, ledger.key)
    meant = [one for one in known if one.id.hex().startswith(number)]
    if len(meant) != 1:
        raise UsageError(f"there is no hypothesis {number}", "GET /hypotheses lists them")
    if meant[0].state != "open":
        raise UsageError("this hypothesis is closed already", "register another")
    if result is not None and ledger.store.experiments.find(result) is None:
        raise UsageError("the result is not an experiment of this node", "see `arnode log`")
    closed = replace(meant[0], state="dropped" if result is None else "done", result=result)
    _keep(ledger, tuple(closed if one.id == closed.id else one for one in known))
    return closed


def _keep(ledger: Ledger, hypotheses: Sequence[Hypothesis]) -> None:
    kept = _Hypotheses(hypotheses=tuple(hypotheses[-_MOST_KEPT:]))
    keep(ledger.store, _HYPOTHESES, ledger.key, kept)
