"""Forbidden words of a task are found only as whole words."""

from dataclasses import replace

import pytest

from protocol.errors import Rejected
from protocol.hygiene import check_for_task
from protocol.manifest import TaskManifest
from protocol.source import Source, check_words
from tests.protocol.examples import PROGRAM_MANIFEST, PROGRAM_SPEC

WORDS = ("eval", "sorted(", "import scipy", "größe", "a.b*")


def fault_in(text: str) -> str | None:
    fault = check_words(Source.of({"a.py": b"x = 1\n", "b.rs": text.encode()}), WORDS)
    return fault.reason if fault else None


@pytest.mark.parametrize(
    "text",
    ["evaluate(1)", "my_eval(1)", "resorted(x)", "import scipyx", "aXb*", "Größe", "", "eva\nl"],
)
def test_what_only_looks_like_a_word_is_none(text: str) -> None:
    assert fault_in(text) is None


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_found_and_its_line_is_said(word: str) -> None:
    assert (
        fault_in(f"x = 1\n  {word} 3\n")
        == f"b.rs: line 2 contains {word!r}, which the task forbids"
    )


def test_without_words_nothing_is_forbidden() -> None:
    assert check_words(Source.of({"a.py": b"eval"}), ()) is None


def test_a_tasks_rules_for_sources_hold_its_words() -> None:
    baseline = Source.of({"lib/sort.py": b"a\n", "main.py": b"b\n"})
    manifest = replace(PROGRAM_MANIFEST, program=replace(PROGRAM_SPEC, forbid=("ctypes",)))
    assert check_for_task(baseline, manifest, baseline=baseline) is None
    changed = baseline.replacing("main.py", b"import ctypes\n")
    assert check_for_task(changed, PROGRAM_MANIFEST, baseline=baseline) is None
    fault = check_for_task(changed, manifest, baseline=baseline)
    assert fault == Rejected("main.py: line 1 contains 'ctypes', which the task forbids")


@pytest.mark.parametrize(
    "words", [(), ("b", "a"), ("a", "a"), ("",), tuple(f"a{n:02}" for n in range(33))]
)
def test_words_out_of_order_are_no_manifest(words: tuple[str, ...]) -> None:
    spec = replace(PROGRAM_SPEC, forbid=words)
    value = replace(PROGRAM_MANIFEST, program=spec).to_value()
    assert isinstance(TaskManifest.from_value(value), Rejected)
