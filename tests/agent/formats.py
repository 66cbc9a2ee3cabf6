"""One change in every accepted format, as models write it, and in some that are rejected."""

import json
from typing import Final

from protocol.source import Source

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
    "name in an attribute": (f'<file path="train.py">\n{BLOCK}</file>', DEEPER),
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
TAGS_AND_PAIRS: Final = {
    "old_str and new_str": ("<old_str>\nLAYERS = 2\n</old_str>\n<new_str>\nLAYERS = 3\n</new_str>"),
    "original and updated in one line": (
        "<original>LAYERS = 2</original>\n<updated>LAYERS = 3</updated>"
    ),
    "search and replace in an edit": (
        '```xml\n<edit path="train.py">\n<search>\nLAYERS = 2\n</search>\n<replace>\n'
        "LAYERS = 3\n"
        "</replace>\n</edit>\n```"
    ),
    "a pair and a snippet": (
        "Change:\n```\nLAYERS = 2\n```\nTo:\n```\nLAYERS = 3\n```\n\n```sh\npython train.py\n```"
    ),
    "several pairs of tags": (
        "<path>train.py</path>\n<old_string>LAYERS = 2</old_string>\n"
        "<new_string>LAYERS = 3</new_string>\n<old_string>\n"
        "            x = torch.relu(layer(x))\n"
        "</old_string>\n<new_string>\n            x = nn.functional.gelu(layer(x))\n"
        "</new_string>"
    ),
    "a file in tags": (
        f"<write_to_file>\n<path>train.py</path>\n<content>\n{DEEPER}</content>\n</write_to_file>"
    ),
    "a call of a tool in tags": (
        '<invoke name="edit">\n<parameter name="path">train.py</parameter>\n'
        '<parameter name="old_str">LAYERS = 2</parameter>\n'
        '<parameter name="new_str">LAYERS = 3</parameter>\n</invoke>'
    ),
    "replace this with that": (
        "Replace this:\n\n```python\nLAYERS = 2\n```\n\nwith:\n\n```python\nLAYERS = 3\n```"
    ),
    "change from one to the other": (
        "Change from:\n```python\nLAYERS = 2\n```\nto:\n```python\nLAYERS = 3\n```"
    ),
    "before and after": (
        "**Before:**\n```python\nLAYERS = 2\n```\n**After:**\n```python\nLAYERS = 3\n```"
    ),
    "find and replace with, by name": (
        "Find in `train.py`:\n```\nLAYERS = 2\n```\nReplace with:\n```\nLAYERS = 3\n```"
    ),
    "original code and updated code": (
        "### Original code\n```py\nLAYERS = 2\n```\n\n### Updated code\n```py\nLAYERS = 3\n```"
    ),
}
JSONS: Final = {
    "file and content": (json.dumps({"file": "train.py", "content": DEEPER})),
    "edits in a fence": (
        "```json\n"
        + json.dumps(
            {
                "title": "Deeper",
                "edits": [{"path": "train.py", "search": "LAYERS = 2", "replace": "LAYERS = 3"}],
            },
            indent=2,
        )
        + "\n```\nDone."
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
        )
    ),
    "a list with old_str and new_str": (
        json.dumps([{"file_path": "train.py", "old_str": "LAYERS = 2", "new_str": "LAYERS = 3"}])
    ),
    "one edit with find and replace": (
        json.dumps({"filename": "train.py", "find": "LAYERS = 2", "replace": "LAYERS = 3"})
    ),
    "files by name": (json.dumps({"files": {"train.py": DEEPER}})),
    "files as a list": (
        json.dumps({"files": [{"path": "train.py", "content": DEEPER}], "why": "Deeper."})
    ),
    "a call of a tool": (
        "<tool_call>\n"
        + json.dumps(
            {
                "name": "edit",
                "arguments": {"path": "train.py", "old_str": "LAYERS = 2", "new_str": "LAYERS = 3"},
            }
        )
        + "\n</tool_call>"
    ),
    "line ends as they are": (
        '{"search": "LAYERS = 2\nWIDTH = 64", "replace": "LAYERS = 3\nWIDTH = 64"}'
    ),
    "several objects in a fence": (
        '```json\n{"old": "LAYERS = 2", "new": "LAYERS = 3"}\n'
        '{"old": "torch.relu", "new": "nn.functional.gelu"}\n```'
    ),
    "a patch in it": (
        json.dumps({"patch": f"--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n{GELU_HUNK}"})
    ),
}
FORMATS: Final = SEARCH_REPLACE | DIFFS | FILES
UNREAD: Final = TAGS_AND_PAIRS | JSONS
