"""Compiled kernels: stored per source, and read from a folder that untrusted code may write to."""

import os
from pathlib import Path

import pytest

from trainer.sandbox import compiled
from trainer.sandbox.compiled import CompiledCode

BASELINE, OTHER, THIRD = bytes(32), b"\x01" * 32, b"\x02" * 32


@pytest.fixture
def kept(tmp_path: Path) -> CompiledCode:
    return CompiledCode(tmp_path / "kept", baseline=BASELINE, setting="a-card")


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """Write and return the files that a run left."""
    folder = tmp_path / "left"
    (folder / "triton" / "ab").mkdir(parents=True)
    (folder / "triton" / "ab" / "kernel.cubin").write_bytes(b"code")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def filled(kept: CompiledCode, tmp_path: Path, tree: bytes) -> dict[str, bytes]:
    target = tmp_path / f"new-{os.urandom(4).hex()}"
    target.mkdir()
    kept.fill(target, tree)
    return files(target)


def test_a_source_gets_what_its_own_tree_left(
    kept: CompiledCode, left: Path, tmp_path: Path
) -> None:
    assert not kept.has(OTHER)
    kept.keep(left, OTHER)
    assert kept.has(OTHER)
    assert filled(kept, tmp_path, OTHER) == {"triton/ab/kernel.cubin": b"code"}
    assert filled(kept, tmp_path, THIRD) == {}  # never another source's


def test_the_first_time_it_gets_the_baselines(
    kept: CompiledCode, left: Path, tmp_path: Path
) -> None:
    kept.keep(left, BASELINE)
    assert filled(kept, tmp_path, OTHER) == files(left)
    (left / "triton" / "more").write_bytes(b"of the patch")
    kept.keep(left, OTHER)
    assert filled(kept, tmp_path, OTHER) == files(left)
    assert "triton/more" not in filled(kept, tmp_path, BASELINE)


def test_another_setting_has_nothing(kept: CompiledCode, left: Path, tmp_path: Path) -> None:
    kept.keep(left, BASELINE)
    other = CompiledCode(tmp_path / "kept", baseline=BASELINE, setting="another-torch")
    assert filled(other, tmp_path, BASELINE) == {}


def test_links_and_pipes_are_left_out(kept: CompiledCode, left: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_bytes(b"of the host")
    (left / "link").symlink_to(secret / "key")
    (left / "folder").symlink_to(secret)
    os.mkfifo(left / "pipe")
    kept.keep(left, OTHER)
    assert filled(kept, tmp_path, OTHER) == {"triton/ab/kernel.cubin": b"code"}


@pytest.mark.parametrize(("name", "most"), [("MOST_BYTES", 7), ("MOST_FILES", 1)])
def test_too_much_is_not_kept(
    kept: CompiledCode, left: Path, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    (left / "more").write_bytes(b"more")
    monkeypatch.setattr(compiled, name, most)
    kept.keep(left, OTHER)
    assert not kept.has(OTHER)
    monkeypatch.setattr(compiled, name, most + 1)
    kept.keep(left, OTHER)
    assert kept.has(OTHER)


def test_what_was_used_last_stays(
    kept: CompiledCode, left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_MOST_KEPT", 2)
    kept.keep(left, BASELINE)
    kept.keep(left, OTHER)
    kept.keep(left, THIRD)
    filled(kept, tmp_path, OTHER)
    kept.keep(left, b"\x03" * 32)
    assert [kept.has(tree) for tree in (BASELINE, OTHER, THIRD)] == [True, True, False]


def test_folders_of_killed_nodes_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = tmp_path / "arnode.compiled-999999999-abc"
    dead.mkdir()
    first = compiled.make_folder()
    assert not dead.exists()
    assert compiled.make_folder() != first
    assert first.exists()
