"""A model's answer is read as intended, or rejected with a message; no answer raises an error."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.answers.answer import parse_answer
from agent.model.answers.draft import MAX_ANSWER, MAX_BLOCKS, ParsedAnswer, Slip
from tests.agent.drafts import block

ONE = ("train.py",)
TWO = ("model/net.py", "train.py")
BLOCK = "<<<<<<< SEARCH\nLAYERS = 2\n=======\nLAYERS = 3\n>>>>>>> REPLACE\n"
WORDS = "TITLE: Deeper\nWHY: It can hold more.\n"
DEEPER = (block("LAYERS = 2", "LAYERS = 3"),)


def draft(text: str, editable: tuple[str, ...] = ONE) -> ParsedAnswer:
    found = parse_answer(text, editable)
    assert isinstance(found, ParsedAnswer), found
    return found


def slip(text: str, editable: tuple[str, ...] = ONE) -> str:
    found = parse_answer(text, editable)
    assert isinstance(found, Slip), found
    return found.message


def test_a_plain_answer_is_a_title_a_reason_and_blocks() -> None:
    text = f"{WORDS}train.py\n{BLOCK}\ntrain.py\n<<<<<<< SEARCH\na\n\n b\n=======\n>>>>>>> REPLACE"
    assert draft(text) == ParsedAnswer(
        title="Deeper", why="It can hold more.", blocks=(*DEEPER, block("a\n\n b", "", 2))
    )


@pytest.mark.parametrize(
    "text",
    [
        BLOCK,
        f"Sure! I will make it deeper.\n\n{BLOCK}\nThis should help.",
        f"```python\n{BLOCK}```\n",
        f"```python train.py\n{BLOCK}```\n",
        f"**train.py**\n\n```\n{BLOCK}```",
        f"### `train.py`:\n{BLOCK}",
        f"File: ./train.py\n{BLOCK}",
        f"/work/train.py\n{BLOCK}",
        BLOCK.replace("\n", "\r\n"),
        BLOCK.replace("<<<<<<< SEARCH", "<<<<<<< SEARCH train.py").replace("=======", "====="),
        f"<think>\nPerhaps\n<<<<<<< SEARCH\nWIDTH\n</think>\n{BLOCK}",
        f"An underline\n=======\n{BLOCK}",
    ],
    ids=range(12),
)
def test_chatter_fences_decoration_and_carriage_returns_are_put_up_with(text: str) -> None:
    assert draft(text).blocks == DEEPER


@pytest.mark.parametrize(
    ("words", "title", "why"),
    [
        ("TITLE: Deeper\nWHY: One.\nTwo.\n\nThree.\n", "Deeper", "One. Two."),
        ("**Title:** Deeper\n**Why**: One.\n", "Deeper", "One."),
        ("# TITLE: Deeper\n- why: One.\ntrain.py\n", "Deeper", "One."),
        ("TITLE: First\nTITLE: Second\n", "First", ""),
        ("TITLE: `LAYERS` 2 → 3\n", "`LAYERS` 2 → 3", ""),
        ("Title of it\n", "", ""),
    ],
)
def test_the_first_title_and_reason_count_however_decorated(
    words: str, title: str, why: str
) -> None:
    found = draft(words + BLOCK)
    assert (found.title, found.why, found.blocks) == (title, why, DEEPER)


def test_lines_of_a_block_are_no_titles_paths_or_fences() -> None:
    body = "TITLE: x\ntrain.py\n```\nprepare.py"
    found = draft(f"{WORDS}<<<<<<< SEARCH\n{body}\n=======\n{body}!\n>>>>>>> REPLACE\n")
    assert found.title == "Deeper"
    assert found.blocks == (block(body, f"{body}!"),)


def test_a_block_belongs_to_the_file_that_is_named_before_it() -> None:
    text = f"model/net.py\n{BLOCK}{BLOCK}train.py\n{BLOCK}"
    paths = [one.path for one in draft(text, TWO).blocks]
    assert paths == ["model/net.py", "model/net.py", "train.py"]
    assert "Name the file" in slip(BLOCK, TWO)


@pytest.mark.parametrize("path", ["prepare.py", "../secret.py", "/etc/passwd.txt", "net.py"])
def test_a_file_that_is_not_editable_is_refused_by_name(path: str) -> None:
    assert f"You may not change {path}" in slip(f"{path}\n{BLOCK}", TWO)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Your answer contains no change"),
        ("I would rather not.", "Your answer contains no change"),
        ("<<<<<<< SEARCH\na\n=======\nb\n", "Block 1 has no line `>>>>>>> REPLACE`"),
        (f"{BLOCK}<<<<<<< SEARCH\na\n{BLOCK}", "Block 2 has no line `>>>>>>> REPLACE` before"),
        ("<<<<<<< SEARCH\na\n>>>>>>> REPLACE\n", "Block 1 has no lines `=======`"),
        ("<<<<<<< SEARCH\na\n=======\nb\n=======\nc\n>>>>>>> REPLACE\n", "Block 1 has 2 lines"),
        (BLOCK * (MAX_BLOCKS + 1), "more than 64 blocks"),
        ("x" * (MAX_ANSWER + 1), "longer than"),
        ("prepare.py\n```python\nx = 1\n```\n", "You may not change prepare.py"),
        ("<think>\nPerhaps so:\n" + BLOCK, "ends inside its reasoning"),
        (f"- {BLOCK}", "is not at the beginning of a line"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    assert message in slip(text)


@pytest.mark.parametrize(
    "line",
    [
        "# ... existing code ...",
        "    # … rest of the class unchanged",
        "... the rest stays the same",
        "# rest of the file",
        "# unchanged",
        "# (code remains the same)",
    ],
)
def test_a_placeholder_for_code_is_refused(line: str) -> None:
    text = f"<<<<<<< SEARCH\na\nb\n=======\nc\n{line}\n>>>>>>> REPLACE\n"
    assert "placeholder" in slip(text)
    # Lines that are there already may remain.
    assert draft(text.replace("a\n", f"{line}\n", 1))


@pytest.mark.parametrize(
    "line", ["...", "x = ...", "# the rest of the weights decay", "# kept as before training"]
)
def test_what_only_looks_like_a_placeholder_is_code(line: str) -> None:
    assert draft(f"<<<<<<< SEARCH\na\n=======\n{line}\n>>>>>>> REPLACE\n").blocks[0].replace == (
        line,
    )


@pytest.mark.parametrize(
    "text",
    [
        "train.py\n```python\nx = 1\n\ny = 2\n```\n",
        "\nHere it is:\n\n```python\nx = 1\n\ny = 2\n```\nDone.",
        "```python:train.py\nx = 1\n\ny = 2\n```",
        "`train.py`\n~~~\nx = 1\n\ny = 2\n~~~",
    ],
    ids=range(4),
)
def test_a_whole_file_is_a_fenced_block(text: str) -> None:
    found = draft(WORDS + text)
    assert [(one.path, one.text) for one in found.files] == [("train.py", "x = 1\n\ny = 2\n")]
    assert (found.title, found.why) == ("Deeper", "It can hold more.")


def test_several_files_come_by_name_and_unnamed_ones_are_examples() -> None:
    text = "```\nexample\n```\ntrain.py\n```\na\n```\nmodel/net.py\n````\nb\n```\nc\n````\n"
    files = [(one.path, one.text) for one in draft(text, TWO).files]
    assert files == [("train.py", "a\n"), ("model/net.py", "b\n```\nc\n")]
    assert "Your answer contains no change" in slip("```\na\n```\n", TWO)


FRAGMENTS = st.sampled_from(
    [
        *BLOCK.splitlines(),
        *WORDS.splitlines(),
        "```",
        "```python",
        "train.py",
        "prepare.py",
        "",
        "# ... existing code ...",
        "</think>",
        "\u202e\x00",
    ]
)


@given(st.lists(FRAGMENTS | st.text(), max_size=40).map("\n".join), st.sampled_from([ONE, TWO]))
def test_no_garbage_makes_it_fail(text: str, editable: tuple[str, ...]) -> None:
    found = parse_answer(text, editable)
    if isinstance(found, ParsedAnswer):
        assert found.blocks or found.files
        assert {one.path for one in (*found.blocks, *found.files)} <= set(editable)
    else:
        assert found.message


@pytest.mark.parametrize("piece", ["<<<<<<< SEARCH\n", "=", "```\n", "TITLE: ", "a.b/", "WHY: x\n"])
def test_a_large_answer_of_one_piece_takes_no_time_to_speak_of(piece: str) -> None:
    found = parse_answer(piece * (200_000 // len(piece)), ONE)
    assert isinstance(found, Slip | ParsedAnswer)


@given(
    st.lists(st.text(alphabet="ab \n"), min_size=1, max_size=4),
    st.lists(st.text(alphabet="ab \n"), min_size=4, max_size=4),
)
def test_blocks_come_back_as_they_were_written(searches: list[str], replaces: list[str]) -> None:
    blocks = tuple(
        replace(block(search, ""), number=number, replace=tuple(replacement.split("\n")))
        for number, (search, replacement) in enumerate(zip(searches, replaces, strict=False), 1)
    )
    text = "".join(
        f"train.py\n<<<<<<< SEARCH\n{search}\n=======\n{replacement}\n>>>>>>> REPLACE\n"
        for search, replacement in zip(searches, replaces, strict=False)
    )
    assert draft(text).blocks == blocks
