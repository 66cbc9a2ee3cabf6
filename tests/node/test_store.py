"""Records are numbered, chained, found again and never half there."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.home import Home
from node.line.baseline import BaselineStep
from node.store import database, schema
from node.store.database import Database
from node.store.jobs import Line, decode_outcome, encode_outcome
from node.store.store import Store
from protocol.errors import ArnodeError, ConfigurationError, UsageError
from protocol.keys import SigningKey
from protocol.record_kinds import TaskBody
from tests.node.examples import (
    BASELINE,
    BETTER,
    HARDWARE_CLASS,
    KEY,
    LINE,
    MANIFEST,
    TASK,
    Notebook,
    outcome,
    patch_body,
)
from tests.node.steps import FreeStep
from trainer.measuring.loss_curve import MAX_POINTS, LossPoint
from trainer.measuring.timeline import Stage


def test_own_records_form_a_chain(notebook: Notebook) -> None:
    notebook.task_and_baseline()
    notebook.kept()
    records = notebook.store.records.listed()
    assert [record.seq for record in records] == [0, 1, 2, 3]
    assert [record.prev for record in records] == [None, *(record.id for record in records[:-1])]
    assert {record.net for record in records} == {"main"}


def test_the_chain_goes_on_after_reopening(home: Home) -> None:
    with Store.open(home) as store:
        first = store.append_own(KEY, TaskBody(manifest=MANIFEST), ts_ms=1, net="other")
    with Store.open(home) as store:
        second = store.append_own(KEY, patch_body(BASELINE, BETTER), ts_ms=2)
        assert (second.seq, second.prev) == (1, first.id)
        assert store.records.get(first.id).net == "other"


@pytest.fixture
def held(home: Home, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Let another program hold the store, which is open, until the returned function is called."""
    monkeypatch.setattr(schema, "_BUSY_S", 0.05)
    monkeypatch.setattr(store, "database", Database.open(home.store))
    other = sqlite3.connect(home.store, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    yield lambda: other.execute("COMMIT") and None
    other.close()


def test_another_program_that_writes_is_waited_for(
    store: Store, held: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    timer = threading.Timer(0.3, held)
    timer.start()
    with store.database.transaction():
        assert timer.finished.is_set()
    said = [record.message for record in caplog.records]
    assert ["waiting up to 10 min" in said[0], said[1:]] == [
        True,
        ["the store is free again, the node continues"],
    ]


@pytest.mark.usefixtures("held")
def test_one_that_never_ends_is_an_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_PATIENCE_S", 0.1)
    busy = pytest.raises(ArnodeError, match="is busy: another process is writing")
    with busy, store.database.transaction():
        pytest.fail("nobody may write meanwhile")


def test_where_nothing_may_be_written_a_store_is_read_as_it_is(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a copy in a read-only folder: SQLite can write no files next to it."""
    record = store.append_own(KEY, TaskBody(manifest=MANIFEST), ts_ms=1)
    store.close()
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
    with Store.open_read_only(home) as reader:
        assert reader.records.get(record.id) == record
        assert not list(home.root.glob("*-shm"))


def test_a_failed_transaction_leaves_no_record_and_frees_its_number(store: Store) -> None:
    def fail_after_appending() -> None:
        with store.transaction():
            store.append_own(KEY, TaskBody(manifest=MANIFEST), ts_ms=1)
            assert len(store.records.listed()) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_appending()
    assert store.records.listed() == []
    assert store.append_own(KEY, patch_body(BASELINE, BETTER), ts_ms=2).seq == 0


def test_one_transaction_holds_records_line_and_job_together(home: Home, store: Store) -> None:
    with store.transaction():
        store.append_own(KEY, TaskBody(manifest=MANIFEST), ts_ms=1)
        job = store.jobs.open_job(LINE, FreeStep({"step": 0}), created_ms=1)
        with Store.open_read_only(home) as reader:
            assert reader.records.listed() == []
            assert reader.jobs.open_jobs(LINE, FreeStep) == []
    with Store.open_read_only(home) as reader:
        assert len(reader.records.listed()) == 1
        assert reader.jobs.open_jobs(LINE, FreeStep) == [job]


def test_records_of_others_are_stored_once_and_bad_bytes_are_refused(
    home: Home, notebook: Notebook, tmp_path_factory: pytest.TempPathFactory
) -> None:
    wire = notebook.task_and_baseline().wire
    now_ms = time.time_ns() // 1_000_000
    bad = wire[:-1] + bytes([wire[-1] ^ 1])
    with Store.open(Home(tmp_path_factory.mktemp("other") / "home")) as other:
        report = other.intake.ingest([bad, wire, wire, bad], now_ms=now_ms)
        assert (len(report.new), report.duplicates, len(report.rejected)) == (1, 2, 1)
        assert other.intake.ingest([wire, wire], now_ms=now_ms).duplicates == 2
        assert [record.wire for record in other.records.listed()] == [wire]
        assert other.experiments.listed() == []
        assert len(other.records.listed()) == 1


def test_records_are_found_by_a_unique_prefix(notebook: Notebook) -> None:
    record = notebook.task_and_baseline()
    for digits in (4, 5, 8, 64):
        assert notebook.store.records.find(record.id.hex()[:digits]) == record
    assert notebook.store.records.find(record.id.hex()[:12].upper()) == record


@pytest.mark.parametrize("prefix", ["", "012", "01234567zz", "0" * 65, "../../etc"])
def test_what_cannot_be_an_id_is_a_usage_error(notebook: Notebook, prefix: str) -> None:
    notebook.task_and_baseline()
    with pytest.raises(UsageError, match="is not an id"):
        notebook.store.records.find(prefix)


def test_unknown_and_ambiguous_prefixes_are_distinguished(home: Home, notebook: Notebook) -> None:
    record = notebook.task_and_baseline()
    with pytest.raises(UsageError, match="no record's id begins with"):
        notebook.store.records.find(bytes(byte ^ 0xFF for byte in record.id).hex())
    # Nobody can make two ids that share 8 digits at will; a row with another id stands in.
    database = Database.open(home.store)
    twin = record.id[:4] + bytes(28)
    database.rows(
        "INSERT INTO record (id, kind, author, seq, ts_ms, own, wire, net, sort)"
        " SELECT ?, kind, author, seq + 100, ts_ms, 0, wire, net, sort FROM record WHERE id = ?",
        (twin, record.id),
    )
    database.close()
    with pytest.raises(UsageError, match="several") as caught:
        notebook.store.records.find(record.id.hex()[:8])
    assert record.id.hex()[:12] in caught.value.message
    assert twin.hex()[:12] in caught.value.message


def test_the_source_of_a_measurement_means_its_latest_result(notebook: Notebook) -> None:
    notebook.task_and_baseline()
    notebook.kept()
    latest = notebook.unconfirmed()
    assert notebook.store.records.find(BETTER.tree.hex()[:6]) == latest


def test_records_are_listed_by_kind_author_and_time(notebook: Notebook) -> None:
    notebook.task_and_baseline()
    kept = notebook.kept()
    store = notebook.store
    assert [record.kind for record in store.records.listed("result")] == ["result", "result"]
    assert store.records.listed("result", newest_first=True, limit=1) == [kept]
    assert len(store.records.listed(author=KEY.public)) == 4
    assert store.records.listed(author=bytes(32)) == []


def test_two_authors_have_two_chains(store: Store) -> None:
    other = SigningKey.from_seed(bytes(32))
    store.append_own(KEY, TaskBody(manifest=MANIFEST), ts_ms=1)
    assert store.append_own(other, TaskBody(manifest=MANIFEST), ts_ms=2).seq == 0


def test_experiments_say_what_came_of_each_patch(notebook: Notebook) -> None:
    notebook.task_and_baseline()
    notebook.kept()
    notebook.crashed()
    notebook.adopted()
    rows = notebook.store.experiments.listed(LINE)
    assert [(row.title, row.decision, row.metric_nano, row.gain_nano) for row in rows] == [
        ("baseline", "baseline", 1_500_000_001, None),
        ("Raise LEARNING_RATE", "kept", 1_480_000_001, 20_000_000),
        ("Break it", "failed", None, None),
        ("Checkpoint", "adopted", 1_480_000_000, 20_000_000),
    ]
    assert rows[1].parent == BASELINE.tree
    assert rows[1].tree == BETTER.tree
    assert notebook.store.experiments.listed(newest_first=True, limit=1) == [rows[-1]]


def test_experiments_can_be_derived_again(notebook: Notebook) -> None:
    notebook.task_and_baseline()
    notebook.kept()
    notebook.adopted()
    before = notebook.store.experiments.listed()
    notebook.store.database.rows("UPDATE experiment SET title = 'wrong'")
    assert notebook.store.experiments.listed() != before
    assert notebook.store.rebuild() == len(before) == 3
    assert notebook.store.experiments.listed() == before


def test_a_line_is_remembered(home: Home, store: Store) -> None:
    assert store.jobs.line(LINE) is None
    line = Line(
        task=TASK,
        hardware_class=HARDWARE_CLASS,
        verified=BASELINE.tree,
        working=BETTER.tree,
        stack=(b"p" * 32, b"q" * 32),
        reference_nano=(1_480_000_000,),
        promotion_trial_ms=7,
    )
    store.jobs.save_line(line)
    with Store.open_read_only(home) as reader:
        assert reader.jobs.line(line.key) == line
        assert reader.jobs.lines() == [line]


def test_a_job_keeps_its_runs_their_seeds_and_their_outcomes(home: Home, store: Store) -> None:
    job = store.jobs.open_job(LINE, FreeStep({"tree": BETTER.tree}), created_ms=5)
    run = store.jobs.plan_run(job.id, role="candidate", tree=BETTER.tree, seed=1)
    later = store.jobs.plan_run(job.id, role="candidate", tree=BETTER.tree, seed=8)
    stages = (
        Stage(part="train", name="import", start_ms=1_700_000_000_000, end_ms=1_700_000_002_000),
        Stage(part="train", name="train", start_ms=1_700_000_003_000, end_ms=1_700_000_008_000),
    )
    curve = (LossPoint(step=1, loss_nano=5_400_000_000), LossPoint(step=2, loss_nano=-1))
    ended = replace(outcome(log_tail="caf\u0065\u0301 \x1b[2J"), stages=stages, curve=curve)
    done = store.jobs.finish_run(run, ended)
    store.jobs.update_step(job, FreeStep({"step": 1, "tree": BETTER.tree}))
    with Store.open_read_only(home) as reader:
        assert reader.jobs.runs_of(job.id) == [done, later]
        assert reader.jobs.outcomes_of([ended.run, replace(ended.run, ms=1)]) == [ended]
        assert [open_job.step.value for open_job in reader.jobs.open_jobs(LINE, FreeStep)] == [
            {"step": 1, "tree": BETTER.tree}
        ]
    assert store.jobs.closed_jobs(LINE, FreeStep) == []
    store.jobs.close_job(job.id)
    assert store.jobs.open_jobs(LINE, FreeStep) == []
    assert [closed.id for closed in store.jobs.closed_jobs(LINE, FreeStep)] == [job.id]
    assert store.jobs.closed_jobs(LINE, BaselineStep) == []
    assert store.jobs.runs_of(job.id) == [done, later]
    assert store.jobs.open_runs_of(job.id) == [later]


POINTS = st.builds(
    LossPoint, step=st.integers(0, 999_999_999), loss_nano=st.integers(-(10**15), 10**15)
)


@given(st.lists(POINTS, max_size=MAX_POINTS))
def test_any_curve_is_kept_as_it_was(curve: list[LossPoint]) -> None:
    kept = replace(outcome(), curve=tuple(curve))
    assert decode_outcome(encode_outcome(kept)) == kept


def test_what_was_tried_is_not_forgotten(store: Store) -> None:
    assert not store.jobs.tried(TASK, bytes(32))
    store.jobs.mark_tried(TASK, bytes(32))
    store.jobs.mark_tried(TASK, bytes(32), b"r" * 32)
    store.jobs.mark_tried(TASK, bytes(32))
    assert store.jobs.tried(TASK, bytes(32))
    assert store.jobs.fingerprints(TASK) == {bytes(32)}
    assert not store.jobs.tried(bytes(32), bytes(32))
    assert store.database.rows("SELECT record FROM tried") == [(b"r" * 32,)]


def test_small_values_are_kept(store: Store) -> None:
    assert store.meta("cursor") is None
    store.set_meta("cursor", b"1")
    store.set_meta("cursor", b"2")
    assert store.meta("cursor") == b"2"


def test_a_home_without_a_store_reads_as_an_empty_one(home: Home) -> None:
    with Store.open_read_only(home) as reader:
        assert reader.records.listed() == []
    assert not home.root.exists()


def test_a_reader_cannot_write(home: Home, store: Store) -> None:
    with Store.open_read_only(home) as reader, pytest.raises(ConfigurationError):
        reader.set_meta("cursor", b"1")
