"""A search text matches exactly once; otherwise the model gets the reason and the actual text."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.answers.draft import EditBlock, ParsedAnswer, Slip, WholeFile
from agent.model.matching import apply_draft
from protocol.source import Source
from tests.agent.contexts import TINY
from tests.agent.drafts import block, of

TEXT = "LR = 1\nHEAD_LR = 1\n\ndef f(x):\n    return x\n\ndef g(x):\n    return x\n"
BASE = Source.of({"train.py": TEXT.encode()})


def applied(*blocks: EditBlock, source: Source = BASE) -> str:
    result = apply_draft(of(*blocks), source)
    assert isinstance(result, Source), result
    return result["train.py"].decode()


def slip(*blocks: EditBlock, source: Source = BASE) -> Slip:
    result = apply_draft(of(*blocks), source)
    assert isinstance(result, Slip)
    return result


def test_blocks_are_made_on_the_text_as_it_was() -> None:
    assert applied(block("LR = 1", "LR = 2"), block("def f(x):", "def f(y):")) == TEXT.replace(
        "LR = 1\n", "LR = 2\n", 1
    ).replace("f(x)", "f(y)")


def test_a_whole_line_wins_over_a_part_of_another() -> None:
    assert applied(block("LR = 1", "LR = 2")).startswith("LR = 2\nHEAD_LR = 1\n")


def test_a_part_of_a_line_will_do_where_it_is_there_once() -> None:
    assert "HEAD_LR = 3\n" in applied(block("HEAD_LR = 1", "HEAD_LR = 3"))
    assert "\ndef f(y):\n" in applied(block("f(x)", "f(y)"))
    assert "\ndef f():\n" in applied(block("f(x)", "f()"))


@pytest.mark.parametrize("search", ["AD_LR = 1", "HEAD", "turn x"])
def test_a_part_of_a_name_or_a_number_is_no_place(search: str) -> None:
    assert "matches nowhere" in slip(block(search, "z")).message
    for line in ("LR = 15", "LR = 1.5", "LR = 1_000", "LR = 1e3"):
        source = Source.of({"train.py": f"{line}\n".encode()})
        assert "matches nowhere" in slip(block("LR = 1", "LR = 2"), source=source).message


def test_lines_that_go_leave_no_empty_line() -> None:
    assert applied(block("HEAD_LR = 1", "")) == TEXT.replace("HEAD_LR = 1\n", "")


def test_the_last_line_may_lack_its_end() -> None:
    source = Source.of({"train.py": b"x = 1\ny = 2"})
    assert applied(block("y = 2", "y = 3"), source=source) == "x = 1\ny = 3"


def test_a_search_that_matches_often_is_shown_where() -> None:
    found = slip(block("    return x", "    return 2 * x"))
    assert found.message.startswith(
        "SEARCH of block 1 matches 2 times in train.py (lines 5, 8): it must match exactly once."
    )


def test_a_search_that_matches_nowhere_is_shown_what_is_nearest() -> None:
    found = slip(block("LR = 1", "LR = 2"), block("def g(y):\n    return x", "pass", 2))
    assert "SEARCH of block 2 matches nowhere in train.py" in found.message
    assert "Its line 1 is not in the file." in found.message
    assert "begin at line 7" in found.message
    assert found.source_lines[:2] == ("def g(x):", "    return x")


def test_other_spaces_are_named_as_such() -> None:
    found = slip(block("def f(x):\n  return x", "pass"))
    assert "Its line 2 has other spaces than the file." in found.message


def test_a_search_beyond_the_end_is_named_as_such() -> None:
    found = slip(block("def g(x):\n    return x\n\nmore = 1", "pass"))
    assert "Line 4 of it is not in the file" in found.message or "ends before" in found.message


def test_a_misspelt_line_finds_its_like() -> None:
    found = slip(block("HEAD_LRR = 1", "x"), source=BASE)
    assert found.source_lines[0] == "HEAD_LR = 1"
    assert "No lines of the file are similar." in slip(block("zzzzzzzz", "x")).message


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([block("", "x")], "SEARCH of block 1 is empty"),
        ([block(" \n ", "x")], "SEARCH of block 1 is empty"),
        ([block("LR = 1", "LR = 1")], "leaves the file as it is"),
        ([block("LR = 1\nHEAD_LR = 1", "x"), block("HEAD_LR = 1", "y")], "overlap at line 2"),
        ([block("LR = 1", "x"), block("LR = 1", "y")], "overlap at line 1"),
        ([replace(block("x", "y"), path="other.py")], "There is no file other.py"),
    ],
)
def test_what_is_wrong_is_said(blocks: list[EditBlock], message: str) -> None:
    assert message in slip(*blocks).message


def test_a_whole_file_replaces_the_file_and_a_fragment_does_not() -> None:
    text = TEXT.replace("LR = 1", "LR = 2").replace("def g(x)", "def h(x)")
    whole = ParsedAnswer(title="", why="", files=(WholeFile(path="train.py", text=text),))
    result = apply_draft(whole, BASE)
    assert isinstance(result, Source)
    assert result["train.py"].decode() == text
    fragment = apply_draft(whole, TINY)
    assert isinstance(fragment, Slip)
    assert "The block has 8 lines and train.py has 114" in fragment.message


@given(st.text(alphabet="ab \n", max_size=40), st.text(alphabet="ab \n", max_size=8))
def test_what_is_applied_matched_once(text: str, search: str) -> None:
    source = Source.of({"train.py": text.encode()})
    result = apply_draft(of(block(search, "ZZZ")), source)
    if isinstance(result, Source):
        after = result["train.py"].decode()
        assert after.count("ZZZ") == 1
        # Blanks at the ends of lines are tolerated.
        assert after.replace("ZZZ", search).split() == text.split()


@pytest.mark.parametrize("line", ["x\n", "x" * 200_000, "\n", "ab\n" * 3])
def test_a_search_of_any_size_ends(line: str) -> None:
    source = Source.of({"train.py": (line * (200_000 // len(line))).encode()})
    for search in ("x", "y" * 100_000, "y\n" * 4_000, "x\n" * 4_000 + "y"):
        assert apply_draft(of(block(search, "z")), source)
