"""The source of an untrusted author: allowed and forbidden contents."""

import ast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.errors import Rejected
from protocol.hygiene import (
    LEAK_BITS_PER_RUN,
    MAX_FILE_BYTES,
    MAX_LINES,
    SIDE_CHANNEL_BITS,
    Scored,
    check_source,
    compressed_size_bytes,
    memorised,
)
from protocol.source import Source

BASELINE = Source.of({"train.py": b"DEPTH = 8\n"})


def check(data: bytes, max_growth_bytes: int = 1 << 20) -> Rejected | None:
    source = BASELINE.replacing("train.py", data)
    return check_source(
        source, editable=("train.py",), baseline=BASELINE, max_growth_bytes=max_growth_bytes
    )


def reason(data: bytes) -> str:
    rejected = check(data)
    assert isinstance(rejected, Rejected)
    return rejected.reason


@pytest.mark.parametrize(
    "text",
    [
        "",
        "DEPTH = 9\n",
        "\tx = 1  # tab\n",
        "# Größe, µs, 速度 🚀\nname = 'Straße'\n",
        '"""Überschrift.\n\nTéxt\n"""\n',
        "text = f'{x:.2f} µs and {{é}} {y!r}'\n",
        "text = rb'abc' + b'def'\ngrün = 'no'\n".replace("grün", "green"),
        "# -*- coding: utf-8 -*-\nx = 1\n",
        "this is not python at all ((((\n",
    ],
)
def test_plain_sources_pass(text: str) -> None:
    assert check(text.encode()) is None


@pytest.mark.parametrize(
    "text",
    [
        "grün = 1\n",
        "ｘ = 1\n",  # noqa: RUF001 - a full-width letter that Python reads as x
        "x = µ\n",
        "text = f'{grün}'\n",
        "text = f'{d[\"}\"] + é}'\n",
        "text = f'{ {1: {2: 3}}[é] }'\n",
        "text = f'''{x:{é}}'''\n",
        "x = 'open é\n",
        "x = (é\n",
    ],
)
def test_letters_other_than_ascii_outside_text_are_rejected(text: str) -> None:
    assert "ASCII" in reason(text.encode())


@pytest.mark.parametrize(
    "character",
    list("\0\r\x0b\x0c\x1b\x7f\x85\xa0\xad\u061c\u180e\u200b\u200d\u200e\u2028\u2029")
    + list("\u202a\u202e\u2060\u2066\u2069\u3164\u115f\u2800\ufe0f\ufeff\ufff9\ue000\uffff")
    + list("\U000e0001\U000e0100"),
    ids=lambda character: f"U+{ord(character):04X}",
)
def test_control_bidi_and_invisible_characters_are_rejected_even_in_text(character: str) -> None:
    assert f"U+{ord(character):04X}, in line 2" in reason(f"x = 1\n# a{character}b\n".encode())


def test_bytes_that_are_not_utf8_are_rejected_with_their_place() -> None:
    assert "not UTF-8 at byte 4" in reason(b"x = \xff\n")
    assert "not UTF-8" in reason(b"# \xed\xa0\x80\n")


def test_another_declared_encoding_is_rejected() -> None:
    assert "utf-7" in reason(b"# -*- coding: utf-7 -*-\nx = 1\n")
    assert "latin-1" in reason(b"#!/usr/bin/env python\n# vim: set fileencoding=latin-1 :\n")
    assert check(b"x = 1\ny = 2\n# coding: latin-1\n") is None


def test_size_and_lines_have_their_limits_to_the_byte() -> None:
    assert check(b"#" * MAX_FILE_BYTES) is None
    assert "bytes" in reason(b"#" * (MAX_FILE_BYTES + 1))
    assert check(b"\n" * MAX_LINES) is None
    assert "lines" in reason(b"\n" * MAX_LINES + b"x")


def test_only_editable_files_and_all_of_them() -> None:
    def outcome(source: Source) -> Rejected | None:
        return check_source(
            source, editable=("train.py",), baseline=BASELINE, max_growth_bytes=1000
        )

    outside = outcome(Source.of({"train.py": b"", "../evil.py": b""}))
    assert outside == Rejected("'../evil.py' is not one of the task's editable files")
    assert outcome(Source.of({})) == Rejected("train.py is missing")


def test_more_than_eight_files_are_rejected() -> None:
    names = [f"f{i}.py" for i in range(9)]
    source = Source.of(dict.fromkeys(names, b""))
    empty = Source.of({})
    rejected = check_source(source, editable=names, baseline=empty, max_growth_bytes=1000)
    assert rejected == Rejected("9 files, more than 8")
    eight = Source.of(dict.fromkeys(names[:8], b""))
    assert check_source(eight, editable=names, baseline=empty, max_growth_bytes=1000) is None


def test_growth_counts_compressed_bytes_over_the_baseline() -> None:
    table = bytes(33 + (i * i * 31 + i * 7) % 89 for i in range(900))
    grown = BASELINE.replacing("train.py", b"DEPTH = 8\n# " + table + b"\n")
    growth_bytes = compressed_size_bytes(grown) - compressed_size_bytes(BASELINE)
    assert growth_bytes > 0
    assert check(grown["train.py"], growth_bytes) is None
    assert isinstance(check(grown["train.py"], growth_bytes - 1), Rejected)
    assert check(b"DEPTH = 8\n" + b"# a comment\n" * 1000, 100) is None


@given(st.binary(max_size=60))
def test_any_bytes_get_an_answer(data: bytes) -> None:
    answer = check(data)
    assert answer is None or isinstance(answer, Rejected)


pieces = st.sampled_from(
    ["é", "é", "x", "{", "}", "{{", "}}", "{x}", "'", '"', "[", "]", ":", "!r", "1", ",", " ", "+"]
)


@given(st.sampled_from(["'", '"', "'''"]), st.lists(pieces, max_size=12).map("".join))
@example("'", "é{x}é")
@example("'", '{d["}"] + é}')
@example("'", "{ {1: 2}[é] }")
def test_an_f_string_that_passes_names_nothing_but_ascii(quote: str, body: str) -> None:
    text = f"text = f{quote}{body}{quote}\n"
    try:
        names = [node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
    except SyntaxError:
        return
    if not all(name.isascii() for name in names):
        assert check(text.encode()) is not None


BEFORE = Source.of({"train.py": b"x = 1\n"})
AFTER = Source.of({"train.py": b"x = 1\n" + bytes(range(35, 92)) * 2})
SIDE_CHANNEL_SHARE = SIDE_CHANNEL_BITS / 2_000  # for each of the runs of one confirmation


def scored(pool_bytes: int | None, *, is_public: bool = False, prior_runs: int = 0) -> Scored:
    return Scored(bytes=2_000, pool_bytes=pool_bytes, is_public=is_public, prior_runs=prior_runs)


def test_a_source_can_know_as_much_of_a_public_text_as_it_has_grown_by() -> None:
    extra = compressed_size_bytes(AFTER) - compressed_size_bytes(BEFORE)
    assert extra > 40
    public = scored(4_000, is_public=True)
    assert memorised(BEFORE, AFTER, public) == pytest.approx(SIDE_CHANNEL_SHARE + 8 * extra / 4_000)
    # Code that gets shorter cannot hide anything.
    assert memorised(AFTER, BEFORE, public) == pytest.approx(SIDE_CHANNEL_SHARE)


def test_of_a_private_text_it_can_know_what_earlier_runs_revealed() -> None:
    extra = compressed_size_bytes(AFTER) - compressed_size_bytes(BEFORE)
    charges = [memorised(BEFORE, AFTER, scored(4_000, prior_runs=runs)) for runs in (0, 3, 10**6)]
    assert charges == pytest.approx(
        [
            SIDE_CHANNEL_SHARE,
            SIDE_CHANNEL_SHARE + 3 * LEAK_BITS_PER_RUN / 4_000,
            SIDE_CHANNEL_SHARE + 8 * extra / 4_000,
        ]
    )


def test_of_text_that_is_new_each_time_nobody_knows_more_than_runs_learn_of_each_other() -> None:
    assert memorised(BEFORE, AFTER, scored(None, prior_runs=10**6)) == pytest.approx(
        SIDE_CHANNEL_SHARE
    )
