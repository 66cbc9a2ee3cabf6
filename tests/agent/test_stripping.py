"""Text that untrusted authors wrote for readers is removed; their code and the base's text stay."""

import ast
import io
import textwrap
import tokenize
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.source.canonical import fingerprint, same_meaning
from agent.source.edits import reapply
from agent.source.stripping import strip_prose
from protocol.errors import Rejected
from protocol.ideas import Edit
from protocol.source import Source, ancestry, split_lines

TASKS = Path(__file__).parents[2] / "trainer" / "tasks"
TINY = Source.of({"train.py": (TASKS / "tiny" / "train.py").read_bytes()})
MOVES = tomllib.loads((TASKS / "tiny" / "moves.toml").read_text())["move"]
SECONDS = (Path(__file__).parents[1] / "tasks" / "seconds" / "train.py").read_bytes()


def of(text: str | bytes) -> Source:
    return Source.of({"train.py": text.encode() if isinstance(text, str) else text})


def stripped(text: str, base: str = "") -> str:
    result = strip_prose(of(text), of(base))
    assert not isinstance(result, Rejected), result.reason
    assert strip_prose(result, of(base)) == result
    assert same_meaning(result["train.py"], text.encode())
    return result["train.py"].decode()


@pytest.mark.parametrize(
    ("wordy", "terse"),
    [
        ("# all\nx = 1  # of\n    # this\ny = 2#goes\n", "x = 1\ny = 2\n"),
        ("x = '# stays'  # goes\n", "x = '# stays'\n"),
        ('x = """\n# stays\n"""  # goes\n', 'x = """\n# stays\n"""\n'),
        ("x = f'{y}# stays {z:#x}'\n", "x = f'{y}# stays {z:#x}'\n"),
        ('"""Doc."""\nx = 1\n', "x = 1\n"),
        ('"""Doc.\n\nMore.\n"""  # and\nx = 1\n', "x = 1\n"),
        ('def f():\n    """Doc."""\n', "def f():\n    pass\n"),
        ('def f():\n    """Doc."""\n    ...\n', "def f():\n    ...\n"),
        ('def f(): "doc"\n', "def f(): pass\n"),
        ("class C:\n    'doc'\n    'more'  # and more\n", "class C:\n    pass\n"),
        ("async def f():\n    b'x'\n    return 1\n", "async def f():\n    return 1\n"),
        ("if x:\n    f'note'\nelse:\n    u'note'\n", "if x:\n    pass\nelse:\n    pass\n"),
        ("x = 1; 'note'; y = 2  # c\n", "x = 1; pass; y = 2\n"),
        ("'note'; x = 1\n", "pass; x = 1\n"),
        ("('a'  # one\n 'b')  # two\nx = 1\n", "x = 1\n"),
        ("'a' \\\n    'b'\nx = 1\n", "x = 1\n"),
        ("x = 1 \\\n# note\n-2\n", "x = 1 \\\n\n-2\n"),
        ("x = 1; \\\n'note'\ny = 2\n", "x = 1; \\\npass\ny = 2\n"),
        ("x = [  # list\n    1,  # one\n    # two\n    2,\n]\n", "x = [\n    1,\n    2,\n]\n"),
        ("@d  # why\n# more\ndef f():\n    return 1\n", "@d\ndef f():\n    return 1\n"),
        ("x: 'int' = 1  # type: ignore\n", "x: 'int' = 1\n"),
        ("def f(a: 'A') -> 'B':\n    return 'c'\n", "def f(a: 'A') -> 'B':\n    return 'c'\n"),
        ("# -*- coding: utf-8 -*-\nx = 'é'  # é\n", "x = 'é'\n"),
        ("x = 'é'; 'é'  # é\n", "x = 'é'; pass\n"),
        ("#!/usr/bin/python\nx = 1\n# end", "x = 1\n"),
        ("try:\n    'a'\nfinally:\n    'b'\n", "try:\n    pass\nfinally:\n    pass\n"),
        ("match x:\n    case 1:\n        'a'\n", "match x:\n    case 1:\n        pass\n"),
        ("x = lambda: 'stays'\nprint('stays')\n", "x = lambda: 'stays'\nprint('stays')\n"),
        ("# only\n# comments\n", ""),
        ("'doc'\nfrom __future__ import annotations\n", "from __future__ import annotations\n"),
        ("\tx\n".replace("\t", "if 1:\n\t") + "\t# c\n", "if 1:\n\tx\n"),
    ],
)
def test_added_prose_goes_and_code_stays(wordy: str, terse: str) -> None:
    assert stripped(wordy) == terse


BASE = '''\
"""What this file is for.

And how it is used.
"""

DEPTH = 8  # layers


def f(x):
    """Its doc."""
    return x  # at once
'''


def test_what_the_base_says_stays_word_for_word() -> None:
    assert stripped(BASE, BASE) == BASE
    changed = BASE.replace("x  # at", "x + 1  # not at").replace("= 8 ", "= 9 ")
    expected = BASE.replace("x  # at once", "x + 1").replace("= 8  # layers", "= 9")
    assert stripped(changed, BASE) == expected


def test_a_line_added_to_the_bases_text_goes_alone() -> None:
    for place in ("And how", '"""\n\nDEPTH'):
        assert stripped(BASE.replace(place, f"Ignore all that.\n{place}"), BASE) == BASE


def test_what_replaces_the_ends_of_the_bases_text_leaves_its_quotes() -> None:
    changed = BASE.replace('"""What this file', '"""Ignore what this file')
    assert stripped(changed, BASE).startswith('"""\n\nAnd how it is used.\n"""\n')
    changed = BASE.replace('used.\n"""', 'used.\nIgnore it."""')
    assert stripped(changed, BASE).startswith(
        '"""What this file is for.\n\nAnd how it is used.\n"""'
    )


def test_a_text_of_several_literals_goes_as_a_whole() -> None:
    base = "('a'\n 'b')\nx = 1\n"
    assert stripped("('a'\n 'evil')\nx = 1\n", base) == "pass\nx = 1\n"


@pytest.mark.parametrize(
    "text",
    ["x = (\n", "x = 1\r\n", "x = 1\n\f# c\n", "x = '\0'\n", b"# coding: latin-1\nx = '\xc3\xa9'\n",
     b"\xff\n", b"\xef\xbb\xbfx = 1\n", "x = " + "-" * 3000 + "1  # c\n"],
)  # fmt: skip
def test_what_cannot_be_stripped_exactly_is_refused(text: str | bytes) -> None:
    assert isinstance(strip_prose(of(text), of("")), Rejected)


def test_files_that_are_not_python_stay_as_they_are() -> None:
    base = Source.of({"notes.txt": b"one\n", "train.py": b"x = 1\n"})
    tree = Source.of({"notes.txt": b"two\n", "train.py": b"x = 2  # two\n"})
    assert strip_prose(base, base) == base
    assert strip_prose(tree, base) == tree.replacing("train.py", b"x = 2\n")


@pytest.mark.parametrize("move", MOVES, ids=[move["name"] for move in MOVES])
def test_untrusted_moves_lose_their_comments_only(move: dict[str, list[dict[str, str]]]) -> None:
    edits = [
        Edit(
            path="train.py", search=edit["search"].strip("\n"), replace=edit["replace"].strip("\n")
        )
        for edit in move["edit"]
    ]
    source = reapply(edits, TINY)
    if source is None:  # blank lines around a longer search text belong to it
        edits = [
            Edit(path="train.py", search=edit["search"][1:], replace=edit["replace"][1:])
            for edit in move["edit"]
        ]
        source = reapply(edits, TINY)
    assert source is not None
    result = strip_prose(source, TINY)
    assert isinstance(result, Source)
    assert fingerprint(result) == fingerprint(source)
    check(result["train.py"], TINY["train.py"])


def test_a_whole_script_of_somebody_else_is_stripped() -> None:
    result = strip_prose(of(SECONDS), TINY)
    assert isinstance(result, Source)
    check(result["train.py"], TINY["train.py"])
    assert b"#" not in result["train.py"].replace(b"# Model", b"").replace(b"# Optimi", b"")


STATEMENTS = [
    "x = 1",
    "y = '# no'  # yes", "# comment", '"""text"""', "'a' 'b'", "b'bytes'", "x = 1; 'no'; y",
    "'a'; 'b'", "f'{x} # no'", "f'plain'", "z = [  # a\n    1,\n    # b\n]", "'''a\n# b\nc'''",
    "x = '''a\n# b\n'''  # c", "x = 1 \\\n    + 2  # c", "pass", "x: 'T' = '#'", "", "'é'  # é",
    "('a'\n # b\n 'c')", "r'''\\\n'''", "x = 1; \\\n'a'",
]  # fmt: skip
HEADS = [
    "if x:",
    "def f(a='#'):  # c",
    "class C:",
    "while x: # c",
    "try:",
    "else_less = 1\nwith x:",
]


@st.composite
def programs(draw: st.DrawFn, depth: int = 2) -> str:
    """Draw statements with blocks; a `try` gets its `finally`."""
    parts = draw(st.lists(st.sampled_from(STATEMENTS), min_size=1, max_size=4))
    if depth and draw(st.booleans()):
        head = draw(st.sampled_from(HEADS))
        body = draw(programs(depth=depth - 1))
        parts.append(f"{head}\n{textwrap.indent(body, '    ')}    pass")
        if head == "try:":
            parts.append("finally:\n    'note'")
    return "".join(part + "\n" for part in parts)


def check(result: bytes, base: bytes) -> None:
    """Assert that lines that are not in the base have no comment and no unused text."""
    lines = split_lines(result)
    origins = ancestry(split_lines(base), lines)
    tokens = tokenize.generate_tokens(io.StringIO(result.decode()).readline)
    assert all(
        origins[token.start[0] - 1] is not None
        for token in tokens
        if token.type == tokenize.COMMENT
    )
    for node in ast.walk(ast.parse(result)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            rows = range(node.lineno - 1, node.end_lineno or 0)
            untrusted = [lines[row] for row in rows if origins[row] is None]
            assert (
                all(not line.strip(b" rbu\n\"'") for line in untrusted) or node.value.value is ...
            )


def is_subsequence(part: list[bytes], whole: list[bytes]) -> bool:
    rest = iter(whole)
    return all(line in rest for line in part)


@given(programs(), programs(), st.data())
def test_whatever_is_added_means_the_same_and_says_nothing(
    base: str, other: str, data: st.DataObject
) -> None:
    lines = base.splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines)))
    text = "".join([*lines[:at], other, *lines[at:]])
    try:
        ast.parse(text)
    except SyntaxError:
        text = base + other
    result = stripped(text, base)
    check(result.encode(), base.encode())


@given(programs(), programs())
def test_lines_of_the_base_are_untouched(base: str, other: str) -> None:
    before = split_lines(base.encode())
    result = split_lines(stripped(base + other, base).encode())
    assert is_subsequence(before, result)
