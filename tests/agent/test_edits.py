"""Edits apply exactly once or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.source.edits import (
    MAX_EDIT_TEXT,
    MAX_EDITS,
    are_kept,
    edits_between,
    is_made,
    line_edit,
    reapply,
)
from protocol.ideas import Edit
from protocol.source import Source
from tests.agent.contexts import MOVES, TINY

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
        [edit("y = 2", "y = 3")],  # in another file
        [edit("y = 2", "y = 3", "c.py")],
        [edit("x = a", "1"), edit("= aaa", "2")],  # overlapping each other
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


lines = st.lists(st.sampled_from(["a\n", "b\n", "ab\n", "\n", "c\n", "é\n"]), max_size=30)


@given(lines, lines, st.sampled_from(["", "a", "z"]))
def test_edits_between_two_sources_make_one_of_the_other(
    old: list[str], new: list[str], ending: str
) -> None:
    before = Source.of({"a.py": ("".join(old) + ending).encode(), "b.py": b"same\n"})
    after = Source.of({"a.py": "".join(new).encode(), "b.py": b"same\n"})
    edits = edits_between(before, after)
    if edits:
        assert reapply(edits, before) == after
        assert are_kept(edits)
    else:
        # Only if nothing changed, or if there is no text to match.
        assert before == after or not before["a.py"]


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_edits_between_any_bytes_are_right_or_none(old: bytes, new: bytes) -> None:
    before, after = Source.of({"a.py": old}), Source.of({"a.py": new})
    edits = edits_between(before, after)
    assert not edits or reapply(edits, before) == after


@pytest.mark.parametrize("name", MOVES)
def test_edits_between_are_found_for_every_listed_move(name: str) -> None:
    made = reapply(MOVES[name], TINY)
    assert made is not None
    edits = edits_between(TINY, made)
    assert reapply(edits, TINY) == made
    back = edits_between(made, TINY)
    assert reapply(back, made) == TINY


def test_edits_between_are_as_short_as_a_unique_place_allows() -> None:
    new = BASE.replacing("a.py", b"LR = 1\nHEAD_LR = 2\nx = aaa\n")
    assert edits_between(BASE, new) == (edit("HEAD_LR = 1\n", "HEAD_LR = 2\n"),)
    new = BASE.replacing("a.py", b"LR = 2\nHEAD_LR = 1\nx = aaa\n")
    assert edits_between(BASE, new) == (edit("LR = 1\nHEAD_LR = 1\n", "LR = 2\nHEAD_LR = 1\n"),)


def test_a_change_larger_than_an_edit_comes_in_pieces() -> None:
    old = Source.of({"a.py": "".join(f"line {at:04}\n" for at in range(1500)).encode()})
    new = Source.of({"a.py": "".join(f"other {at:04}\n" for at in range(1700)).encode()})
    edits = edits_between(old, new)
    assert 4 < len(edits) <= MAX_EDITS
    assert reapply(edits, old) == new
    assert all(max(len(one.search), len(one.replace)) <= MAX_EDIT_TEXT for one in edits)


def test_a_large_insertion_comes_in_pieces_too() -> None:
    lines = [f"line {at:04}\n" for at in range(100)]
    inserted = [f"new {at:05}\n" for at in range(900)]
    old = Source.of({"a.py": "".join(lines).encode()})
    new = Source.of({"a.py": "".join([*lines[:50], *inserted, *lines[50:]]).encode()})
    assert reapply(edits_between(old, new), old) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"a.py": b"x\n"}, {"a.py": b"x\n"}),
        ({"a.py": b"x\n"}, {"a.py": b"x\n", "b.py": b"y\n"}),
        ({"a.py": b"x\n", "b.py": b"y\n"}, {"a.py": b"z\n"}),
        ({"a.py": b""}, {"a.py": b"x\n"}),
        ({"a.py": b"x\xff\n"}, {"a.py": b"y\n"}),
        ({"a.py": b"x\n"}, {"a.py": b"y" * 300_000}),
        ({"a.py": b"x\n"}, {"a.py": b"y" * 5_000}),  # one line, longer than an edit
        ({"a.py": b"x\n" * 3_000}, {"a.py": b"x\n" * 1_500 + b"y\n" + b"x\n" * 1_500}),
        (
            {"a.py": b"".join(b"%d\n-%d\n" % (at, at) for at in range(70))},
            {"a.py": b"".join(b"%d\n+%d\n" % (at, at) for at in range(70))},
        ),
    ],
    ids=["same", "added", "lost", "empty", "bytes", "huge", "long", "alike", "many"],
)
def test_there_are_no_edits_where_they_cannot_be_or_not_be_kept(
    old: dict[str, bytes], new: dict[str, bytes]
) -> None:
    assert edits_between(Source.of(old), Source.of(new)) == ()
