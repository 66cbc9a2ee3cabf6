"""Edits apply exactly once or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.edits import is_made, line_edit, reapply
from protocol.ideas import Edit
from protocol.source import Source

BASE = Source.of({"a.py": b"LR = 1\nHEAD_LR = 1\nx = aaa\n", "b.py": b"y = 2\n"})


def edit(search: str, replace: str, path: str = "a.py") -> Edit:
    return Edit(path=path, search=search, replace=replace)


def test_edits_of_several_files_apply_together() -> None:
    result = reapply([edit("x = aaa", "x = b"), edit("y = 2", "y = 3", "b.py")], BASE)
    assert result == Source.of({"a.py": b"LR = 1\nHEAD_LR = 1\nx = b\n", "b.py": b"y = 3\n"})


def test_edits_see_the_text_before_any_of_them() -> None:
    swap = [edit("LR = 1\nHEAD", "HEAD = 2\nLR"), edit("x = aaa", "LR = 1\nHEAD")]
    there, back = reapply(swap, BASE), reapply(list(reversed(swap)), BASE)
    assert there is not None
    assert there == back


@pytest.mark.parametrize(
    "edits",
    [
        [edit("absent", "")],
        [edit("LR = 1\n", "")],  # twice
        [edit("aa", "b")],  # twice, overlapping
        [edit("", "b")],
        [edit("y = 2", "y = 3")],  # in the other file
        [edit("y = 2", "y = 3", "c.py")],
        [edit("x = a", "1"), edit("= aaa", "2")],  # overlapping one another
        [edit("x = aaa", "fine"), edit("absent", "")],
    ],
)
def test_edits_that_do_not_match_exactly_once_change_nothing(edits: list[Edit]) -> None:
    assert reapply(edits, BASE) is None


def test_a_file_that_is_not_text_is_left_alone() -> None:
    assert reapply([edit("x", "y")], Source.of({"a.py": b"x\xff"})) is None


def test_a_line_edit_takes_neighbours_until_it_is_unique() -> None:
    text = BASE["a.py"].decode()
    assert line_edit("a.py", text, 5, 6, "2") == edit(
        "LR = 1\nHEAD_LR = 1\n", "LR = 2\nHEAD_LR = 1\n"
    )
    assert line_edit("a.py", text, 17, 18, "2") == edit("HEAD_LR = 1\n", "HEAD_LR = 2\n")


@given(st.text("ab\n", min_size=1, max_size=30), st.data())
def test_a_line_edit_replaces_exactly_its_span(text: str, data: st.DataObject) -> None:
    start = (
        data.draw(st.integers(0, len(text) - 1).filter(lambda at: text[at] != "\n"), "start")
        if (text.strip("\n"))
        else None
    )
    if start is None:
        return
    made = line_edit("a.py", text, start, start + 1, "Z")
    result = reapply([made], Source.of({"a.py": text.encode()}))
    assert result is not None
    assert result["a.py"].decode() == text[:start] + "Z" + text[start + 1 :]


def test_only_a_change_that_keeps_its_anchor_counts_as_made() -> None:
    insertion = edit("x = aaa\n", "x = aaa\nz = 1\n")
    assert not is_made([insertion], BASE)
    made = reapply([insertion], BASE)
    assert made is not None
    assert is_made([insertion], made)
    assert not is_made([edit("HEAD_LR = 1", "LR = 1")], BASE)
