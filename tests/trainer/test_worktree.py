"""A folder written by an untrusted program is read back: the editable files and nothing else."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.errors import Rejected
from protocol.hygiene import MAX_FILE_BYTES
from protocol.source import Source
from trainer.agent_sandbox.worktree import EditedFiles, Given, edited_files, lay_out, note

GIVEN = Given(
    editable=Source.of({"train.py": b"x = 1\n", "model/net.py": b"y = 1\n"}),
    read_only=(("program.md", b"Try.\n"), (".arnode/prompt.md", b"Now.\n")),
    ignored=(".tool*", "__pycache__"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lay_out(tmp_path, GIVEN)
    return tmp_path


def reason(folder: Path) -> str:
    found = edited_files(folder, GIVEN)
    assert isinstance(found, Rejected)
    return found.reason


def files(folder: Path) -> Source:
    found = edited_files(folder, GIVEN)
    assert isinstance(found, EditedFiles)
    assert found.dropped == ()
    return found.source


def test_what_was_laid_out_comes_back(folder: Path) -> None:
    assert files(folder) == GIVEN.editable
    assert (folder / "program.md").read_bytes() == b"Try.\n"


def test_edits_come_back(folder: Path) -> None:
    (folder / "model" / "net.py").write_bytes(b"\xffy")
    (folder / "new").write_bytes(b"x = 2\n")
    (folder / "new").rename(folder / "train.py")  # like an editor
    assert files(folder) == Source.of({"train.py": b"x = 2\n", "model/net.py": b"\xffy"})


def test_notes_and_droppings_are_left_alone(folder: Path) -> None:
    (folder / ".arnode" / "prompt.md").unlink()
    (folder / ".arnode" / "more").mkdir()
    (folder / ".tool.history").touch()
    (folder / "model" / "__pycache__").mkdir()
    (folder / "model" / "__pycache__" / "net.pyc").touch()
    assert files(folder) == GIVEN.editable


@pytest.mark.parametrize(
    ("add", "name"),
    [
        (lambda at: (at / "new.py").touch(), "new.py"),
        (lambda at: (at / "train.py.bak").touch(), "train.py.bak"),
        (lambda at: (at / "model" / "new.py").touch(), "model/new.py"),
        (lambda at: (at / ".git" / "objects").mkdir(parents=True), ".git"),
        (lambda at: (at / "link").symlink_to("/etc/passwd"), "link"),
        (lambda at: os.mkfifo(at / "pipe"), "pipe"),
        (lambda at: (at / "\x1b[31m\udcff").touch(), r"\x1b[31m\udcff"),
    ],
)  # fmt: skip
def test_what_was_added_is_dropped_and_named(
    folder: Path, add: Callable[[Path], object], name: str
) -> None:
    (folder / "train.py").write_bytes(b"x = 2\n")
    add(folder)
    edited = Source.of({"train.py": b"x = 2\n", "model/net.py": b"y = 1\n"})
    assert edited_files(folder, GIVEN) == EditedFiles(source=edited, dropped=(name,))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda at: (at / "train.py").unlink(), "train.py was removed"),
        (lambda at: (at / "model").rename(at / ".tool"), "model/net.py was removed"),
        (lambda at: (at / "program.md").unlink(), "program.md was removed"),
        (lambda at: (at / "program.md").chmod(0o755), "program.md was made executable"),
        (lambda at: (at / "train.py").chmod(0o4644), "train.py was made executable"),
        (lambda at: os.link(at / "train.py", at / ".tool"), "train.py has another hard link"),
        (lambda at: (at / "train.py").write_bytes(bytes(MAX_FILE_BYTES + 1)),
         f"train.py has more than {MAX_FILE_BYTES} bytes"),
        (lambda at: os.truncate(at / "train.py", 1 << 40), "train.py has more than"),
    ],
)  # fmt: skip
def test_any_other_change_is_named(
    folder: Path, change: Callable[[Path], object], expected: str
) -> None:
    change(folder)
    assert reason(folder).startswith(expected)


def test_something_else_of_the_name_is_refused(folder: Path) -> None:
    (folder / "train.py").unlink()
    os.mkfifo(folder / "train.py")
    assert reason(folder) == "train.py is no longer a plain file"


@pytest.mark.parametrize("target", ["/etc/passwd", "/dev/zero", "model/net.py", "nowhere", "/"])
def test_links_are_refused_wherever_they_lead(folder: Path, target: str) -> None:
    (folder / "train.py").unlink()
    (folder / "train.py").symlink_to(target)
    assert reason(folder) == "train.py was replaced by a link"


def test_a_folder_on_the_way_that_is_a_link_is_not_followed(folder: Path) -> None:
    (folder / "model").rename(folder / ".tool")
    (folder / "model").symlink_to(".tool")
    assert reason(folder) == "model/net.py was removed"


def test_a_folder_full_of_files_is_not_read_to_its_end(folder: Path) -> None:
    for number in range(1100):
        (folder / f".tool{number}").touch()
    assert reason(folder) == "a folder has too many new files"


def test_a_note_is_read_if_it_is_one(folder: Path) -> None:
    (folder / ".arnode" / "title.txt").write_bytes(b"A title")
    assert note(folder, GIVEN, "title.txt", limit_bytes=7) == b"A title"
    assert note(folder, GIVEN, "title.txt", limit_bytes=6) == b""
    assert note(folder, GIVEN, "none.txt", limit_bytes=6) == b""
    (folder / ".arnode").rename(folder / ".tool")
    (folder / ".arnode").symlink_to(".tool")
    assert note(folder, GIVEN, "title.txt", limit_bytes=7) == b""
