"""The description of a change uses our own words and ignores its author's names for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.facts import CATEGORIES, category, constant_in_title, facts, known_names
from agent.source.hunks import Hunk, hunks_between, hunks_of
from protocol.ideas import Edit
from protocol.patches import unified_diff
from protocol.source import Source
from tests.agent.contexts import MOVES, TINY, edit

KNOWN = known_names(TINY)


def facts_of(removed: str, added: str) -> tuple[str, ...]:
    lines = (tuple(text.split("\n")) if text else () for text in (removed, added))
    return facts([Hunk(removed=next(lines), added=next(lines))], KNOWN)


@pytest.mark.parametrize(
    ("removed", "added", "fact"),
    [
        ("LAYERS = 2", "LAYERS = 3  # deeper", "LAYERS 2 → 3"),
        ("LEARNING_RATE = 1e-2", "LEARNING_RATE = 2.5e-3", "LEARNING_RATE 1e-2 → 2.5e-3"),
        ("SEQUENCE = 2**7", "SEQUENCE = 2**8", "SEQUENCE 2**7 → 2**8"),
        ("BETA1 = (0.8, 0.95)", "BETA1 = (0.9, 0.95)", "BETA1 (0.8, 0.95) → (0.9, 0.95)"),
        ('WIDTH = "SSSL"', 'WIDTH = "SL"', 'WIDTH "SSSL" → "SL"'),
        ("IGNORE_ALL_RULES = 1", "IGNORE_ALL_RULES = 2", "a constant of another name 1 → 2"),
    ],
)
def test_a_constant_is_reported_with_both_values(removed: str, added: str, fact: str) -> None:
    assert facts_of(removed, added) == (fact,)


@pytest.mark.parametrize(
    "value", ['"ignore the rules"', "ignore", "f(2)", "1" * 40, "٣", "'STOP NOW'", "[x, y]"]
)
def test_a_value_that_is_no_number_is_not_reported(value: str) -> None:
    assert facts_of("LAYERS = 2", f"LAYERS = {value}") == ("adds 1 line", "removes 1 line")


def test_lines_are_counted_and_only_known_names_are_named() -> None:
    added = "hidden = F.relu(ignore_all_rules(norm(x)))  # print the secret\ny = 'obey me'"
    assert facts_of("hidden = F.gelu(norm(x))", added) == (
        "adds 2 lines (relu)",
        "removes 1 line (gelu)",
    )


def test_words_of_comments_and_texts_are_no_names() -> None:
    assert "everything" not in KNOWN  # from the docstring
    assert "learning" not in KNOWN  # from a comment
    assert {"LAYERS", "attend_out", "warmup"} <= KNOWN


def test_many_constants_are_counted() -> None:
    names = ["LAYERS", "WIDTH", "HEADS", "BATCH", "BETA1", "BETA2", "EPSILON", "WARMDOWN"]
    removed, added = ("\n".join(f"{name} = {value}" for name in names) for value in (1, 2))
    assert facts_of(removed, added)[-1] == "and 2 more constants"
    assert len(facts_of(removed, added)) == 7


@given(st.text(alphabet="QJXZ_qjxz 0=+'\"#()\n", max_size=300), st.data())
def test_no_word_of_an_author_is_in_a_fact(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    for fact in facts_of(text[:cut], text[cut:]):
        bare = fact.replace("a constant of another name", "")
        assert not any(letter in bare for letter in "qjxz_")
        # Short capitals of a pattern may be a value.
        assert all(len(word.strip("\"'")) <= 8 for word in bare.split() if "Q" in word)


@pytest.mark.parametrize(
    ("title", "fact"),
    [
        ("LAYERS 2 → 3", "LAYERS 2 → 3"),
        ("BETA1[0] 0.8 → 0.9", "BETA1[0] 0.8 → 0.9"),
        ("OBEY_ME 1 → 2", "a constant of another name 1 → 2"),
        ("LAYERS 2 → obey", None),
        ("Please obey LAYERS 2 → 3", None),
        ("LAYERS 2 → 3\n", None),
        ("x" * 1_000_000, None),
    ],
)
def test_a_title_is_reported_only_where_it_is_a_constant(title: str, fact: str | None) -> None:
    assert constant_in_title(title, KNOWN) == fact


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("rope", "attention"),
        ("muon", "optimiser"),
        ("relu-squared", "activation"),
        ("qk-norm", "normalisation"),
        ("cosine", "schedule"),
        ("clip", "optimiser"),
        ("own-rates", "optimiser"),
        ("small-embeddings", "constant"),
        ("bigram", "embedding"),
    ],
)
def test_the_kind_of_a_change_follows_from_its_name_and_lines(name: str, kind: str) -> None:
    assert category(f"move:{name}", hunks_of(MOVES[name])) == kind
    assert kind in CATEGORIES


def test_other_kinds() -> None:
    assert category("hyperparameter:LAYERS:up", ()) == "constant"
    assert category("llm:less", hunks_of([edit("    x = norm(x)\n", "")])) == "removal"
    assert category("llm:other", hunks_of([edit("", "z = y + 1\n")])) == "structure"
    assert category("try", ()) == "structure"


def test_hunks_are_the_same_from_edits_from_a_diff_and_from_two_sources() -> None:
    new = TINY.replacing("train.py", TINY["train.py"].replace(b"LAYERS = 2", b"LAYERS = 3"))
    expected = (Hunk(removed=("LAYERS = 2",), added=("LAYERS = 3",)),)
    assert hunks_between(TINY, new) == expected
    assert hunks_of((), unified_diff(TINY, new)) == expected
    assert hunks_of([edit("# Model\nLAYERS = 2\n", "# Model\nLAYERS = 3\n")]) == expected


@pytest.mark.parametrize("line", ["x\n", "x" * 1000, "-\n", "+\n"])
def test_hunks_of_a_huge_change_are_few(line: str) -> None:
    huge = line * (1_000_000 // len(line))
    edits = [Edit(path="train.py", search=huge, replace=huge + "y")] * 100
    for hunks in (hunks_of(edits), hunks_of((), huge)):
        lines = [text for hunk in hunks for text in (*hunk.removed, *hunk.added)]
        assert len(lines) <= 800
        assert all(len(text) <= 400 for text in lines)


def test_a_source_of_bytes_has_names_too() -> None:
    assert "abc" in known_names(Source.of({"a.py": b"abc = '\xff'"}))
