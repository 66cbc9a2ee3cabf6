"""Hypotheses of people and programs: registered before they are tried, closed afterwards.

A hypothesis is announced to peers in an intent record, so that they do not try the same idea
meanwhile. Its outcome is a private note of this node and appears in no record.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal, TypeAlias

from node.line.line_writer import LineWriter
from node.store.jobs import LineKey
from node.store.store import Store, keep, kept_of
from protocol.codecs import choice, long_text, single_line
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
    title: Annotated[str, single_line(1, MAX_TITLE)]
    why: Annotated[str, long_text(MAX_WHY)]
    state: Annotated[State, choice("open", "done", "dropped")] = "open"
    result: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hypotheses(Mapped):
    hypotheses: Annotated[tuple[Hypothesis, ...], Items(0, _MOST_KEPT)]


def hypotheses_of(store: Store, line_key: LineKey) -> tuple[Hypothesis, ...]:
    """Return a line's hypotheses, oldest first."""
    kept = kept_of(store, _HYPOTHESES, line_key, _Hypotheses, limit_bytes=_LIMIT_BYTES)
    return kept.hypotheses if kept else ()


def register(line_writer: LineWriter, title: str, why: str, *, now_ms: int) -> Hypothesis:
    """Store a hypothesis about the working line and announce it to peers.

    Raises UsageError for an invalid title or text, or if the same title is open.
    """
    known = hypotheses_of(line_writer.store, line_writer.key)
    if any(one.state == "open" and one.title == title for one in known):
        raise UsageError("this hypothesis is open already", "close it first, or state another")
    sketch = Hypothesis.from_value(
        {"id": bytes(32), "ts": now_ms, "title": title, "why": why, "state": "open", "result": None}
    )
    if isinstance(sketch, Rejected):
        raise UsageError(
            f"invalid hypothesis: {sketch.reason}", f"a title has 1 to {MAX_TITLE} characters"
        )
    with line_writer.store.transaction():
        record = line_writer.record_writer.intent(line_writer.explored.tree, title, ttl_s=_TTL_S)
        found = replace(sketch, id=record.id)
        _keep(line_writer, (*known, found))
    return found


def complete(line_writer: LineWriter, number: str, *, result: bytes | None) -> Hypothesis:
    """Close a hypothesis with the experiment that tried it, or drop it if `result` is None.

    Raises UsageError if it is unknown, ambiguous or closed, or if there is no such experiment.
    """
    known = hypotheses_of(line_writer.store, line_writer.key)
    meant = [one for one in known if one.id.hex().startswith(number)]
    if len(meant) != 1:
        raise UsageError(f"there is no hypothesis {number}", "GET /hypotheses lists them")
    if meant[0].state != "open":
        raise UsageError("this hypothesis is closed already", "register another")
    if result is not None and line_writer.store.experiments.find(result) is None:
        raise UsageError("the result is not an experiment of this node", "see `arnode log`")
    closed = replace(meant[0], state="dropped" if result is None else "done", result=result)
    _keep(line_writer, tuple(closed if one.id == closed.id else one for one in known))
    return closed


def _keep(line_writer: LineWriter, hypotheses: Sequence[Hypothesis]) -> None:
    kept = _Hypotheses(hypotheses=tuple(hypotheses[-_MOST_KEPT:]))
    keep(line_writer.store, _HYPOTHESES, line_writer.key, kept)
