"""The fingerprint: equal for code that runs the same, different otherwise."""

import pytest

from agent.source.canonical import fingerprint, parse, same_meaning, syntax_fault
from protocol.source import Source

PLAIN = b"import torch\n\nDEPTH = 8\n\n\ndef f(x):\n    return x * DEPTH\n"


def of(data: bytes) -> bytes:
    return fingerprint(Source.of({"train.py": data}))


@pytest.mark.parametrize(
    "same",
    [
        b"# a comment\nimport torch\nDEPTH = 8\ndef f(x): return x*DEPTH\n",
        b'"""A docstring."""\nimport torch\nDEPTH = 8\ndef f(x):\n  "doc"\n  return x * DEPTH\n',
        b"import torch\nDEPTH = 0x8\ndef f(\n    x,\n):\n    return (x * DEPTH)  # type: int\n",
    ],
)
def test_layout_comments_docstrings_and_spelling_do_not_count(same: bytes) -> None:
    assert of(same) == of(PLAIN)


@pytest.mark.parametrize(
    "other",
    [
        PLAIN.replace(b"8", b"9"),
        PLAIN.replace(b"8", b"8.0"),
        PLAIN.replace(b"x * DEPTH", b"DEPTH * x"),
        PLAIN + b"x = 'a text that is no docstring'\n",
        PLAIN.replace(b"f(x)", b"g(x)"),
    ],
)
def test_what_runs_differently_counts(other: bytes) -> None:
    assert of(other) != of(PLAIN)


def test_a_function_of_nothing_but_a_docstring_equals_one_that_passes() -> None:
    assert of(b'def f():\n    """Doc."""\n') == of(b"def f():\n    pass\n")
    assert of(b'class C:\n    "Doc."\n') == of(b"class C: pass\n")
    assert of(b"x = u'a'\n") == of(b"x = 'a'\n")


@pytest.mark.parametrize(
    ("wordy", "terse"),
    [
        (b"x = 1\n'a note'\ny = 2\n", b"x = 1\ny = 2\n"),
        (b"x = 1; b'a note'; pass; y = 2\n", b"x = 1\ny = 2\n"),
        (b"if x:\n    f'a note'\n", b"if x:\n    pass\n"),
        (b"for x in y:\n    z\nelse:\n    'a note'\n", b"for x in y:\n    z\nelse: pass\n"),
        (b"'a note'\n", b"# nothing at all\n"),
    ],
)
def test_text_that_nobody_uses_does_not_count(wordy: bytes, terse: bytes) -> None:
    assert of(wordy) == of(terse)
    assert same_meaning(wordy, terse)


def test_text_with_an_effect_counts() -> None:
    assert of(b"f'{g()}'\n") != of(b"pass\n")
    assert of(b"'a'.join(b)\n") != of(b"pass\n")
    assert of(b"...\n") != of(b"pass\n")


def test_what_does_not_parse_has_no_meaning_to_share() -> None:
    assert not same_meaning(b"x = (\n", b"x = (\n")


def test_files_that_are_not_python_count_by_their_bytes() -> None:
    one, two = Source.of({"a.txt": b"x = 1\n"}), Source.of({"a.txt": b"x  = 1\n"})
    assert fingerprint(one) != fingerprint(two)
    assert of(b"x = (\n") != of(b"x =  (\n")
    assert parse(b"x = (\n") is None
    assert parse(b"\xff") is None
    assert parse(b"\0") is None


def test_paths_and_the_borders_between_files_count() -> None:
    assert fingerprint(Source.of({"a.py": PLAIN})) != fingerprint(Source.of({"b.py": PLAIN}))
    one = Source.of({"a.txt": b"x", "b.txt": b"y"})
    assert fingerprint(one) != fingerprint(Source.of({"a.txt": b"xb.txty"}))


def test_code_too_deep_to_dump_still_has_a_fingerprint() -> None:
    deep = b"x = " + b"+".join([b"1"] * 3000) + b"\n"
    assert of(deep) != of(deep.replace(b"x", b"y"))


def test_odd_escapes_in_untrusted_strings_are_no_warning_here() -> None:
    assert parse(rb"x = '\d'") is not None


@pytest.mark.parametrize(
    ("data", "line", "why"),
    [
        (b"x = 1\ny = (2\n", 2, "'(' was never closed"),
        (b"x = 1\n  y = 2\n", 2, "unexpected indent"),
        (b"x = '\0'\n", 1, "ValueError"),
        (b"x = \xff\n", 1, "UnicodeDecodeError"),
        (b"x = 1\n", 1, "nothing is wrong with it"),
    ],
)
def test_a_slip_of_syntax_has_a_line_and_a_reason(data: bytes, line: int, why: str) -> None:
    assert (parse(data) is None) == (why != "nothing is wrong with it")
    assert syntax_fault(data)[0] == line
    assert why in syntax_fault(data)[1] or "null bytes" in syntax_fault(data)[1]
