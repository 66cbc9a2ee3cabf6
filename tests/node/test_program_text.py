"""The program text: the user's own goes first, is read again, and never gets lost to a fault."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from node.loop.briefing import MOST_BYTES, ProgramText
from trainer.task_folder.task import Task


@dataclass(frozen=True, kw_only=True)
class Named:
    """The part of a task that the program text needs."""

    name: str
    program: str
    program_path: Path


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "programs").mkdir()
    return tmp_path / "programs" / "tiny.md"


@pytest.fixture
def text(tmp_path: Path, own: Path, said: list[str]) -> ProgramText:
    shipped = tmp_path / "program.md"
    shipped.write_text("Lower it.")
    task = Named(name="tiny", program="Lower it.", program_path=shipped)
    return ProgramText(cast("Task", task), own.parent, said.append)


def test_without_an_own_one_the_task_s_is_read(text: ProgramText) -> None:
    assert text.read() == "Lower it."


def test_an_edit_is_seen_at_once(text: ProgramText, own: Path, tmp_path: Path) -> None:
    (tmp_path / "program.md").write_text("Lower it more.")
    assert text.read() == "Lower it more."
    own.write_text("Look at the optimiser only.")
    assert text.read() == "Look at the optimiser only."
    assert text.path == own


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff\xfe", "it is not UTF-8"),
        (b"a" * (MOST_BYTES + 1), f"it is longer than {MOST_BYTES} bytes"),
    ],
)
def test_a_fault_is_said_once_and_the_last_text_stays(
    text: ProgramText, own: Path, said: list[str], data: bytes, why: str
) -> None:
    own.write_text("Mine.")
    text.read()
    own.write_bytes(data)
    assert [text.read(), text.read()] == ["Mine.", "Mine."]
    assert said == [f"{own} cannot be used: {why}; the earlier text stays in use"]
    own.write_text("Mine again.")
    assert text.read() == "Mine again."


def test_of_several_texts_the_named_one_is_read_and_without_it_the_task_s_own(
    tmp_path: Path, own: Path, said: list[str]
) -> None:
    own.write_text("Be careful.")
    task = Named(name="tiny", program="Lower it.", program_path=tmp_path / "program.md")
    bold = ProgramText(cast("Task", task), own.parent, said.append, name="bold")
    assert bold.read() == "Be careful."
    (own.parent / "tiny.bold.md").write_text("Be bold.")
    assert bold.read() == "Be bold."
    assert not said
