"""Notes by the owner: to the proposers of a line, and on single experiments.

The latest notes to the proposers are in every prompt for a day, like the owner's instructions. A
note on an experiment stays until it is replaced, and prompts quote it with the experiment. If it
says so, the built-in search leaves the experiment's change alone. The last 200 of each kind are
stored. The journal has them in a file next to the table of results. Notes are private.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

from node.store.jobs import LineKey
from node.store.store import Store, keep, kept_of
from protocol.codecs import long_text
from protocol.encoding import Value
from protocol.errors import Rejected, UsageError
from protocol.fields import OPTIONAL, Digest, Items, Mapped, Named, Natural

MAX_NOTE: Final = 1_000
_NOTES: Final = "notes"
_LIMIT_BYTES: Final = 2 << 20
_TIME: Final = "%Y-%m-%d %H:%M:%S UTC"
_MOST_KEPT: Final = 200
_MOST_IN_FORCE: Final = 5
_IN_FORCE_MS: Final = 24 * 3600 * 1000
_LEAVE: Final = "Leave this change alone."


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Mapped):
    """A note's text and time.

    `about` is the result record of the experiment that it is on, None for a note to the proposers.
    `leave`: the experiment's change is not to be proposed again.
    """

    ts_ms: Annotated[Natural, Named("ts")]
    text: Annotated[str, long_text(MAX_NOTE)]
    about: Annotated[Digest | None, OPTIONAL] = None
    leave: Annotated[bool | None, OPTIONAL] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Notes(Mapped):
    notes: Annotated[tuple[Note, ...], Items(0, 2 * _MOST_KEPT)]


def notes_of(store: Store, line: LineKey) -> tuple[Note, ...]:
    """Return the notes on a line and on its experiments, oldest first."""
    kept = kept_of(store, _NOTES, line, _Notes, limit_bytes=_LIMIT_BYTES)
    return kept.notes if kept else ()


def notes_in_force(store: Store, line: LineKey, *, now_ms: int) -> tuple[str, ...]:
    """Return the notes to the proposers that prompts quote now, oldest first."""
    recent = [
        note
        for note in notes_of(store, line)
        if note.about is None and now_ms - note.ts_ms < _IN_FORCE_MS
    ]
    return tuple(note.text for note in recent[-_MOST_IN_FORCE:])


def experiment_notes(store: Store, line: LineKey) -> dict[bytes, Note]:
    """Return the notes on the experiments of a line, by the experiments' ids."""
    return {note.about: note for note in notes_of(store, line) if note.about is not None}


def keep_note(
    store: Store,
    line: LineKey,
    text: str,
    *,
    now_ms: int,
    about: bytes | None = None,
    leave: bool = False,
) -> Note:
    """Store a note by the owner. Raises UsageError if a prompt could not quote it.

    A note on an experiment (`about`) replaces the one before it. If it is empty, there is none
    afterwards.
    """
    value: dict[str, Value] = {"ts": now_ms, "text": text.strip()}
    if about is not None:
        value |= {"about": about, "leave": leave}
    note = Note.from_value(value)
    if isinstance(note, Rejected) or not (note.text or about):
        raise UsageError(
            "the note is empty, too long or has invisible characters",
            f"write 1 to {MAX_NOTE} visible characters",
        )
    with store.database.writing():
        others = [one for one in notes_of(store, line) if about is None or one.about != about]
        kept = [*others, note] if note.text or note.leave else others
        to_proposers = [one for one in kept if one.about is None][-_MOST_KEPT:]
        on_experiments = [one for one in kept if one.about is not None][-_MOST_KEPT:]
        notes = sorted([*to_proposers, *on_experiments], key=lambda one: one.ts_ms)
        keep(store, _NOTES, line, _Notes(notes=tuple(notes)))
    return note


def notes_page(store: Store, line: LineKey) -> str:
    """Return the text of the journal's file of notes, oldest first; empty without notes."""
    note_lines = [_paragraph(note) for note in notes_of(store, line)]
    return (
        "\n".join(["# Notes from the owner to the proposers\n", *note_lines]) if note_lines else ""
    )


def _paragraph(note: Note) -> str:
    heading = f"## {datetime.fromtimestamp(note.ts_ms / 1000, UTC):{_TIME}}"
    if note.about is not None:
        heading += f", on experiment {note.about.hex()[:12]}"
    text = "\n\n".join(filter(None, [_LEAVE if note.leave else "", note.text]))
    return f"{heading}\n\n{text}\n"
