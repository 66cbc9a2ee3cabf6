"""A change in any format is accepted if it has only one meaning."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.answers.draft import MAX_ANSWER_LINES, Slip
from protocol.source import Source
from tests.agent.drafts import made, outcome_of, refused
from tests.agent.formats import BASE, BLOCK, DEEPER, FORMATS, GELU, NET, TRAIN, TWO, UNREAD


@pytest.mark.parametrize("name", FORMATS)
def test_what_can_mean_one_thing_only_is_understood(name: str) -> None:
    text, wanted = FORMATS[name]
    assert made(text, BASE)["train.py"].decode() == wanted


SCALED: Final = NET.replace("2 * x", "3 * x")
IN_TWO_FILES: Final = {
    "blocks": f"train.py\n{BLOCK}\nmodel/net.py\n<<<<<<< SEARCH\n2 * x\n=======\n3 * x\n"
    ">>>>>>> REPLACE",
    "diff": "```diff\n--- a/train.py\n+++ b/train.py\n@@\n-LAYERS = 2\n+LAYERS = 3\n"
    "--- a/model/net.py\n+++ b/model/net.py\n@@\n-    return 2 * x\n+    return 3 * x\n```",
    "diff of git": "```diff\ndiff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n"
    "@@ -6 +6 @@\n-LAYERS = 2\n+LAYERS = 3\ndiff --git a/model/net.py b/model/net.py\n"
    "--- a/model/net.py\n+++ b/model/net.py\n@@ -6 +6 @@\n-    return 2 * x\n"
    "+    return 3 * x\n```",
    "patch": "*** Begin Patch\n*** Update File: train.py\n@@\n-LAYERS = 2\n+LAYERS = 3\n"
    "*** Update File: model/net.py\n@@ def scale(x):\n-    return 2 * x\n+    return 3 * x\n"
    "*** End Patch",
    "files": f"train.py\n```python\n{DEEPER}```\n\nNow `model/net.py`:\n\n```python\n{SCALED}```",
    "files named by comments": f"```python\n# train.py\n{DEEPER}```\n"
    f"```\n# model/net.py\n{SCALED}```",
    "a block and a file": f"train.py\n{BLOCK}\n```python model/net.py\n{SCALED}```",
    "headings": f"## train.py\n\nDeeper:\n\n```\n{BLOCK}```\n\n## model/net.py\n\nMore:\n\n"
    "```\n<<<<<<< SEARCH\n2 * x\n=======\n3 * x\n>>>>>>> REPLACE\n```",
}


@pytest.mark.parametrize("name", IN_TWO_FILES)
def test_several_files_are_distinguished(name: str) -> None:
    source = made(IN_TWO_FILES[name], TWO)
    assert (source["train.py"].decode(), source["model/net.py"].decode()) == (DEEPER, SCALED)


# Two labelled snippets next to a block explain the change.
EXPLAINING: Final = ("before and after", "original code and updated code")
WIDER: Final = TRAIN.replace("WIDTH = 64", "WIDTH = 96")
REFUSED: Final = {
    "a hunk with two places": (
        (
            "```diff\n@@ -24,2 +24,3 @@\n     def __init__(self):\n         super().__init__()\n"
            "+        self.scale = 1\n```"
        ),
        "Hunk 1 of your diff matches 2 times in train.py (lines 12, 23)",
    ),
    "a hunk with no place": (
        "```diff\n@@ -6 +6 @@\n-LAYERS = 9\n+LAYERS = 3\n```",
        "Hunk 1 of your diff matches nowhere in train.py",
    ),
    "a hunk that is part of a line": (
        "```diff\n@@\n-RATE = 0.01\n+RATE = 0.1\n```",
        "Hunk 1 of your diff matches nowhere",
    ),
    "a hunk that only adds": (
        "```diff\n@@ -1,0 +1,1 @@\n+import math\n```",
        "Hunk 1 has no context",
    ),
    "a hunk with more than lines of the file": (
        "```diff\n@@\n-LAYERS = 2\n+LAYERS = 3\nand so on\n```",
        "Hunk 1 of your diff matches nowhere",
    ),
    "a bare diff that does not end": (
        (
            "--- a/train.py\n+++ b/train.py\n@@\n-LAYERS = 2\n+LAYERS = 3\nimport x\n-WIDTH = 64\n"
            "+WIDTH = 96\n"
        ),
        "The end of your diff is unclear",
    ),
    "a bare diff with more of it after the prose": (
        "--- a/train.py\n+++ b/train.py\n@@\n-LAYERS = 2\n+LAYERS = 3\n\nimport x\n-WIDTH = 64\n",
        "The end of your diff is unclear",
    ),
    "another file in a diff": (
        "```diff\n--- a/prepare.py\n+++ b/prepare.py\n@@\n-a\n+b\n```",
        "You may not change prepare.py: only train.py.",
    ),
    "a new file in a diff": (
        "```diff\n--- /dev/null\n+++ b/extra.py\n@@ -0,0 +1 @@\n+x = 1\n```",
        "You cannot add, remove or rename files",
    ),
    "an anchor that is elsewhere": (
        (
            "*** Begin Patch\n*** Update File: train.py\n@@ class Head\n@@ def forward\n"
            "-        for layer in self.layers:\n+        for layer in self.others:\n*** End Patch"
        ),
        "matches nowhere in train.py below `def forward`",
    ),
    "a patch that adds a file": (
        "*** Begin Patch\n*** Add File: extra.py\n+x = 1\n*** End Patch",
        "`*** Add File: extra.py` is not possible here",
    ),
    "a patch without its end": (
        "*** Begin Patch\n*** Update File: train.py\n-LAYERS = 2\n+LAYERS = 3",
        "Your patch has no line `*** End Patch`",
    ),
    "a block with two places": (
        BLOCK.replace("LAYERS = 2", "super().__init__()"),
        "SEARCH of block 1 matches 2 times in train.py (lines 13, 24)",
    ),
    "an indentation that is another in part": (
        (
            "<<<<<<< SEARCH\n  def forward(self, x):\n    for layer in self.layers:\n=======\n"
            "  def forward(self, y):\n    for layer in self.layers:\n>>>>>>> REPLACE"
        ),
        "has other spaces than the file",
    ),
    "a block without its end": (f"{BLOCK}<<<<<<< SEARCH\nWIDTH = 64\n=======\n", "Block 2 has no"),
    "a snippet": (
        "train.py\n```python\nLAYERS = 3\n```",
        "The block has 1 lines and train.py has 38, so it may be a part of the file",
    ),
    "a class that could be the file": (
        "```python\n" + GELU[GELU.index("class Model") : GELU.index("class Head")] + "```",
        "may be a part of the file",
    ),
    "a file without its second half": (
        "```python\n" + DEEPER[: DEEPER.index("class Head")] + "```",
        "may be a part of the file",
    ),
    "a file with a fence in it, in one like it": (
        "train.py\n```python\n" + DEEPER.replace("small model.", "model:\n\n```\nx\n```\n") + "```",
        "may be a part of the file",
    ),
    "two whole files": (
        f"```python\n{DEEPER}```\nor\n```python\n{WIDER}```",
        "2 whole versions of train.py, and they differ",
    ),
    "a diff and another file": (
        f"```diff\n-LAYERS = 2\n+LAYERS = 3\n```\n```python\n{WIDER}```",
        "Your answer changes train.py both by a diff and by a whole file, and the results differ",
    ),
    "a block and another diff": (
        f"{BLOCK}```diff\n-WIDTH = 64\n+WIDTH = 96\n```",
        "both by SEARCH/REPLACE blocks and by a diff",
    ),
    "two blocks on one line": (
        BLOCK + BLOCK.replace("LAYERS = 3", "LAYERS = 4"),
        "Two blocks overlap at line 6",
    ),
    "a placeholder": (
        f"```python\n{DEEPER.replace('optimizer =', '# ... rest of the code ...' + chr(10), 1)}```",
        "is a placeholder",
    ),
    "a file as it is": (f"```python\n{TRAIN}```", "leaves the file as it is"),
    "thoughts only": (f"<think>\nLet me try\n{BLOCK}", "ends inside its reasoning"),
    "a block and a pair of fences": (
        f"{BLOCK}Replace this:\n```\nWIDTH = 64\n```\nwith:\n```\nWIDTH = 96\n```",
        "The text below `Replace this` is not read: use SEARCH/REPLACE blocks",
    ),
    "a mark deep in a list": (
        BLOCK + "\n".join(" " * 16 + line for line in BLOCK.splitlines()),
        "is not at the beginning of a line",
    ),
    "JSON about something else": ('```json\n{"layers": 3}\n```', "may be a part of the file"),
    "nothing": ("I would make it deeper.", "Your answer contains no change"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_mean_two_things_or_none_is_refused_in_words(name: str) -> None:
    text, message = REFUSED[name]
    assert message in refused(text, BASE)


@pytest.mark.parametrize("name", UNREAD)
def test_a_change_in_another_format_is_refused_and_the_right_one_named(name: str) -> None:
    message = refused(UNREAD[name], BASE)
    assert "SEARCH" in message
    assert "REPLACE" in message


@pytest.mark.parametrize("name", [name for name in UNREAD if name not in EXPLAINING])
def test_next_to_a_block_a_change_in_another_format_is_not_passed_over(name: str) -> None:
    text = f"{BLOCK.replace('LAYERS = 2', 'WIDTH = 64')}\n{UNREAD[name]}"
    assert "is not read: use SEARCH/REPLACE blocks" in refused(text, BASE)


def test_a_whole_file_that_is_json_is_a_file() -> None:
    before = Source.of({"settings.json": b'{\n "files": 2,\n "width": 3\n}\n'})
    text = 'settings.json\n```json\n{\n "files": 4,\n "width": 3\n}\n```'
    assert made(text, before)["settings.json"] == b'{\n "files": 4,\n "width": 3\n}\n'


def test_next_to_a_change_of_one_file_a_part_of_another_is_refused_unless_it_is_quoted() -> None:
    part = "model/net.py\n```python\ndef scale(x):\n    return {} * x\n```\n"
    assert "may be a part of the file" in refused(f"train.py\n{BLOCK}{part.format(3)}", TWO)
    source = made(f"train.py\n{BLOCK}{part.format(2)}", TWO)
    assert (source["train.py"].decode(), source["model/net.py"].decode()) == (DEEPER, NET)


def test_of_several_files_one_has_to_be_named() -> None:
    assert "on the line before each block: model/net.py, train.py" in refused(BLOCK, TWO)
    assert "Your answer contains no change" in refused(f"```python\n{DEEPER}```", TWO)


GARBAGE: Final = [
    *("<<<<<<< SEARCH\n=======\n", "```\n", "```a\nTITLE: x\n", "~~~~\n```\n", "````a\n```\n"),
    *("@@\n\nx\n", "--- a\n+++ b\n", "--- a/train.py\n+++ b/train.py\n@@\n-x\n", "-x\n+y\n"),
    *("*** Begin Patch\n", "*** Update File: train.py\n@@\n", "<old_str>\n", "<old>a</old>\n"),
    *("[", "{", '{"a":', "[\n", '{"a": [\n', '{"search": "', "{}\n", "</think>", "<think>"),
    *("Replace this:\n```\na\n```\n", "train.py:\n", "a/" * 9, "# train.py\n", "x\n\n"),
    *("```diff\n@@\n", "```json\n[\n```\n", "def f():\n", "<a b=", "\t\n", "TITLE: x\nWHY: y\n"),
]


@pytest.mark.parametrize("piece", GARBAGE)
@pytest.mark.parametrize("begun", ["", "```\n", f"```\n{BLOCK}", "<think>x</think>"])
def test_a_large_answer_of_garbage_is_refused(piece: str, begun: str) -> None:
    most = MAX_ANSWER_LINES // (piece.count("\n") or 1) - 10
    text = begun + piece * min(200_000 // len(piece), most)
    found = outcome_of(text, BASE)
    # The first block may count; nothing after it is a change.
    assert isinstance(found, Slip) or found["train.py"].decode() == DEEPER


# Parts of all formats, in any order.
TEXTS: Final = [*(text for text, _ in FORMATS.values()), *UNREAD.values()]
PIECES: Final = sorted({line for text in TEXTS for line in text.split("\n")})


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=9), max_size=30).map("\n".join))
def test_pieces_of_formats_in_any_order_make_nothing_fail(text: str) -> None:
    for source in (BASE, TWO):
        found = outcome_of(text, source)
        assert isinstance(found, Source) or found.message
