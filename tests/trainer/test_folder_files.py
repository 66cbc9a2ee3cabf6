"""Files of an untrusted folder: links that lead out, and special files, are rejected by name."""

import os
from pathlib import Path

import pytest

from protocol.errors import ConfigurationError
from tests.outsiders import OUTSIDERS, REFUSED, secret_next_to
from trainer.host.folder_files import (
    FolderFile,
    files_below,
    find_file,
    named_files,
    read_plain,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a file, a folder with another one, and a secret next to it."""
    secret_next_to(tmp_path)
    (tmp_path / "given" / "deep").mkdir(parents=True)
    (tmp_path / "given" / "a.txt").write_text("one")
    (tmp_path / "given" / "deep" / "b.txt").write_text("two")
    return tmp_path / "given"


@pytest.mark.parametrize("outsider", OUTSIDERS)
def test_whatever_asks_for_it_is_refused(outsider: str, folder: Path) -> None:
    OUTSIDERS[outsider](folder / "x.txt", folder.parent / "secret")
    for asked in (
        lambda: find_file(folder, "x.txt"),
        lambda: named_files(folder, "*.txt"),
        lambda: list(files_below(folder)),
    ):
        with pytest.raises(ConfigurationError, match=REFUSED) as caught:
            asked()
        assert "x.txt" in caught.value.message or "0_step" in caught.value.message


@pytest.mark.parametrize("outsider", OUTSIDERS)
def test_what_is_put_in_its_place_later_is_refused_when_it_is_read(
    outsider: str, folder: Path
) -> None:
    found = find_file(folder, "a.txt")
    assert found is not None
    OUTSIDERS[outsider](folder / "a.txt", folder.parent / "secret")
    with pytest.raises(ConfigurationError, match=REFUSED):
        found.read(limit_bytes=100)
    with pytest.raises(ConfigurationError, match=REFUSED):
        found.copy_to(folder.parent / "copy")
    assert not (folder.parent / "copy").exists()


@pytest.mark.parametrize("name", ["../secret/id_rsa", "/etc/hostname", "deep/../../secret/id_rsa"])
def test_a_name_that_leads_out_is_refused(name: str, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="lies outside the folder: it leads to"):
        find_file(folder, name)


def test_links_inside_are_fine_and_a_loop_ends(folder: Path) -> None:
    (folder / "c.txt").symlink_to("deep/b.txt")
    (folder / "loop").symlink_to(".")
    (folder / "nowhere").symlink_to("gone")
    (folder / "itself").symlink_to("itself")
    assert [one.inside for one in files_below(folder)] == ["a.txt", "c.txt", "deep/b.txt"]
    found = find_file(folder, "c.txt")
    assert found is not None
    assert found.read(limit_bytes=3) == b"two"
    assert (found.name, found.stem, found.suffix) == ("c.txt", "c", ".txt")


def test_the_folder_itself_may_be_named_by_a_link(folder: Path) -> None:
    named = folder.parent / "named"
    named.symlink_to(folder)
    assert [one.read(limit_bytes=3) for one in files_below(named)] == [b"one", b"two"]


def test_what_is_declined_is_not_looked_at(folder: Path) -> None:
    (folder / ".env").symlink_to("/etc/hostname")
    (folder / "venv").symlink_to("/usr")
    wanted = files_below(folder, is_wanted=lambda inside, _: inside not in {".env", "venv"})
    assert [one.inside for one in wanted] == ["a.txt", "deep/b.txt"]


def test_a_folder_and_nothing_are_no_file(folder: Path) -> None:
    assert find_file(folder, "deep") is None
    assert find_file(folder, "gone.txt") is None
    with pytest.raises(FileNotFoundError):
        FolderFile(folder, "gone.txt").read(limit_bytes=1)


def test_more_than_the_limit_is_refused_without_being_read_whole(folder: Path) -> None:
    with (folder / "a.txt").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(ConfigurationError, match="larger than 10 bytes"):
        FolderFile(folder, "a.txt").read(limit_bytes=10)
    assert FolderFile(folder, "a.txt").beginning(limit_bytes=3) == b"one"


def test_a_file_that_the_user_names_may_lie_anywhere_and_is_a_plain_one(folder: Path) -> None:
    (folder / "named").symlink_to(folder.parent / "secret" / "id_rsa")
    assert read_plain(folder / "named", limit_bytes=100).startswith(b"-----BEGIN")
    os.mkfifo(folder / "pipe")
    with pytest.raises(ConfigurationError, match="pipe is a FIFO"):
        read_plain(folder / "pipe", limit_bytes=100)
