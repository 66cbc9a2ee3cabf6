"""What this node's owner, or a program of theirs, said: notes, and what is to be found out."""

from typing import TypedDict

from node.line.hypotheses import hypotheses_of
from node.store.jobs import LineKey
from node.store.notes import notes_of
from node.store.program_versions import program_versions
from node.store.store import Store
from protocol.units import from_nano


class NoteDocument(TypedDict):
    """What was said, and when."""

    ts: int
    text: str


class NotesDocument(TypedDict):
    """The oldest first."""

    notes: list[NoteDocument]


class ProgramVersionDocument(TypedDict):
    """A text, its SHA-256, and when a proposer was first told it; `name` where it has one."""

    ts: int
    name: str | None
    hash: str
    text: str


class ProgramDocument(TypedDict):
    """The owner's text to whoever proposes, as it is now, and its versions, the oldest first."""

    text: str
    history: list[ProgramVersionDocument]


class HypothesisDocument(TypedDict):
    """An idea; `result` and `gain` are of the experiment that tried it."""

    id: str
    ts: int
    title: str
    why: str
    state: str
    result: str | None
    gain: float | None


class HypothesesDocument(TypedDict):
    """Those of a line."""

    hypotheses: list[HypothesisDocument]


def notes_document(store: Store, line: LineKey) -> NotesDocument:
    """Return what was said about a line."""
    return {"notes": [{"ts": note.ts_ms, "text": note.text} for note in notes_of(store, line)]}


def program_document(store: Store, line: LineKey, text: str | None) -> ProgramDocument:
    """Return the owner's text, the latest that was in force where nobody knows a newer one."""
    versions = program_versions(store, line)
    latest = next((one.text for one in reversed(versions) if one.name is None), "")
    return {
        "text": latest if text is None else text,
        "history": [
            {"ts": one.ts_ms, "name": one.name, "hash": one.hash.hex(), "text": one.text}
            for one in versions
        ],
    }


def hypotheses_document(store: Store, line: LineKey, *, best_first: bool) -> HypothesesDocument:
    """Return the hypotheses, the newest first or those that gained most."""
    found: list[HypothesisDocument] = []
    for one in reversed(hypotheses_of(store, line)):
        entry = None if one.result is None else store.experiments.find(one.result)
        found.append(
            {
                "id": one.id.hex(),
                "ts": one.ts_ms,
                "title": one.title,
                "why": one.why,
                "state": one.state,
                "result": None if one.result is None else one.result.hex(),
                "gain": from_nano(entry.gain_nano) if entry else None,
            }
        )
    if best_first:
        found.sort(key=lambda one: (one["gain"] is None, -(one["gain"] or 0.0)))
    return {"hypotheses": found}
