"""A home with others' records whose signatures only some libraries took: it opens, without them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from node.home.faults import DamagedStoreError
from node.home.home import Home
from node.store.store import Store
from node.upkeep.fsck import examine
from protocol.errors import Rejected
from protocol.records import Record, parse_record, payload_id
from tests.node.examples import KEY
from tests.protocol.examples import INSIGHT
from tests.vectors import make

VECTORS = json.loads((Path(make.__file__).parent / "records.json").read_text("utf-8"))
NOW_MS = 1_800_000_000_000


def _torsioned() -> tuple[bytes, bytes]:
    """Return id and wire of a record whose author's key has a torsion part."""
    fault = "an author with a torsion part"
    (entry,) = (one for one in VECTORS["rejects"] if one["fault"] == fault)
    wire = bytes.fromhex(entry["wire"])
    head = payload_id(wire)
    assert not isinstance(head, Rejected)
    return head[0], wire


def _kept_before(home: Home, record_id: bytes, wire: bytes, *, own: bool = False) -> None:
    """Put a record in the store as an older version did, and another's in its quarantine."""
    with closing(sqlite3.connect(home.store)) as database, database:
        database.execute("INSERT OR REPLACE INTO meta VALUES ('stale', x'01')")
        database.execute(
            "INSERT INTO record (id, kind, author, seq, ts_ms, own, wire, net, sort)"
            " VALUES (?,'adopt',?,4,1,?,?,'main','news')",
            (record_id, bytes(32), own, wire),
        )
        database.execute(
            "INSERT INTO quarantine (id, ts_ms, wire) VALUES (?,1,?)", (record_id, wire)
        )


@pytest.fixture
def old_home(home: Home) -> Home:
    """A home with an own record and one of a golden author's."""
    with Store.open(home) as store:
        store.append_own(KEY, INSIGHT, ts_ms=NOW_MS)
        store.intake.ingest([bytes.fromhex(VECTORS["records"][0]["wire"])], now_ms=NOW_MS)
    return home


def test_such_records_of_others_are_let_go_and_all_else_stays(old_home: Home) -> None:
    record_id, wire = _torsioned()
    _kept_before(old_home, record_id, wire)
    with Store.open(old_home) as store:
        assert record_id not in {one.id for one in store.records.listed()}
        assert store.records.count() == 2
        _, released = store.intake.settle(now_ms=NOW_MS)
        assert not released.new
    assert examine(old_home) == []
    assert isinstance(parse_record(bytes.fromhex(VECTORS["records"][0]["wire"])), Record)


@pytest.mark.parametrize(("own", "net"), [(True, b"main"), (False, b"mail")])
def test_what_is_own_or_not_whole_is_damage_as_before(
    old_home: Home, own: bool, net: bytes
) -> None:
    record_id, wire = _torsioned()
    _kept_before(old_home, record_id, wire.replace(b"main", net), own=own)
    with pytest.raises(DamagedStoreError), Store.open(old_home):
        pass
