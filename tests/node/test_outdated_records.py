"""Homes of before hidden characters were refused: whole, readable, and offered to nobody."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from node.commands.cli import main
from node.exchange.bundling import gather
from node.home.home import Home
from node.line.experiment import ExperimentStep
from node.store.mirror import Mirror
from node.store.store import Store
from node.upkeep.fsck import examine, mend, remarks
from protocol.encoding import Value, encode
from protocol.errors import Rejected, UsageError
from protocol.keys import SIGNATURE_CONTEXT
from protocol.record_kinds import Body, TaskBody
from protocol.records import Record, parse_kept, parse_record, record_id
from protocol.topics import common_news
from tests.node.examples import (
    BASELINE,
    BETTER,
    KEY,
    LINE,
    MANIFEST,
    Notebook,
    outcome,
    patch_body,
    result_body,
    run,
)
from tests.node.steps import FreeStep

TITLE = "Raise \u202eETAR"
SHOWN = "Raise \ufffdETAR"


def _wires() -> Iterator[tuple[bytes, Body, bytes]]:
    """Yield id, body and wire of an own chain: a task, a patch with a hidden title, its result."""
    patch = patch_body(BASELINE, BETTER, title=TITLE)
    prev: bytes | None = None
    patch_id = b""
    for seq in range(3):
        runs = (run(1_480_000_001), run(1_480_000_001, seed=3, reason="\u2067odd"))
        bodies: list[Body] = [
            TaskBody(manifest=MANIFEST),
            patch,
            result_body("keep", runs, source=BETTER, patch=patch_id),
        ]
        body = bodies[seq]
        value: dict[str, Value] = {
            "v": 1,
            "net": "main",
            "kind": body.kind,
            "author": KEY.public,
            "seq": seq,
            "prev": prev,
            "ts": 1_790_000_000_000 + seq,
            "body": body.to_value(),
        }
        payload = encode(value)
        wire = encode([payload, KEY.sign(SIGNATURE_CONTEXT + payload)])
        prev = record_id(payload)
        patch_id = prev if seq == 1 else patch_id
        yield prev, body, wire


@pytest.fixture
def old_home(home: Home) -> Home:
    """A home as it was written then: records, second copy, topics, and a job that is open."""
    with Store.open(home) as store:
        Notebook(home, store)
        step = ExperimentStep(
            base=BASELINE.tree,
            tree=BETTER.tree,
            fingerprint=bytes(32),
            key="k",
            title="fine",
            why="fine",
            proposer="knobs",
            edits=(),
            bank_nano=(),
        )
        hidden = replace(step, title=TITLE).to_value()
        job = store.jobs.open_job(LINE, FreeStep(hidden), created_ms=0)
        planned = store.jobs.plan_run(job.id, role="candidate", tree=BETTER.tree, seed=1)
        told = outcome()
        store.jobs.finish_run(planned, replace(told, run=replace(told.run, reason=TITLE)))
    wires = list(_wires())
    with closing(sqlite3.connect(home.store)) as database, database:
        database.execute("DELETE FROM meta")
        for seq, (record, body, wire) in enumerate(wires):
            database.execute(
                "INSERT INTO record (id, kind, author, seq, ts_ms, own, wire, net, sort)"
                " VALUES (?,?,?,?,?,1,?,'main','bulk')",
                (record, body.kind, KEY.public, seq, 1_790_000_000_000 + seq, wire),
            )
            database.execute(
                "INSERT INTO membership (topic, ts_ms, id, held) VALUES (?,?,?,1)",
                (common_news("main"), 0, record),
            )
    Mirror(home.mirror).append(wire for _, _, wire in wires)
    return home


def test_records_of_then_are_read_and_sent_to_nobody(old_home: Home) -> None:
    (task, _, _), (patch, _, wire), (result, _, _) = _wires()
    assert isinstance(parse_record(wire), Rejected)
    with Store.open(old_home) as store:
        (experiment,) = store.experiments.listed()
        assert experiment.title == SHOWN
        kept = store.records.get(patch)
        assert (kept.wire, kept.is_outdated) == (wire, True)
        assert not store.records.get(task).is_outdated
        assert store.records.outdated() == [patch, result]
        offered = {parse_record(one) for _, _, one in store.topics.own_after(0, limit=99)}
        assert {one.id for one in offered if isinstance(one, Record)} == {task}
        with pytest.raises(UsageError, match="hidden characters"):
            gather(store, Notebook(old_home, store).blobs, store.records.get(result))
        # The chain goes on behind them: no number is signed twice.
        new = store.append_own(KEY, patch_body(BASELINE, BETTER), ts_ms=1_790_000_001_000)
        assert (new.seq, new.prev) == (3, result)


def test_a_job_of_then_goes_on(old_home: Home) -> None:
    with Store.open(old_home) as store:
        (job,) = store.jobs.open_jobs(LINE, ExperimentStep)
        assert job.step.title == SHOWN
        (planned,) = store.jobs.runs_of(job.id)
        assert planned.outcome is not None
        assert planned.outcome.run.reason == SHOWN


def test_fsck_says_it_once_and_finds_everything_whole(
    old_home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store.open(old_home):
        pass
    monkeypatch.setenv("ARNODE_HOME", str(old_home.root))
    assert all(line.startswith("journal ") for line in mend(old_home))
    assert examine(old_home) == []
    (remark,) = remarks(old_home)
    assert remark.startswith("2 record(s) hold hidden characters")
    with pytest.raises(SystemExit) as ended:
        main(["fsck"])
    assert not ended.value.code
    shown = capsys.readouterr().out
    assert shown.count("hidden characters") == 1
    assert "\u202e" not in shown


def test_salvage_keeps_them(old_home: Home) -> None:
    wires = {record: wire for record, _, wire in _wires()}
    with Store.open(old_home):
        pass
    pages = bytearray(old_home.store.read_bytes())
    pages[4096:8192] = bytes(4096)
    old_home.store.write_bytes(pages)
    for suffix in ("-wal", "-shm"):
        Path(f"{old_home.store}{suffix}").unlink(missing_ok=True)
    mend(old_home)
    with Store.open(old_home) as store:
        assert {one.id: one.wire for one in store.records.own()} == wires


def test_what_is_not_only_hidden_is_damage() -> None:
    wire = list(_wires())[1][2]
    forged = wire[:-1] + bytes([wire[-1] ^ 1])
    assert parse_kept(forged) == parse_record(forged)
    assert isinstance(parse_kept(forged), Rejected)
