"""The second copy of own records follows the store and gives back what the store lost."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.home import Home
from node.store.mirror import Mirror
from node.store.store import Store
from protocol.record_kinds import TaskBody
from tests.node.examples import KEY, MANIFEST, Notebook

WIRES = st.lists(st.binary(min_size=1, max_size=300), max_size=12)


@given(first=WIRES, second=WIRES, cut=st.integers(0, 400))
def test_whole_frames_are_read_back_and_a_torn_one_is_cut_off(
    first: list[bytes], second: list[bytes], cut: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mirror"
        Mirror(path).append(first)
        whole = path.stat().st_size
        Mirror(path).append(second)
        # A kill while the second batch was written leaves some leading part of it.
        with path.open("r+b") as stream:
            stream.truncate(max(whole, path.stat().st_size - cut))
        again = Mirror(path)
        kept = again.read()
        assert kept == (first + second)[: len(kept)]
        assert len(kept) >= len(first)
        assert again.count == Mirror.count_in(path) == len(kept)
        again.append([b"next"])
        assert Mirror(path).read() == [*kept, b"next"]


def test_every_own_record_is_in_the_copy(home: Home, notebook: Notebook) -> None:
    notebook.task_and_baseline()
    notebook.kept()
    assert Mirror(home.mirror).read() == [record.wire for record in notebook.store.records.listed()]


def test_a_rolled_back_record_is_not_in_the_copy(home: Home, store: Store) -> None:
    def fail_after_appending() -> None:
        with store.transaction():
            store.append_own(KEY, TaskBody(manifest=MANIFEST), ts_ms=1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_appending()
    kept = store.append_own(KEY, TaskBody(manifest=MANIFEST), ts_ms=2)
    assert Mirror(home.mirror).read() == [kept.wire]


def test_a_copy_that_fell_behind_catches_up(home: Home, notebook: Notebook) -> None:
    notebook.task_and_baseline()
    notebook.store.close()
    wires = Mirror(home.mirror).read()
    home.mirror.write_bytes(home.mirror.read_bytes()[:-5])
    Store.open(home).close()
    assert Mirror(home.mirror).read() == wires
    home.mirror.unlink()
    Store.open(home).close()
    assert Mirror(home.mirror).read() == wires


def test_a_store_restored_from_an_old_backup_gets_its_records_back(
    home: Home, notebook: Notebook
) -> None:
    notebook.task_and_baseline()
    notebook.store.close()
    backup = home.store.read_bytes()
    with Store.open(home) as store:
        later = Notebook(home, store)
        later.kept()
        records, experiments = store.records.own(), store.experiments.listed()
    home.store.write_bytes(backup)
    with Store.open(home) as store:
        assert store.records.own() == records
        assert [row.id for row in store.experiments.listed()] == [row.id for row in experiments]
        assert store.append_own(KEY, TaskBody(manifest=MANIFEST), ts_ms=9).seq == len(records)
