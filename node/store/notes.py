"""Notes by the owner to the proposers while the node runs: "try this", "leave that alone".

The latest notes are in every prompt for a day, like the owner's instructions. The last 200 are
stored. The journal has them in a file next to the table of results.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

from node.store.jobs import LineKey
from node.store.store import Store, keep, kept_of
from protocol.codecs import long_text
from protocol.errors import Rejected, UsageError
from protocol.fields import Items, Mapped, Named, Natural

MAX_NOTE: Final = 1_000
_NOTES: Final = "notes"
_LIMIT_BYTES: Final = 1 << 20
_TIME: Final = "%Y-%m-%d %H:%M:%S UTC"
_MOST_KEPT: Final = 200
_MOST_IN_FORCE: Final = 5
_IN_FORCE_MS: Final = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Mapped):
    """A note's text and time."""

    ts_ms: Annotated[Natural, Named("ts")]
    text: Annotated[str, long_text(MAX_NOTE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Notes(Mapped):
    notes: Annotated[tuple[Note, ...], Items(0, _MOST_KEPT)]


def notes_of(store: Store, line: LineKey) -> tuple[Note, ...]:
    """Return the notes on a line, oldest first."""
    kept = kept_of(store, _NOTES, line, _Notes, limit_bytes=_LIMIT_BYTES)
    return kept.notes if kept else ()


def notes_in_force(store: Store, line: LineKey, *, now_ms: int) -> tuple[str, ...]:
    """Return the notes that prompts quote now, oldest first."""
    recent = [note for note in notes_of(store, line) if now_ms - note.ts_ms < _IN_FORCE_MS]
    return tuple(note.text for note in recent[-_MOST_IN_FORCE:])


def keep_note(store: Store, line: LineKey, text: str, *, now_ms: int) -> Note:
    """Store a note by the owner. Raises UsageError if a prompt could not quote it."""
    note = Note.from_value({"ts": now_ms, "text": text.strip()})
    if isinstance(note, Rejected) or not note.text:
        raise UsageError(
            "the note is empty, too long or has invisible characters",
            f"write 1 to {MAX_NOTE} visible characters",
        )
    notes = _Notes(notes=(*notes_of(store, line), note)[-_MOST_KEPT:])
    keep(store, _NOTES, line, notes)
    return note


def notes_page(store: Store, line: LineKey) -> str:
    """Return the text of the journal's file of notes, oldest first; empty without notes."""
    note_lines = [
        f"## {datetime.fromtimestamp(note.ts_ms / 1000, UTC):{_TIME}}\n\n{note.text}\n"
        for note in notes_of(store, line)
    ]
    return (
        "\n".join(["# Notes from the owner to the proposers\n", *note_lines]) if note_lines else ""
    )
