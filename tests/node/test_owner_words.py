"""The owner's words reach prompts and the journal; hypotheses are registered and closed."""

import hashlib
from pathlib import Path

import pytest

from node.home.faults import DamagedStoreError
from node.home.home import Home
from node.line.hypotheses import complete, hypotheses_of, register
from node.line.line_writer import LineWriter
from node.reporting.experiment import experiment_page
from node.reporting.owner import hypotheses_document, notes_document
from node.reporting.queries import OfHypotheses, OfId, OfLine
from node.store.blobs import Blobs
from node.store.journal import NOTES, Journal
from node.store.notes import experiment_notes, keep_note, notes_in_force, notes_of
from node.store.program_versions import keep_program, program_versions
from node.store.store import Store
from protocol.errors import UsageError
from protocol.remarks import IntentBody
from tests.node.examples import LINE
from tests.node.line_writers import keep, line_writer_of, with_baseline
from tests.node.open_homes import open_home_of

HOUR_MS = 3_600_000


@pytest.fixture
def line_writer(home: Home, store: Store) -> LineWriter:
    with_baseline(home, store)
    return line_writer_of(home, store)


def test_the_latest_notes_of_a_day_are_in_force_and_all_are_kept(
    home: Home, store: Store, line_writer: LineWriter
) -> None:
    for number in range(8):
        keep_note(store, LINE, f"note {number}", now_ms=number * 4 * HOUR_MS)
    now_ms = 28 * HOUR_MS
    assert notes_in_force(store, LINE, now_ms=now_ms) == tuple(f"note {n}" for n in range(3, 8))
    assert notes_in_force(store, LINE, now_ms=now_ms + 20 * HOUR_MS) == ("note 7",)
    assert [
        note["text"] for note in notes_document(open_home_of(home, store), OfLine())["notes"]
    ] == [f"note {number}" for number in range(8)]


@pytest.mark.parametrize("said", ["", "  \n ", "x" * 1001, "a\x1b[2J", "turned \u202e around"])
def test_what_no_prompt_could_quote_is_no_note(store: Store, said: str) -> None:
    with pytest.raises(UsageError):
        keep_note(store, LINE, said, now_ms=1)
    assert notes_of(store, LINE) == ()


def test_of_very_many_notes_the_oldest_go(store: Store) -> None:
    for number in range(203):
        keep_note(store, LINE, str(number), now_ms=number)
    assert [note.text for note in notes_of(store, LINE)][::199] == ["3", "202"]


def test_a_note_on_an_experiment_stays_until_it_is_replaced(
    home: Home, store: Store, line_writer: LineWriter
) -> None:
    one, other = keep(line_writer, "0.2").result, keep(line_writer, "0.3").result
    keep_note(store, LINE, "it diverged", now_ms=1, about=one)
    keep_note(store, LINE, "try again", now_ms=2, about=other, leave=True)
    keep_note(store, LINE, "no, it was the seed", now_ms=3, about=one, leave=True)
    keep_note(store, LINE, "be bold", now_ms=4)
    assert notes_in_force(store, LINE, now_ms=5) == ("be bold",)
    found = experiment_notes(store, LINE)
    assert {about: (note.text, note.leave) for about, note in found.items()} == {
        other: ("try again", True),
        one: ("no, it was the seed", True),
    }
    at = open_home_of(home, store)
    document = experiment_page(at, OfId(id=one.hex()))["owner_note"]
    assert document == {
        "ts": 3,
        "text": "no, it was the seed",
        "experiment": one.hex(),
        "leave": True,
    }
    keep_note(store, LINE, "  ", now_ms=6, about=one, leave=True)
    assert experiment_notes(store, LINE)[one].text == ""
    keep_note(store, LINE, "", now_ms=7, about=one)
    assert list(experiment_notes(store, LINE)) == [other]
    assert experiment_page(at, OfId(id=one.hex()))["owner_note"] is None


def test_notes_on_experiments_do_not_push_out_those_to_proposers(store: Store) -> None:
    keep_note(store, LINE, "to all", now_ms=0)
    for number in range(203):
        keep_note(store, LINE, "x" * 1000, now_ms=number, about=number.to_bytes(32))
    kept = notes_of(store, LINE)
    assert len(kept) == 201
    assert kept[0].text == "to all"
    assert kept[1].about == (3).to_bytes(32)


def test_the_journal_keeps_what_was_said(home: Home, store: Store, line_writer: LineWriter) -> None:
    journal = Journal(home, store, Blobs(home.blobs), LINE)
    journal.catch_up()
    assert not (journal.path / NOTES).exists()
    keep_note(store, LINE, "leave the schedule alone", now_ms=0)
    journal.catch_up()
    assert (journal.path / NOTES).read_text() == (
        "# Notes from the owner to the proposers\n\n"
        "## 1970-01-01 00:00:00 UTC\n\nleave the schedule alone\n"
    )
    assert journal.check() == []
    keep_note(store, LINE, "it diverged", now_ms=0, about=b"\xab" * 32, leave=True)
    journal.catch_up()
    assert (
        (journal.path / NOTES)
        .read_text()
        .endswith(
            "## 1970-01-01 00:00:00 UTC, on experiment abababababab\n\n"
            "Leave this change alone.\n\nit diverged\n"
        )
    )


def test_a_hypothesis_is_announced_closed_once_and_the_best_come_first(
    home: Home, store: Store, line_writer: LineWriter
) -> None:
    first = register(line_writer, "a larger step", "it still falls", now_ms=1)
    second = register(line_writer, "a smaller step", "", now_ms=2)
    dropped = register(line_writer, "no step", "", now_ms=3)
    (intent, *_) = store.records.listed("intent")
    assert isinstance(intent.body, IntentBody)
    assert (intent.id, intent.body.title) == (first.id, "a larger step")
    poor, good = keep(line_writer, "0.2"), keep(line_writer, "0.3")
    complete(line_writer, first.id.hex(), result=poor.result)
    complete(line_writer, second.id.hex()[:12], result=good.result)
    assert complete(line_writer, dropped.id.hex(), result=None).state == "dropped"
    with pytest.raises(UsageError, match="closed already"):
        complete(line_writer, first.id.hex(), result=None)
    at = open_home_of(home, store)
    newest = hypotheses_document(at, OfHypotheses())["hypotheses"]
    assert [one["title"] for one in newest] == ["no step", "a smaller step", "a larger step"]
    best = hypotheses_document(at, OfHypotheses(order="best"))["hypotheses"]
    gains = [one["gain"] for one in best]
    assert gains[:2] == sorted((gain for gain in gains if gain is not None), reverse=True)
    assert best[-1]["gain"] is None


def test_what_is_no_hypothesis_or_no_result_is_refused(
    store: Store, line_writer: LineWriter
) -> None:
    for title in ("", "x" * 121, "two\nlines", "a\x07"):
        with pytest.raises(UsageError):
            register(line_writer, title, "", now_ms=1)
    one = register(line_writer, "a larger step", "", now_ms=1)
    with pytest.raises(UsageError, match="open already"):
        register(line_writer, "a larger step", "again", now_ms=2)
    with pytest.raises(UsageError, match="not an experiment"):
        complete(line_writer, one.id.hex(), result=bytes(32))
    with pytest.raises(UsageError, match="there is no hypothesis"):
        complete(line_writer, "ffff", result=None)
    assert [known.state for known in hypotheses_of(store, LINE)] == ["open"]


def test_damage_is_reported_and_nothing_is_written_over_it(store: Store, tmp_path: Path) -> None:
    keep_note(store, LINE, "something", now_ms=1)
    key = f"notes/{LINE.task.hex()}/{LINE.hardware_class}"
    store.set_meta(key, b"nonsense")
    with pytest.raises(DamagedStoreError):
        keep_note(store, LINE, "more", now_ms=2)
    assert store.meta(key) == b"nonsense"


def test_each_version_of_the_program_is_kept_once_and_of_many_the_oldest_goes(
    store: Store,
) -> None:
    for now_ms, text in enumerate(("Lower it.", "Lower it.", "Lower it, gently.", "Lower it.")):
        keep_program(store, LINE, text, now_ms=now_ms)
    versions = program_versions(store, LINE)
    assert [(one.ts_ms, one.text) for one in versions] == [
        (0, "Lower it."),
        (2, "Lower it, gently."),
        (3, "Lower it."),
    ]
    assert versions[0].hash == hashlib.sha256(b"Lower it.").digest()
    for number in range(30):
        keep_program(store, LINE, f"{number}", now_ms=number)
    assert [one.text for one in program_versions(store, LINE)] == [f"{n}" for n in range(10, 30)]


def test_texts_in_force_at_once_are_kept_once_each(store: Store) -> None:
    for now_ms in range(6):
        keep_program(store, LINE, "Be careful.", now_ms=now_ms)
        keep_program(store, LINE, "Be bold.", now_ms=now_ms, name="bold")
    versions = program_versions(store, LINE)
    assert [(one.name, one.text) for one in versions] == [
        (None, "Be careful."),
        ("bold", "Be bold."),
    ]
