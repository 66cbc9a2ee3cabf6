"""Kills, damaged pages, lost blobs and full disks: one clear error, and nothing lost."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.home.faults import DamagedStoreError, DiskFullError
from node.home.home import Home
from node.maintenance.fsck import examine, repair
from node.proposing.budget import open_cost_database
from node.store.blobs import Blobs
from node.store.journal import Journal
from node.store.mirror import Mirror
from node.store.model_calls import Charge, ModelCostLimits, ModelCostTotals, costs_on_day, reserve
from node.store.store import Store
from protocol.errors import ArnodeError, ConfigurationError
from protocol.record_kinds import TaskBody
from tests.node.examples import BASELINE, BETTER, KEY, LINE, MANIFEST, Notebook
from tests.node.steps import FreeStep

PAGE_BYTES = 4096

# Writes one record, one job and one journal page after another, and says so after each.
WRITER = """
import sys
from pathlib import Path
from tests.node.steps import FreeStep
from node.home.home import Home
from node.store.journal import Journal
from node.store.store import Store
from tests.node.examples import LINE, Notebook

home = Home(Path(sys.argv[1]))
with home.lock(), Store.open(home) as store:
    notebook = Notebook(home, store)
    if not store.records.listed():
        notebook.task_and_baseline()
    journal = Journal(home, store, notebook.blobs, LINE)
    while True:
        with store.transaction():
            result = notebook.kept()
            job = store.jobs.open_job(LINE, FreeStep({"result": result.id}), created_ms=0)
            store.jobs.close_job(job.id)
        print(result.id.hex(), flush=True)
        journal.catch_up()
"""


@pytest.mark.parametrize("kills", [4, pytest.param(10, marks=pytest.mark.soak)])
def test_a_writer_killed_at_any_moment_leaves_everything_whole(home: Home, kills: int) -> None:
    promised: list[str] = []
    for kill in range(kills):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(home.root)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        # A different moment each time: behind so many results, wherever the next one stands.
        promised += [child.stdout.readline().strip() for _ in range(1 + kill % 4)]
        child.send_signal(signal.SIGKILL)
        promised += child.stdout.read().split()
        child.wait()
        child.stdout.close()
        with Store.open_read_only(home) as reader:
            assert all(reader.records.has(bytes.fromhex(promise)) for promise in promised)
        with Store.open(home) as store:
            kept = [record.id.hex() for record in store.records.own() if record.kind == "result"]
            assert set(promised) <= set(kept)
            done = [job.step.value for job in store.jobs.closed_jobs(LINE, FreeStep)]
            baseline = store.experiments.listed(limit=1)[0].id.hex()
            assert done == [{"result": bytes.fromhex(name)} for name in kept if name != baseline]
            Journal(home, store, Blobs(home.blobs), LINE).catch_up()
        assert examine(home) == []
    assert len(promised) >= 2 * kills


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A closed home with a few experiments in store, blobs and journal. Only to be read."""
    home = Home(tmp_path_factory.mktemp("written") / "home")
    with Store.open(home) as store:
        notebook = Notebook(home, store)
        notebook.task_and_baseline()
        for _ in range(20):
            notebook.kept()
            notebook.crashed()
        notebook.adopted()
        Journal(home, store, notebook.blobs, LINE).catch_up()
    return home


@pytest.fixture
def session(home: Home, written: Home) -> Blobs:
    """Such a home of this test's own, and its blobs."""
    shutil.copytree(written.root, home.root, symlinks=True)
    return Blobs(home.blobs)


def test_a_whole_home_has_no_problems(home: Home, session: Blobs) -> None:
    assert examine(home) == []
    with home.lock():
        assert repair(home) == []


@pytest.mark.parametrize("page", range(3, 30, 4))
def test_a_damaged_page_is_noticed_and_no_own_record_is_lost(
    home: Home, session: Blobs, page: int
) -> None:
    wires = Mirror(home.mirror).read()
    data = bytearray(home.store.read_bytes())
    assert len(data) > (page + 1) * PAGE_BYTES
    data[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = b"\xa5" * PAGE_BYTES
    home.store.write_bytes(data)
    problems = examine(home)
    assert problems != []
    with home.lock():
        assert any("damaged file is kept" in line for line in repair(home))
    assert examine(home) == []
    assert home.store.with_name("records.db.damaged-1").read_bytes() == bytes(data)
    with Store.open(home) as store:
        assert [record.wire for record in store.records.own()] == wires
        line = store.experiments.listed(newest_first=True, limit=1)[0]
        assert line.decision == "adopted"
        assert store.append_own(KEY, TaskBody(manifest=MANIFEST), ts_ms=1).seq == len(wires)


def test_a_file_that_is_no_database_is_an_error_with_its_fix(home: Home, session: Blobs) -> None:
    wires = Mirror(home.mirror).read()
    home.store.write_bytes(b"not a database at all" * 1000)
    for opening in (Store.open, Store.open_read_only):
        with pytest.raises(DamagedStoreError) as caught:
            opening(home)
        assert "arnode home fsck" in caught.value.hint
    with home.lock():
        repair(home)
    assert examine(home) == []
    with Store.open(home) as store:
        assert [record.wire for record in store.records.own()] == wires
        line = store.jobs.line(LINE)
        assert line is not None
        assert (line.verified, line.working) == (BETTER.tree, BETTER.tree)


def test_what_models_took_is_still_known_after_a_rebuild(home: Home, session: Blobs) -> None:
    with open_cost_database(home) as cost_database:
        for _ in range(3):
            reserve(
                cost_database,
                limits=ModelCostLimits(),
                model="small",
                most=Charge(tokens_in=11, tokens_out=7, usd_nano=5),
                now_ms=0,
            )
    data = bytearray(home.store.read_bytes())
    data[3 * PAGE_BYTES : 4 * PAGE_BYTES] = b"\xa5" * PAGE_BYTES
    home.store.write_bytes(data)
    with home.lock():
        repair(home)
    assert home.store.with_name("records.db.damaged-1").exists()
    with open_cost_database(home) as cost_database:
        kept = costs_on_day(cost_database, "1970-01-01")
        assert kept == ModelCostTotals(calls=3, tokens=54, usd_nano=15)


def test_a_missing_blob_is_reported_and_derived_again_from_the_diffs(
    home: Home, session: Blobs
) -> None:
    session.path(BETTER.tree).unlink()
    assert any(BETTER.tree.hex()[:12] in problem for problem in examine(home))
    with home.lock():
        assert any("rebuilt" in line for line in repair(home))
    assert examine(home) == []
    assert session.get_source(BETTER.tree) == BETTER


def test_a_lost_peer_baseline_is_reported_and_not_invented(home: Home, session: Blobs) -> None:
    session.path(BASELINE.tree).unlink()
    with home.lock():
        repair(home)
    problems = examine(home)
    assert any("missing" in problem for problem in problems)
    session.put_source(BASELINE)
    assert examine(home) == []


def test_an_edited_journal_is_fixed_and_kept(home: Home, session: Blobs) -> None:
    folder = next(home.journal.iterdir())
    (folder / "train.py").write_text("mine = True\n")
    assert any("edited" in problem for problem in examine(home))
    with home.lock():
        assert any("rebuilt" in line for line in repair(home))
    assert examine(home) == []
    aside = next(path for path in home.journal.iterdir() if ".aside-" in path.name)
    assert (aside / "train.py").read_text() == "mine = True\n"


def test_a_deleted_journal_comes_back(home: Home, session: Blobs) -> None:
    folder = next(home.journal.iterdir())
    folder.rename(home.root / "away")
    assert any("missing" in problem for problem in examine(home))
    with home.lock():
        repair(home)
    assert examine(home) == []


def test_a_damaged_key_is_a_problem(home: Home, session: Blobs) -> None:
    home.key.write_bytes(b"?")
    home.key.chmod(0o600)
    assert any(str(home.key) in problem for problem in examine(home))


def test_a_store_of_a_newer_version_is_left_alone(home: Home, session: Blobs) -> None:
    with Store.open(home) as store:
        store.database.rows("PRAGMA user_version = 99")
    for opening in (Store.open, Store.open_read_only):
        with pytest.raises(ConfigurationError, match="newer arnode"):
            opening(home)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 768 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=768k", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_one_clear_error_and_loses_nothing(small_disk: Path) -> None:
    home = Home(small_disk / "home")
    store = Store.open(home)
    notebook = Notebook(home, store)
    notebook.task_and_baseline()

    def fill() -> None:
        while True:
            notebook.kept()

    with pytest.raises(DiskFullError) as caught:
        fill()
    assert "free some space" in caught.value.hint
    kept = store.records.own()
    assert kept != []
    with pytest.raises(DiskFullError):
        notebook.blobs.put(os.urandom(1 << 19))
    assert notebook.blobs.damaged() == []
    store.close()
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    with Store.open(home) as store:
        assert store.records.own() == kept
        assert store.append_own(KEY, TaskBody(manifest=MANIFEST), ts_ms=1).seq == len(kept)
        Journal(home, store, notebook.blobs, LINE).catch_up()
    assert examine(home) == []


def test_a_file_that_may_not_grow_is_an_error_and_loses_nothing(
    home: Home, notebook: Notebook
) -> None:
    notebook.task_and_baseline()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill() -> None:
        while True:
            notebook.kept()

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limit[1]))
        with pytest.raises(ArnodeError) as caught:
            fill()
        with pytest.raises(DiskFullError):
            notebook.blobs.put(bytes(300_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert "arnode home fsck" in caught.value.hint or "free some space" in caught.value.hint
    kept = notebook.store.records.own()
    assert notebook.kept().seq == len(kept) + 1
    Journal(home, notebook.store, notebook.blobs, LINE).catch_up()
    assert examine(home) == []
