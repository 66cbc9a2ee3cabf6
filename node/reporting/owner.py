"""Input from the node's owner or their programs: notes, instructions, hypotheses, sources."""

from typing import TypedDict

from node.line.attempts import attempt_of
from node.line.head_by_hand import line_to_show
from node.line.hypotheses import hypotheses_of
from node.reporting.open_home import OpenHome
from node.reporting.queries import OfHypotheses, OfLine, OfTry
from node.store.notes import Note, notes_of
from node.store.program_versions import program_versions
from node.store.store import Store
from protocol.rule import DEFAULT
from protocol.units import from_nano


class NoteDocument(TypedDict):
    """A note and its time.

    `experiment` is the one that it is on, null for a note to the proposers. `leave`: its change is
    not to be proposed again.
    """

    ts: int
    text: str
    experiment: str | None
    leave: bool


class NotesDocument(TypedDict):
    """Notes to the proposers and on experiments, oldest first."""

    notes: list[NoteDocument]


class ProgramVersionDocument(TypedDict):
    """A version of the instructions, its SHA-256, and the time a proposer first received it.

    `name` is null for the task's own text.
    """

    ts: int
    name: str | None
    hash: str
    text: str


class ProgramDocument(TypedDict):
    """The owner's present instructions to proposers, and their versions, oldest first."""

    text: str
    history: list[ProgramVersionDocument]


class HypothesisDocument(TypedDict):
    """A hypothesis to test; `result` and `gain` are those of its experiment."""

    id: str
    ts: int
    title: str
    why: str
    state: str
    result: str | None
    gain: float | None


class HypothesesDocument(TypedDict):
    """The hypotheses of a line."""

    hypotheses: list[HypothesisDocument]


def notes_document(at: OpenHome, query: OfLine) -> NotesDocument:
    """Return the notes on a line and its experiments."""
    line, _ = at.line(query)
    return {"notes": [note_document(note) for note in notes_of(at.store, line)]}


def note_document(note: Note) -> NoteDocument:
    """Return a note as a document."""
    return {
        "ts": note.ts_ms,
        "text": note.text,
        "experiment": None if note.about is None else note.about.hex(),
        "leave": bool(note.leave),
    }


def program_document(store: Store, text: str | None) -> ProgramDocument:
    """Return the owner's instructions; if `text` is None, the latest stored version."""
    line, _ = line_to_show(store)
    versions = program_versions(store, line.key)
    latest = next((one.text for one in reversed(versions) if one.name is None), "")
    return {
        "text": latest if text is None else text,
        "history": [
            {"ts": one.ts_ms, "name": one.name, "hash": one.hash.hex(), "text": one.text}
            for one in versions
        ],
    }


def hypotheses_document(at: OpenHome, query: OfHypotheses) -> HypothesesDocument:
    """Return the hypotheses, newest first or largest gain first."""
    store, (line, _) = at.store, at.line(query)
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
    if query.order == "best":
        found.sort(key=lambda one: (one["gain"] is None, -(one["gain"] or 0.0)))
    return {"hypotheses": found}


class AttemptDocument(TypedDict):
    """The decision on a submitted source. `decision` is the word that autoresearch uses for it.

    If the source failed, `metric` is null and `log` is the end of its output.
    """

    decision: str
    because: str
    status: str
    metric: float | None
    tree: str
    result: str | None
    log: str | None


class TryDocument(TypedDict):
    """A submitted source; `attempt` is null until it is decided."""

    mark: str
    decided: bool
    attempt: AttemptDocument | None


def try_document(at: OpenHome, query: OfTry) -> TryDocument:
    """Return the state of a submitted source on the current line."""
    line, _ = line_to_show(at.store)
    mark = bytes.fromhex(query.mark)
    attempt = attempt_of(at.store, line.key, mark, at.blobs.get_source, DEFAULT)
    attempt_document: AttemptDocument | None = None
    if attempt is not None:
        attempt_document = {
            "decision": attempt.word,
            "because": attempt.because,
            "status": attempt.status,
            "metric": from_nano(attempt.metric_nano),
            "tree": attempt.tree.hex(),
            "result": None if attempt.record is None else attempt.record.hex(),
            "log": attempt.log_tail if attempt.metric_nano is None else None,
        }
    return {"mark": query.mark, "decided": attempt is not None, "attempt": attempt_document}
