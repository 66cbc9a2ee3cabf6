"""Folders of other systems, and runs of the tasks made from them."""

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from trainer.importing.draft import TaskDraft, write_draft
from trainer.program.harness import judging

FOLDERS: Final = Path(__file__).parent / "folders"

# Of docs and contract: what a program task may say, and in which tables.
FIELDS: Final = {
    "": {
        "name", "version", "kind", "title", "editable", "program", "moves", "files", "entry", "run",
        "build", "encoding", "isolation", "limit_s", "memory_gb", "max_source_growth",
        "noise_floor", "device", "threads", "instance_mb", "answer_mb", "warmup",
        "warmup_limit_s", "interactive", "module", "toolchains", "requires", "private", "scoring",
        "judge", "metric", "instances", "guards", "bound", "hyperparameters", "data",
    },
    "judge": {"file", "files", "vary", "limit_s", "requires", "scratch_mb"},
    "metric": {"name", "unit", "direction", "aggregate", "max_step"},
    "instances": {"public", "secret", "fixed"},
    "data": {"holdout", "judge"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Brought:
    """A task folder that was written."""

    draft: TaskDraft
    folder: Path

    @property
    def table(self) -> dict[str, Any]:
        return tomllib.loads((self.folder / "task.toml").read_text())

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()

    def judge(self, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
        """Load the judge as the harness does."""
        monkeypatch.setitem(sys.modules, "judging", judging)
        for name in ("copymode", "copystat"):  # which a judge may put others in place of
            monkeypatch.setattr(shutil, name, getattr(shutil, name))
        return self.module("judge.py")

    def module(self, name: str) -> ModuleType:
        path = self.folder / name
        module = ModuleType(path.stem)
        module.__file__ = str(path)
        exec(compile(path.read_bytes(), name, "exec"), module.__dict__)  # noqa: S102 -- our example
        return module


def brought(draft: TaskDraft, folder: Path) -> Brought:
    """Write a draft, and hold what is true of every task folder."""
    write_draft(draft, folder)
    made = Brought(draft, folder)
    table = made.table
    assert table.keys() <= FIELDS[""]
    for section in ("judge", "metric", "instances", "data"):
        assert table.get(section, {}).keys() <= FIELDS[section]
    assert [name in table for name in ("run", "entry", "module")].count(True) == 1
    assert 1 <= len(table["editable"]) <= 8
    judge = table["judge"]
    fixed = (*table.get("files", ()), *judge.get("files", ()), judge["file"], "program.md")
    for name in (*_paths(table), *fixed):
        assert (folder / name).is_file(), name
    assert "\n" not in table["title"]
    assert draft.notes
    return made


def _paths(table: Mapping[str, Any]) -> list[str]:
    return [name.partition("#")[0] for name in table["editable"]]


def measured(
    made: Brought, tmp_path: Path, *, seed: int = 5, changed: Mapping[str, str] | None = None
) -> tuple[dict[str, float] | None, str]:
    """Run a self-scored candidate as a sandbox would: its own files, the instance on stdin.

    Returns its figures, None if there are none, and what it said.
    """
    place = tmp_path / "place"
    shutil.rmtree(place, ignore_errors=True)
    for name in (*_paths(made.table), *made.table["files"]):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made.folder / name, place / name)
    for name, text in (changed or {}).items():
        (place / name).write_text(text)
    command = [sys.executable, "-B", *made.table["run"][1:]]
    ended = subprocess.run(
        command, cwd=place, input=json.dumps({"seed": seed}).encode(), capture_output=True,
        check=False, timeout=60,
    )  # fmt: skip
    said = ended.stderr.decode()
    if ended.returncode:
        assert ended.stdout == b""
        return None, said
    assert ended.stdout.count(b"\n") == 1
    return json.loads(ended.stdout), said


def copied(system: str, name: str, tmp_path: Path) -> Path:
    """Copy an example, to break it."""
    folder = tmp_path / "theirs" / name
    shutil.copytree(FOLDERS / system / name, folder)
    return folder
