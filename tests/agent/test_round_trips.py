"""In every format a change is made exactly, or rejected, and never becomes another change.

Sources have few different lines, so many are equal, and many texts occur in several places.
"""

import difflib
import random
import re
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.source import Source
from tests.agent.drafts import outcome_of

LINES = st.sampled_from(
    [
        "a = 1",
        "b = 2",
        "def f(x):",
        "    return x",
        "    y = x",
        "",
        "        z = y",
        "-- c",
        "++ d",
    ]
)
NEW_LINES = LINES | st.sampled_from(["new = 3", "    new = 4", "\tnew = 5", "```", "@@", "---"])
NUMBERS = re.compile(r"\d+")


@st.composite
def changes(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Draw a source's lines, and the same with a few stretches of them replaced."""
    old = draw(st.lists(LINES, min_size=1, max_size=14))
    cuts = sorted(draw(st.lists(st.integers(0, len(old)), min_size=2, max_size=6)))
    new = list(old)
    for low, high in reversed([*zip(cuts[::2], cuts[1::2], strict=False)]):
        new[low:high] = draw(st.lists(NEW_LINES, max_size=3))
    return old, new


def leads_to(text: str, old: Sequence[str], new: Sequence[str]) -> bool:
    """Return True if an answer is accepted; assert that it only leads to the new lines."""
    before, after = ("".join(f"{line}\n" for line in lines) for lines in (old, new))
    found = outcome_of(text, Source.of({"train.py": before.encode()}))
    if isinstance(found, Source):
        assert found["train.py"].decode() == after
    return isinstance(found, Source)


def steps(
    old: Sequence[str], new: Sequence[str], context: int
) -> list[tuple[list[str], list[str]]]:
    """Return the old and new lines of each place, with unchanged lines around them."""
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    found = []
    for group in matcher.get_grouped_opcodes(context):
        low, high, new_low, new_high = group[0][1], group[-1][2], group[0][3], group[-1][4]
        found.append((list(old[low:high]), list(new[new_low:new_high])))
    return found


def unified(old: Sequence[str], new: Sequence[str], context: int) -> list[str]:
    return list(difflib.unified_diff(old, new, "a/train.py", "b/train.py", n=context, lineterm=""))


@given(changes(), st.integers(0, 4))
def test_of_search_replace_blocks(change: tuple[list[str], list[str]], context: int) -> None:
    blocks = [
        "\n".join(["<<<<<<< SEARCH", *search, "=======", *replacement, ">>>>>>> REPLACE"])
        for search, replacement in steps(*change, context)
    ]
    leads_to("\n\n".join(blocks), *change)


@given(changes(), st.integers(0, 4), st.randoms(use_true_random=False), st.booleans())
def test_of_a_diff_whatever_its_numbers(
    change: tuple[list[str], list[str]], context: int, chance: random.Random, is_in_block: bool
) -> None:
    rows = [
        NUMBERS.sub(lambda _: str(chance.randrange(99)), row) if row.startswith("@@") else row
        for row in unified(*change, context)
    ]
    text = "\n".join(rows)
    leads_to(f"```diff\n{text}\n```" if is_in_block else f"So:\n\n{text}\n\nThat is all.", *change)


@given(changes(), st.integers(0, 4), st.booleans())
def test_of_a_diff_without_numbers_or_spaces_of_empty_lines(
    change: tuple[list[str], list[str]], context: int, is_named: bool
) -> None:
    rows = ["@@" if row.startswith("@@") else row for row in unified(*change, context)]
    rows = ["" if row == " " else row for row in rows]
    leads_to("\n".join(["```diff", *rows[0 if is_named else 2 :], "```"]), *change)


@given(changes(), st.integers(0, 4))
def test_of_a_patch(change: tuple[list[str], list[str]], context: int) -> None:
    rows = ["@@" if row.startswith("@@") else row for row in unified(*change, context)[2:]]
    patch = ["*** Begin Patch", "*** Update File: train.py", *rows, "*** End Patch"]
    leads_to("\n".join(patch), *change)


@given(changes())
def test_of_a_whole_file(change: tuple[list[str], list[str]]) -> None:
    old, new = ([*lines, "end = 1"] for lines in change)
    leads_to("\n".join(["train.py", "`````python", *new, "`````"]), old, new)


@given(
    st.lists(st.integers(0, 99), min_size=8, max_size=30, unique=True),
    st.sets(st.integers(0, 7), min_size=1),
    st.integers(1, 3),
    st.integers(0, 12),
)
@settings(max_examples=50)
def test_where_all_lines_differ_every_rendering_is_understood(
    numbers: list[int], changed: set[int], context: int, shift: int
) -> None:
    old = [f"    x{number} = {number}" for number in numbers]
    new = [f"    x{n} = {n + 1}" if at in changed else old[at] for at, n in enumerate(numbers)]
    rows = unified(old, new, context)
    assert leads_to("\n".join(["```diff", *rows, "```"]), old, new)
    moved = [
        ([" " * shift + line[4:] for line in search], [" " * shift + line[4:] for line in put])
        for search, put in steps(old, new, context)
    ]
    blocks = [
        "\n".join(["<<<<<<< SEARCH", *search, "=======", *put, ">>>>>>> REPLACE"])
        for search, put in moved
    ]
    assert leads_to("\n".join(blocks), old, new)
