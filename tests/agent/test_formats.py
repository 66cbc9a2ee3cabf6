"""Whatever a model gives a change in, it is understood if it can mean one thing only."""

import json
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.answers.answer import parse_answer
from agent.model.answers.draft import MAX_ANSWER_LINES, Slip
from protocol.source import Source
from tests.agent.drafts import made, outcome_of, refused

TRAIN: Final = '''\
"""Trains a small model."""

import torch
from torch import nn

LAYERS = 2
WIDTH = 64
LEARNING_RATE = 0.01


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS))

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(WIDTH, 1)

    def forward(self, x):
        x = self.proj(x)
        return x


model = nn.Sequential(Model(), Head())
optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
for step in range(100):
    loss = model(torch.randn(8, WIDTH)).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
'''
NET: Final = "def norm(x):\n    return x / x.norm()\n\n\ndef scale(x):\n    return 2 * x\n"
BASE: Final = Source.of({"train.py": TRAIN.encode()})
TWO: Final = Source.of({"train.py": TRAIN.encode(), "model/net.py": NET.encode()})
DEEPER: Final = TRAIN.replace("LAYERS = 2", "LAYERS = 3")
GELU: Final = TRAIN.replace("torch.relu", "nn.functional.gelu")
BOTH: Final = DEEPER.replace("torch.relu", "nn.functional.gelu")
BLOCK: Final = "<<<<<<< SEARCH\nLAYERS = 2\n=======\nLAYERS = 3\n>>>>>>> REPLACE\n"
GELU_HUNK: Final = """\
         for layer in self.layers:
-            x = torch.relu(layer(x))
+            x = nn.functional.gelu(layer(x))
         return x
"""
SEARCH_REPLACE: Final = {
    "plain": (f"TITLE: Deeper\nWHY: It holds more.\ntrain.py\n{BLOCK}", DEEPER),
    "in a fence with the name above": (f"Sure!\n\ntrain.py\n```python\n{BLOCK}```\nDone.", DEEPER),
    "name inside the fence": (f"```\ntrain.py\n{BLOCK}```", DEEPER),
    "name as a heading": (f"### train.py\n\nOne more layer.\n\n```python\n{BLOCK}```", DEEPER),
    "name in bold": (f"**train.py**\n```\n{BLOCK}```", DEEPER),
    "name after File:": (f"File: `train.py`\n\n{BLOCK}", DEEPER),
    "name in backticks with a colon": (f"`train.py`:\n{BLOCK}", DEEPER),
    "name in a sentence": (f"In `train.py`, make it deeper:\n\n{BLOCK}", DEEPER),
    "name behind the mark": (BLOCK.replace("SEARCH", "SEARCH train.py"), DEEPER),
    "name in a tag": (f"<file>train.py</file>\n{BLOCK}", DEEPER),
    "no name": (BLOCK, DEEPER),
    "ORIGINAL and UPDATED": (
        BLOCK.replace("SEARCH", "ORIGINAL").replace("REPLACE", "UPDATED"),
        DEEPER,
    ),
    "HEAD and a branch": (
        "```python\n<<<<<<< HEAD\nLAYERS = 2\n=======\nLAYERS = 3\n>>>>>>> deeper\n```",
        DEEPER,
    ),
    "five brackets": ("<<<<< SEARCH\nLAYERS = 2\n=====\nLAYERS = 3\n>>>>> REPLACE\n", DEEPER),
    "nine brackets": (
        "<<<<<<<<< SEARCH\nLAYERS = 2\n=========\nLAYERS = 3\n>>>>>>>>> REPLACE\n",
        DEEPER,
    ),
    "as Cline writes it": (
        (
            "<replace_in_file>\n<path>train.py</path>\n<diff>\n------- SEARCH\nLAYERS = 2\n"
            "=======\n"
            "LAYERS = 3\n+++++++ REPLACE\n</diff>\n</replace_in_file>"
        ),
        DEEPER,
    ),
    "as Roo Code writes it": (
        "<<<<<<< SEARCH\n:start_line:99\n-------\nLAYERS = 2\n=======\nLAYERS = 3\n>>>>>>> REPLACE",
        DEEPER,
    ),
    "both sides in fences of their own": (
        (
            "<<<<<<< SEARCH\n```python\nLAYERS = 2\n```\n=======\n```python\nLAYERS = 3\n```\n"
            ">>>>>>> REPLACE"
        ),
        DEEPER,
    ),
    "a whole answer in a fence": (f"```\nTITLE: Deeper\ntrain.py\n{BLOCK}```", DEEPER),
    "carriage returns": (BLOCK.replace("\n", "\r\n"), DEEPER),
    "after thoughts with a block in them": (
        f"<think>\nWider?\n{BLOCK.replace('LAYERS', 'WIDTH')}</think>\n\n{BLOCK}",
        DEEPER,
    ),
    "after reasoning under another name": (
        f"<thinking>\n{BLOCK.replace('= 3', '= 9')}</thinking>\n{BLOCK}",
        DEEPER,
    ),
    "indentation gone": (
        (
            "<<<<<<< SEARCH\nfor layer in self.layers:\n    x = torch.relu(layer(x))\n=======\n"
            "for layer in self.layers:\n    x = nn.functional.gelu(layer(x))\n>>>>>>> REPLACE"
        ),
        GELU,
    ),
    "indentation too deep": (
        (
            "<<<<<<< SEARCH\n            for layer in self.layers:\n"
            "                x = torch.relu(layer(x))\n=======\n"
            "            for layer in self.layers:\n"
            "                x = nn.functional.gelu(layer(x))\n>>>>>>> REPLACE"
        ),
        GELU,
    ),
    "tabs": (
        (
            "<<<<<<< SEARCH\n\t\tfor layer in self.layers:\n\t\t\tx = torch.relu(layer(x))\n"
            "=======\n"
            "\t\tfor layer in self.layers:\n\t\t\tx = nn.functional.gelu(layer(x))\n>>>>>>> REPLACE"
        ),
        GELU,
    ),
    "tabs, and deeper than what was searched": (
        (
            "<<<<<<< SEARCH\n\tdef forward(self, x):\n\t\tfor layer in self.layers:\n=======\n"
            "\tdef forward(self, x):\n\t\tif x is None:\n\t\t\treturn x\n"
            "\t\tfor layer in self.layers:\n>>>>>>> REPLACE"
        ),
        TRAIN.replace(
            "        for layer",
            "        if x is None:\n            return x\n        for layer",
        ),
    ),
    "blanks at the ends of lines": (
        (
            "<<<<<<< SEARCH\nLAYERS = 2   \nWIDTH = 64\t\n=======\nLAYERS = 3   \nWIDTH = 64\t\n"
            ">>>>>>> REPLACE"
        ),
        DEEPER.replace("LAYERS = 3", "LAYERS = 3   "),
    ),
    "the same block twice": (f"First:\n{BLOCK}\nSo, once more:\n\n{BLOCK}", DEEPER),
    "blocks that share a line that stays": (
        (
            "<<<<<<< SEARCH\nLAYERS = 2\nWIDTH = 64\n=======\nLAYERS = 3\nWIDTH = 64\n"
            ">>>>>>> REPLACE\n<<<<<<< SEARCH\nWIDTH = 64\nLEARNING_RATE = 0.01\n=======\n"
            "WIDTH = 64\nLEARNING_RATE = 0.02\n>>>>>>> REPLACE"
        ),
        DEEPER.replace("0.01", "0.02"),
    ),
}
DIFFS: Final = {
    "diff in a fence": (
        (
            "Here is the patch:\n\n```diff\n--- a/train.py\n+++ b/train.py\n@@ -4,5 +4,5 @@\n"
            " from torch import nn\n \n-LAYERS = 2\n+LAYERS = 3\n WIDTH = 64\n```\n\nIt is deeper."
        ),
        DEEPER,
    ),
    "git headers": (
        (
            "```diff\ndiff --git a/train.py b/train.py\nindex 1b2c3d4..5e6f7a8 100644\n"
            "--- a/train.py\n+++ b/train.py\n@@ -6,1 +6,1 @@ from torch import nn\n-LAYERS = 2\n"
            "+LAYERS = 3\n```"
        ),
        DEEPER,
    ),
    "bare": (
        (
            "TITLE: Deeper\n\n--- a/train.py\n+++ b/train.py\n@@ -6,2 +6,2 @@\n-LAYERS = 2\n"
            "+LAYERS = 3\n WIDTH = 64\n\nThat is all."
        ),
        DEEPER,
    ),
    "wrong numbers and counts": (
        (
            "```diff\n--- train.py\n+++ train.py\n@@ -90,17 +1,2 @@\n-LAYERS = 2\n+LAYERS = 3\n"
            " WIDTH = 64\n LEARNING_RATE = 0.01\n```"
        ),
        DEEPER,
    ),
    "no numbers but dots": (
        f"```diff\n--- a/train.py\n+++ b/train.py\n@@ ... @@\n{GELU_HUNK}```",
        GELU,
    ),
    "no numbers at all": (f"```diff\n--- a/train.py\n+++ b/train.py\n@@\n{GELU_HUNK}```", GELU),
    "a function behind the @@": (f"```diff\n@@ def forward(self, x):\n{GELU_HUNK}```", GELU),
    "no @@": ("train.py\n```diff\n-LAYERS = 2\n+LAYERS = 3\n```", DEEPER),
    "several hunks": (
        (
            "```patch\n--- a/train.py\n+++ b/train.py\n@@ -6,2 +6,2 @@\n-LAYERS = 2\n+LAYERS = 3\n"
            f" WIDTH = 64\n@@ -17,3 +17,3 @@ class Model\n{GELU_HUNK}```"
        ),
        BOTH,
    ),
    "empty lines without their space": (
        (
            "```diff\n--- a/train.py\n+++ b/train.py\n@@ -4,4 +4,4 @@\n from torch import nn\n\n"
            "-LAYERS = 2\n+LAYERS = 3\n\n```"
        ),
        DEEPER,
    ),
    "the name only before the fence": (f"Change `train.py`:\n\n```diff\n@@\n{GELU_HUNK}```", GELU),
    "names with remarks": (
        f"```diff\n--- train.py (original)\n+++ train.py (modified)\n@@\n{GELU_HUNK}```",
        GELU,
    ),
    "names and times": (
        (
            "```diff\n--- train.py\t2026-11-01 10:00:00\n+++ train.py\t2026-11-01 10:01:00\n"
            f"@@ -1 +1 @@\n{GELU_HUNK}```"
        ),
        GELU,
    ),
    "in a fence that does not say diff": (
        f"```\n--- a/train.py\n+++ b/train.py\n@@\n{GELU_HUNK}```",
        GELU,
    ),
    "lines that stay without their space": (
        "```diff\n@@ -6,2 +6,2 @@\n-LAYERS = 2\n+LAYERS = 3\nWIDTH = 64\n```",
        DEEPER,
    ),
    "a space behind each mark": ("```diff\n- LAYERS = 2\n+ LAYERS = 3\n```", DEEPER),
    "in a list": (
        "1. Use GELU:\n\n   ```diff\n   @@\n"
        + "".join(f"   {line}\n" for line in GELU_HUNK.splitlines())
        + "   ```\n",
        GELU,
    ),
    "lines added at the end": (
        "```diff\n@@\n     optimizer.step()\n     optimizer.zero_grad()\n+print(loss)\n```",
        TRAIN + "print(loss)\n",
    ),
    "the end of the last line goes": (
        (
            "```diff\n@@\n     optimizer.step()\n-    optimizer.zero_grad()\n"
            "+    optimizer.zero_grad()\n\\ No newline at end of file\n```"
        ),
        TRAIN.removesuffix("\n"),
    ),
    "Begin Patch": (
        (
            "*** Begin Patch\n*** Update File: train.py\n@@\n-LAYERS = 2\n+LAYERS = 3\n"
            " WIDTH = 64\n"
            "*** End Patch"
        ),
        DEEPER,
    ),
    "a patch that a fence ends": (
        "```\n*** Begin Patch\n*** Update File: train.py\n-LAYERS = 2\n+LAYERS = 3\n```\nDone.",
        DEEPER,
    ),
    "a patch without its first line": (
        "```\n*** Update File: train.py\n@@\n-LAYERS = 2\n+LAYERS = 3\n```",
        DEEPER,
    ),
    "in a tag": (
        "<diff>\n--- a/train.py\n+++ b/train.py\n@@ -6 +6 @@\n-LAYERS = 2\n+LAYERS = 3\n</diff>",
        DEEPER,
    ),
    "Begin Patch with anchors": (
        (
            "Applying:\n\n```\n*** Begin Patch\n*** Update File: train.py\n@@ class Model\n"
            "@@     def __init__(self):\n         super().__init__()\n+        self.scale = 1\n"
            "*** End Patch\n```\n"
        ),
        TRAIN.replace("super().__init__()\n", "super().__init__()\n        self.scale = 1\n", 1),
    ),
    "Begin Patch in a shell": (
        (
            "```bash\napply_patch <<'EOF'\n*** Begin Patch\n*** Update File: train.py\n"
            "-LAYERS = 2\n"
            "+LAYERS = 3\n*** End of File\n*** End Patch\nEOF\n```"
        ),
        DEEPER,
    ),
}
TAGS_AND_PAIRS: Final = {
    "old_str and new_str": (
        "<old_str>\nLAYERS = 2\n</old_str>\n<new_str>\nLAYERS = 3\n</new_str>",
        DEEPER,
    ),
    "original and updated in one line": (
        "<original>LAYERS = 2</original>\n<updated>LAYERS = 3</updated>",
        DEEPER,
    ),
    "search and replace in an edit": (
        (
            '```xml\n<edit path="train.py">\n<search>\nLAYERS = 2\n</search>\n<replace>\n'
            "LAYERS = 3\n"
            "</replace>\n</edit>\n```"
        ),
        DEEPER,
    ),
    "a pair and a snippet": (
        "Change:\n```\nLAYERS = 2\n```\nTo:\n```\nLAYERS = 3\n```\n\n```sh\npython train.py\n```",
        DEEPER,
    ),
    "several pairs of tags": (
        (
            "<path>train.py</path>\n<old_string>LAYERS = 2</old_string>\n"
            "<new_string>LAYERS = 3</new_string>\n<old_string>\n"
            "            x = torch.relu(layer(x))\n"
            "</old_string>\n<new_string>\n            x = nn.functional.gelu(layer(x))\n"
            "</new_string>"
        ),
        BOTH,
    ),
    "a file in tags": (
        f"<write_to_file>\n<path>train.py</path>\n<content>\n{DEEPER}</content>\n</write_to_file>",
        DEEPER,
    ),
    "a call of a tool in tags": (
        (
            '<invoke name="edit">\n<parameter name="path">train.py</parameter>\n'
            '<parameter name="old_str">LAYERS = 2</parameter>\n'
            '<parameter name="new_str">LAYERS = 3</parameter>\n</invoke>'
        ),
        DEEPER,
    ),
    "replace this with that": (
        "Replace this:\n\n```python\nLAYERS = 2\n```\n\nwith:\n\n```python\nLAYERS = 3\n```",
        DEEPER,
    ),
    "change from one to the other": (
        "Change from:\n```python\nLAYERS = 2\n```\nto:\n```python\nLAYERS = 3\n```",
        DEEPER,
    ),
    "before and after": (
        "**Before:**\n```python\nLAYERS = 2\n```\n**After:**\n```python\nLAYERS = 3\n```",
        DEEPER,
    ),
    "find and replace with, by name": (
        "Find in `train.py`:\n```\nLAYERS = 2\n```\nReplace with:\n```\nLAYERS = 3\n```",
        DEEPER,
    ),
    "original code and updated code": (
        "### Original code\n```py\nLAYERS = 2\n```\n\n### Updated code\n```py\nLAYERS = 3\n```",
        DEEPER,
    ),
}
FILES: Final = {
    "unnamed": (f"Here you are:\n\n```python\n{DEEPER}```\n", DEEPER),
    "name behind the language": (f"```python train.py\n{DEEPER}```", DEEPER),
    "name after a colon": (f"```python:train.py\n{DEEPER}```", DEEPER),
    "name instead of the language": (f"```train.py\n{DEEPER}```", DEEPER),
    "name as a title": (f'```python title="train.py"\n{DEEPER}```', DEEPER),
    "name in a comment": (f"```python\n# train.py\n{DEEPER}```", DEEPER),
    "name above": (f"**`train.py`**\n\n```python\n{DEEPER}```", DEEPER),
    "four backticks": (f"train.py\n````python\n{DEEPER}````", DEEPER),
    "tildes": (f"~~~python\n{DEEPER}~~~", DEEPER),
    "an end that is missing": (f"train.py\n```python\n{DEEPER}", DEEPER),
    "with tags in a text of it": (
        "```python\n" + DEEPER.replace("small model.", "model:\n<content>\nx\n") + "```",
        DEEPER.replace("small model.", "model:\n<content>\nx\n"),
    ),
    "beside a snippet and a command": (
        (
            f"The line is now\n\n```python\nLAYERS = 3\n```\n\nIn full:\n\n```python\n"
            f"{DEEPER}```\n\n"
            "Run it:\n\n```bash\npython train.py\n```\n"
        ),
        DEEPER,
    ),
    "beside the file as it is": (
        f"Now it is\n\n```python\n{TRAIN}```\n\nMake it\n\n```python\n{DEEPER}```",
        DEEPER,
    ),
    "twice the same": (f"```python\n{DEEPER}```\nAgain:\n```python\n{DEEPER}\n```", DEEPER),
    "with a diff that says the same": (
        f"```diff\n-LAYERS = 2\n+LAYERS = 3\n```\nIn full:\n```python\n{DEEPER}```",
        DEEPER,
    ),
    "blocks beside an example": (f"```python\nLAYERS = 4  # or so\n```\nBut:\n{BLOCK}", DEEPER),
}
JSONS: Final = {
    "file and content": (json.dumps({"file": "train.py", "content": DEEPER}), DEEPER),
    "edits in a fence": (
        "```json\n"
        + json.dumps(
            {
                "title": "Deeper",
                "edits": [{"path": "train.py", "search": "LAYERS = 2", "replace": "LAYERS = 3"}],
            },
            indent=2,
        )
        + "\n```\nDone.",
        DEEPER,
    ),
    "changes with old_string and new_string": (
        "I will change two things.\n\n"
        + json.dumps(
            {
                "changes": [
                    {"old_string": "LAYERS = 2\n", "new_string": "LAYERS = 3\n"},
                    {"old_string": "torch.relu", "new_string": "nn.functional.gelu"},
                ]
            }
        ),
        BOTH,
    ),
    "a list with old_str and new_str": (
        json.dumps([{"file_path": "train.py", "old_str": "LAYERS = 2", "new_str": "LAYERS = 3"}]),
        DEEPER,
    ),
    "one edit with find and replace": (
        json.dumps({"filename": "train.py", "find": "LAYERS = 2", "replace": "LAYERS = 3"}),
        DEEPER,
    ),
    "files by name": (json.dumps({"files": {"train.py": DEEPER}}), DEEPER),
    "files as a list": (
        json.dumps({"files": [{"path": "train.py", "content": DEEPER}], "why": "Deeper."}),
        DEEPER,
    ),
    "a call of a tool": (
        "<tool_call>\n"
        + json.dumps(
            {
                "name": "edit",
                "arguments": {"path": "train.py", "old_str": "LAYERS = 2", "new_str": "LAYERS = 3"},
            }
        )
        + "\n</tool_call>",
        DEEPER,
    ),
    "line ends as they are": (
        '{"search": "LAYERS = 2\nWIDTH = 64", "replace": "LAYERS = 3\nWIDTH = 64"}',
        DEEPER,
    ),
    "several objects in a fence": (
        (
            '```json\n{"old": "LAYERS = 2", "new": "LAYERS = 3"}\n'
            '{"old": "torch.relu", "new": "nn.functional.gelu"}\n```'
        ),
        BOTH,
    ),
    "a patch in it": (
        json.dumps({"patch": f"--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n{GELU_HUNK}"}),
        GELU,
    ),
}
FORMATS: Final = SEARCH_REPLACE | DIFFS | TAGS_AND_PAIRS | FILES | JSONS


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
    "JSON": json.dumps(
        {
            "edits": [
                {"path": "train.py", "search": "LAYERS = 2", "replace": "LAYERS = 3"},
                {"path": "model/net.py", "search": "2 * x", "replace": "3 * x"},
            ]
        }
    ),
    "headings": f"## train.py\n\nDeeper:\n\n```\n{BLOCK}```\n\n## model/net.py\n\nMore:\n\n"
    "```\n<<<<<<< SEARCH\n2 * x\n=======\n3 * x\n>>>>>>> REPLACE\n```",
}


@pytest.mark.parametrize("name", IN_TWO_FILES)
def test_several_files_are_told_apart(name: str) -> None:
    source = made(IN_TWO_FILES[name], TWO)
    assert (source["train.py"].decode(), source["model/net.py"].decode()) == (DEEPER, SCALED)


WIDER: Final = TRAIN.replace("WIDTH = 64", "WIDTH = 96")
REFUSED: Final = {
    "a hunk with two places": (
        (
            "```diff\n@@ -24,2 +24,3 @@\n     def __init__(self):\n         super().__init__()\n"
            "+        self.scale = 1\n```"
        ),
        "What hunk 1 of your diff expects matches 2 times in train.py (lines 12, 23)",
    ),
    "a hunk with no place": (
        "```diff\n@@ -6 +6 @@\n-LAYERS = 9\n+LAYERS = 3\n```",
        "What hunk 1 of your diff expects matches nowhere in train.py",
    ),
    "a hunk that is part of a line": (
        "```diff\n@@\n-RATE = 0.01\n+RATE = 0.1\n```",
        "hunk 1 of your diff expects matches nowhere",
    ),
    "a hunk that only adds": (
        "```diff\n@@ -1,0 +1,1 @@\n+import math\n```",
        "Hunk 1 does not say where it belongs",
    ),
    "a hunk with more than lines of the file": (
        "```diff\n@@\n-LAYERS = 2\n+LAYERS = 3\nand so on\n```",
        "What hunk 1 of your diff expects matches nowhere",
    ),
    "a bare diff that does not end": (
        (
            "--- a/train.py\n+++ b/train.py\n@@\n-LAYERS = 2\n+LAYERS = 3\nimport x\n-WIDTH = 64\n"
            "+WIDTH = 96\n"
        ),
        "It cannot be told where your diff ends",
    ),
    "a bare diff with more of it after the prose": (
        "--- a/train.py\n+++ b/train.py\n@@\n-LAYERS = 2\n+LAYERS = 3\n\nimport x\n-WIDTH = 64\n",
        "It cannot be told where your diff ends",
    ),
    "another file in a diff": (
        "```diff\n--- a/prepare.py\n+++ b/prepare.py\n@@\n-a\n+b\n```",
        "You may not change prepare.py: only train.py.",
    ),
    "a new file in a diff": (
        "```diff\n--- /dev/null\n+++ b/extra.py\n@@ -0,0 +1 @@\n+x = 1\n```",
        "Files are neither made, removed nor renamed",
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
    "tags that are half": ("<old_str>\nLAYERS = 2\n</old_str>\nLAYERS = 3", "is not followed by"),
    "a tag without its end": ("<old_str>\nLAYERS = 2\n", "`<old_str>` has no end `</old_str>`"),
    "two pairs of tags in a line": (
        "<old>LAYERS = 2</old><new>LAYERS = 3</new><old>WIDTH = 64</old><new>WIDTH = 1</new>",
        "Behind `</new>` there is more",
    ),
    "a snippet": (
        "train.py\n```python\nLAYERS = 3\n```",
        "The block has 1 lines where train.py has 38, and can be a part of it",
    ),
    "a class that could be the file": (
        "```python\n" + GELU[GELU.index("class Model") : GELU.index("class Head")] + "```",
        "can be a part of it",
    ),
    "a file without its second half": (
        "```python\n" + DEEPER[: DEEPER.index("class Head")] + "```",
        "can be a part of it",
    ),
    "a file with a fence in it, in one like it": (
        "train.py\n```python\n" + DEEPER.replace("small model.", "model:\n\n```\nx\n```\n") + "```",
        "can be a part of it",
    ),
    "two whole files": (
        f"```python\n{DEEPER}```\nor\n```python\n{WIDER}```",
        "2 whole versions of train.py, and they differ",
    ),
    "a diff and another file": (
        f"```diff\n-LAYERS = 2\n+LAYERS = 3\n```\n```python\n{WIDER}```",
        "Your answer changes train.py both by a diff and by a whole file, and they differ",
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
    "thoughts only": (f"<think>\nLet me try\n{BLOCK}", "ends within its thoughts"),
    "JSON that cannot be read": (
        '```json\n{"path": "train.py", "search": "LAYERS = 2", "replace": "LAYERS = "3""}\n```',
        "Your JSON cannot be read at line 1",
    ),
    "JSON with a key twice": (
        '{"search": "LAYERS = 2", "search": "WIDTH = 64", "replace": "x"}',
        "the key `search` twice",
    ),
    "JSON with half an edit": (
        json.dumps([{"old": "LAYERS = 2", "new": "LAYERS = 3"}, {"old": "WIDTH = 64"}]),
        "An edit in your JSON is not complete",
    ),
    "JSON with one line end": (
        json.dumps({"old": "LAYERS = 2\n", "new": "LAYERS = 3"}),
        "end both alike",
    ),
    "JSON with an edit and a file": (
        json.dumps({"path": "train.py", "old": "a", "new": "b", "content": DEEPER}),
        "says its change in two ways",
    ),
    "JSON with two old texts": (
        json.dumps({"path": "train.py", "old": "a", "search": "c", "new": "b"}),
        "says its change in two ways",
    ),
    "JSON of another file by name": (
        json.dumps({"files": {"train.py": DEEPER, "prepare.py": "x = 1\n"}}),
        "You may not change prepare.py",
    ),
    "JSON without an edit": (json.dumps({"title": "T", "edits": []}), "has no edit in it"),
    "a block and JSON that cannot be read": (
        f'{BLOCK}\n{{"search": "WIDTH = 64", "replace": "WIDTH = "9""}}',
        "Your JSON cannot be read",
    ),
    "a pair without its second label": (
        f"{BLOCK}Replace this:\n```\nWIDTH = 64\n```\nby what is better:\n```\nWIDTH = 96\n```",
        "`Replace this:` is not followed by two fenced blocks",
    ),
    "a mark deep in a list": (
        BLOCK + "\n".join(" " * 16 + line for line in BLOCK.splitlines()),
        "stands where it cannot be read",
    ),
    "a file in JSON that is a part": (
        json.dumps({"path": "train.py", "content": "LAYERS = 3\n"}),
        "can be a part of it",
    ),
    "JSON about something else": ('```json\n{"layers": 3}\n```', "can be a part of it"),
    "nothing": ("I would make it deeper.", "There is no change in your answer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_mean_two_things_or_none_is_refused_in_words(name: str) -> None:
    text, message = REFUSED[name]
    assert message in refused(text, BASE)


def test_beside_a_change_of_one_file_a_part_of_another_is_refused_unless_it_is_quoted() -> None:
    part = "model/net.py\n```python\ndef scale(x):\n    return {} * x\n```\n"
    assert "can be a part of it" in refused(f"train.py\n{BLOCK}{part.format(3)}", TWO)
    source = made(f"train.py\n{BLOCK}{part.format(2)}", TWO)
    assert (source["train.py"].decode(), source["model/net.py"].decode()) == (DEEPER, NET)


def test_of_several_files_one_has_to_be_named() -> None:
    assert "which file: model/net.py, train.py" in refused(BLOCK, TWO)
    assert "There is no change" in refused(f"```python\n{DEEPER}```", TWO)


def test_title_and_reason_in_json_are_heard() -> None:
    text = json.dumps({"title": "T", "reason": "R", "edits": [{"old": "a", "new": "b"}]})
    draft = parse_answer(text, ["train.py"])
    assert not isinstance(draft, Slip)
    assert (draft.title, draft.why) == ("T", "R")


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
    # A block that came first may stand; of the rest nothing is a change.
    assert isinstance(found, Slip) or found["train.py"].decode() == DEEPER


# Pieces of all formats, which come in any order.
PIECES: Final = sorted({line for text, _ in FORMATS.values() for line in text.split("\n")})


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=9), max_size=30).map("\n".join))
def test_pieces_of_formats_in_any_order_make_nothing_fail(text: str) -> None:
    for source in (BASE, TWO):
        found = outcome_of(text, source)
        assert isinstance(found, Source) or found.message
