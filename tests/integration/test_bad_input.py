"""Whatever is wrong: one clear error, its hint, the right exit code, and nothing is lost."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.home.home import Home
from node.store.store import Store
from tests.conftest import DEAF_TASK, UNHURRIED_TASK
from tests.integration.nodes import (
    UNHURRIED_FLAGS,
    answered,
    arnode,
    arnode_json,
    environment,
    fault_of,
)

PAGE_BYTES = 4096
TASK_TOML = 'extends = "tiny"\nname = "mine"\ntitle = "Mine"\n'


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A home that does not exist yet."""
    return tmp_path / "empty"


def ids(home: Path) -> list[bytes]:
    with Store.open_read_only(Home(home)) as store:
        return [record.id for record in store.records.own()]


# What is typed


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("strat",), 2, "there is no command"),
        (("start", "--gpu"), 2, "--gpu"),
        (("start", "--for", "eight"), 2, "45m"),
        (("start", "--for", "0s"), 2, "1s"),
        (("start", "--until", "25:00"), 2, "07:00"),
        (("start", "--for", "1h", "--until", "07:00"), 2, "one of them"),
        (("start", "--max-experiments", "0"), 2, "--max-experiments"),
        (("start", "--max-watts", "0"), 2, "--max-watts"),
        (("start", "--gpus", "zero"), 6, "`gpus` takes NVIDIA cards by number"),
        (("start", "--gpus", "99", "--task", "nanochat"), 6, "NVIDIA card '99'"),
        (("start", "--task", "tinny"), 2, "tiny"),
        (("start", "--text", "/nowhere/at/all.txt"), 2, "/nowhere/at/all.txt"),
        (("run", "--task", "tinny"), 2, "tiny"),
        (("run", "--source", "nothing.py"), 2, "nothing.py"),
        (("run", "--seed", "4294967296"), 2, "--seed"),
        (("task", "show", "tinny"), 2, "tiny"),
        (("show", "zzzzzzzz"), 2, "no records yet"),
        (("show", "012"), 2, "no records yet"),
        (("leaderboard", "--task", "tinny"), 2, "tiny"),
        (("show", "0123456789"), 2, "no records yet"),
        (("diff", "0123456789"), 2, "no records yet"),
        (("head", "--set", "0123456789"), 2, "arnode start"),
        (("head",), 2, "arnode start"),
        (
            ("head", "--undo"),
            2,
            "arnode start",
        ),
        (("export", "results.csv"), 2, "results.tsv"),
        (("stop",), 3, "nothing to stop"),
        (("pause",), 3, "nothing to pause"),
        (
            ("home", "logs"),
            3,
            "arnode start",
        ),
        (("home", "key", "show"), 6, "arnode start"),
    ],
)
def test_a_word_that_cannot_be_meant_is_answered_with_what_can(
    empty: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    assert said in fault_of(empty, *words, code=code)


# Task folders


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TASK_TOML + "[budget\n", "task.toml"),
        (TASK_TOML + "nose_floor = 0.02\n", "noise_floor"),
        (TASK_TOML + '[budget]\ntokens = "many"\n', "tokens"),
        ('extends = "tinny"\nname = "mine"\n', "tiny"),
        (TASK_TOML + 'editable = ["nothing.py"]\n', "nothing.py"),
        ("", "task.toml"),
    ],
)
def test_a_broken_task_folder_is_reported_by_file_and_field(
    empty: Path, tmp_path: Path, text: str, said: str
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "task.toml").write_text(text)
    assert said in fault_of(empty, "start", "--task", str(folder), code=6)


def test_a_folder_without_a_task_is_none(empty: Path, tmp_path: Path) -> None:
    assert "task.toml" in fault_of(empty, "start", "--task", str(tmp_path), code=2)


# Settings and keys


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'tsak = "tiny"\n', "did you mean `task`"),
        (b"task = tiny\n", 'task = "tiny"'),
        (b'task = "\xff"\n', "UTF-8"),
        (b"max_experiments = 0\n", "whole number"),
        (b'battery = "pink"\n', "auto"),
    ],
)
def test_broken_settings_are_reported_by_file_and_key(
    home: Path, content: bytes, said: str
) -> None:
    (home / "config.toml").write_bytes(content)
    for words in (("start",), ("status",), ("home", "config", "check")):
        fault = fault_of(home, *words, code=6)
        assert said in fault
        assert "config.toml" in fault


def test_settings_that_are_a_folder_are_no_settings(home: Path) -> None:
    (home / "config.toml").mkdir()
    assert "folder" in fault_of(home, "start", code=6)


def test_a_misspelt_variable_is_no_setting(home: Path) -> None:
    assert "ARNODE_TASKS" in fault_of(home, "start", code=6, env={"ARNODE_TASKS": "tiny"})


def test_a_damaged_key_is_never_replaced(copied: Path) -> None:
    (copied / "key").write_text("arnode key 1\nauthor 00\n")
    assert "backup" in fault_of(copied, "start", *UNHURRIED_FLAGS, code=6)
    assert (copied / "key").read_text() == "arnode key 1\nauthor 00\n"


def test_a_home_that_is_a_file_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "ARNODE_HOME" in fault_of(tmp_path / "file", "start", code=6)


# The machine


def test_without_a_sandbox_nothing_runs(copied: Path) -> None:
    before = ids(copied)
    nowhere = {"PATH": "/nowhere"}
    status = arnode(copied, "status", env=nowhere).stdout
    if "tier container" in status:
        pytest.skip("root with the system's own Python has a sandbox without bubblewrap")
    assert "tier none" in status
    for words in (("start",), ("run",), ("compare", "baseline", "head")):
        fault = fault_of(copied, *words, *UNHURRIED_FLAGS, code=7, env=nowhere, run=arnode)
        assert "bubblewrap" in fault
    assert ids(copied) == before


def test_a_second_node_on_one_home_is_refused(copied: Path) -> None:
    with Home(copied).lock():
        fault = fault_of(copied, "start", *UNHURRIED_FLAGS, code=6, run=arnode)
        assert f"pid {os.getpid()}" in fault
        assert "arnode stop" in fault
        assert "is running on the home" in fault_of(copied, "head", "--undo", code=6)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe not text \x80" * 100_000, "UTF-8"),
        (b"too little to learn from", "byte"),
        (b"", "byte"),
    ],
)
def test_text_that_cannot_serve_is_refused(
    home: Path, tmp_path: Path, content: bytes, said: str
) -> None:
    text = tmp_path / "own.txt"
    text.write_bytes(content)
    assert said in fault_of(home, "start", "--text", str(text), code=6)


@contextlib.contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Callable[[int], None]]:
    """A file system of its own at `place`; what is yielded makes it larger."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        yield (
            lambda size: (
                subprocess.run(["mount", "-o", f"remount,size={size}m", str(place)], check=True)
                and None
            )
        )
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(folder: Path, left_bytes: int) -> Path:
    """Leave so little room in the file system."""
    filler = folder / "filler"
    free = shutil.disk_usage(folder).free
    with filler.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, max(1, free - left_bytes))
    return filler


@pytest.mark.parametrize("left_bytes", [0, pytest.param(65_536, marks=pytest.mark.soak)])
def test_a_full_disk_is_one_error_and_with_room_again_the_node_goes_on(
    worked: Path, tmp_path: Path, left_bytes: int
) -> None:
    with small_disk(tmp_path / "disk", 16):
        home = tmp_path / "disk" / "home"
        shutil.copytree(worked, home, symlinks=True)
        (home / "lock").unlink()
        before = ids(home)
        filler = fill(tmp_path / "disk", left_bytes)
        assert "disk is full" in fault_of(home, "start", *UNHURRIED_FLAGS, code=1, run=arnode)
        filler.unlink()
        assert ids(home)[: len(before)] == before
        answered(home, "start", *UNHURRIED_FLAGS, "--max-experiments", "1")
        assert arnode_json(home, "home", "fsck")["problems"] == []


@pytest.mark.parametrize(
    ("task", "said"),
    [
        pytest.param(DEAF_TASK, "disk is full", marks=pytest.mark.soak),
        (UNHURRIED_TASK, "check the disk (space, quota"),
    ],
    ids=["data", "store"],  # what reaches the limit: SQLite does not say by what it failed
)
def test_a_file_limit_in_the_middle_of_the_work_is_one_error(
    copied: Path, task: Path, said: str
) -> None:
    before = ids(copied)
    limit = (copied / "records.db").stat().st_size // 1024 + 24
    shell = f'ulimit -S -f {limit}; exec "$0" -m node start --task "$1"'
    done = subprocess.run(
        ["bash", "-c", shell, sys.executable, str(task)],
        env=environment(copied),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("arnode: ") == 1, done.stderr
    assert said in done.stderr
    assert ids(copied)[: len(before)] == before


# Damage


def test_a_corrupted_page_is_reported_and_fixed_from_the_records(copied: Path) -> None:
    before = ids(copied)
    store = copied / "records.db"
    data = bytearray(store.read_bytes())
    for page in range(1, len(data) // PAGE_BYTES):
        data[page * PAGE_BYTES : page * PAGE_BYTES + 64] = b"\xa5" * 64
    store.write_bytes(data)
    for words in (("log",), ("start", *UNHURRIED_FLAGS)):
        assert "arnode home fsck" in fault_of(copied, *words, code=1)
    assert "rebuild" in fault_of(copied, "home", "fsck", code=1)
    answered(copied, "home", "fsck", "--rebuild")
    assert ids(copied) == before
    assert arnode_json(copied, "home", "fsck")["problems"] == []


def test_a_single_page_of_nothing_is_noticed_before_anything_is_written(copied: Path) -> None:
    before = ids(copied)
    store = copied / "records.db"
    data = bytearray(store.read_bytes())
    with contextlib.closing(sqlite3.connect(store)) as database:
        rows = "SELECT rootpage FROM sqlite_master WHERE name = 'quarantine'"
        ((page,),) = database.execute(rows).fetchall()
    data[(page - 1) * PAGE_BYTES : page * PAGE_BYTES] = bytes(PAGE_BYTES)
    store.write_bytes(data)
    assert "arnode home fsck" in fault_of(copied, "start", *UNHURRIED_FLAGS, code=1)
    assert store.read_bytes() == data
    answered(copied, "home", "fsck", "--rebuild")
    assert ids(copied) == before


def test_a_missing_blob_is_reported_and_derived_again(copied: Path) -> None:
    head = arnode_json(copied, "status")["lines"][0]["head"]["tree"]
    source = answered(copied, "head").stdout
    (copied / "blobs" / head[:2] / head).unlink()
    assert "arnode home fsck" in fault_of(copied, "head", code=1)
    assert "rebuild" in fault_of(copied, "home", "fsck", code=1)
    shutil.copytree(Path(UNHURRIED_FLAGS[1]), copied / "data" / "tasks" / "unhurried")
    answered(copied, "home", "fsck", "--rebuild")
    assert answered(copied, "head").stdout == source


def test_an_edited_journal_stops_no_research_and_is_kept_aside(copied: Path) -> None:
    (journal,) = (copied / "journal").iterdir()
    (journal / "solve.py").write_text("mine = True\n")
    for words in (("add", "-A"), ("commit", "-q", "-m", "my own idea")):
        subprocess.run(
            ["git", "-C", str(journal), "-c", "user.name=me", "-c", "user.email=me@x", *words],
            check=True,
            capture_output=True,
        )
    assert "rebuild" in fault_of(copied, "home", "fsck", code=1)
    before = len(ids(copied))
    started = answered(copied, "start", *UNHURRIED_FLAGS, "--max-experiments", "1")
    assert "the journal was not updated" in started.stderr
    assert len(ids(copied)) > before
    answered(copied, "home", "fsck", "--rebuild")
    (aside,) = [path for path in (copied / "journal").iterdir() if "aside" in path.name]
    assert (aside / "solve.py").read_text() == "mine = True\n"
    assert (journal / "solve.py").read_text() == answered(copied, "head").stdout
