"""A model's continuation is joined to the answer that was cut off, at any place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.answers.joining import joined, whole_lines

ANSWER = """\
TITLE: Deeper
train.py
```python
def f(x):
    for layer in range(3):
        x = layer(x)

    return x
```
"""
CUTS = st.integers(ANSWER.index("train.py"), len(ANSWER) - 1)


@given(CUTS)
def test_who_goes_on_with_the_next_line_is_joined_as_it_is(cut: int) -> None:
    assert joined(ANSWER[:cut], ANSWER[len(whole_lines(ANSWER[:cut])) :]) == ANSWER


@given(CUTS, st.booleans())
def test_who_says_the_last_line_again_says_it_once(cut: int, is_stripped: bool) -> None:
    shown = whole_lines(ANSWER[:cut])
    more = ANSWER[shown.rstrip().rfind("\n") + 1 :]
    assert joined(ANSWER[:cut], more.strip() if is_stripped else more).strip() == ANSWER.strip()


@pytest.mark.parametrize(
    ("begun", "more", "whole"),
    [
        ("TITLE: a\nWHY: b\nold\n", "TITLE: a\nWHY: b\nnew", "TITLE: a\nWHY: b\nnew"),
        ("```python\nx = 1\ny", "```python\ny = 2\n```", "```python\nx = 1\ny = 2\n```"),
        ("```python\nx = 1\n", "```python\nx = 1\ny = 2", "```python\nx = 1\ny = 2"),
        ("```python\nx = 1\n", "```", "```python\nx = 1\n```"),
        ("<<<<<<< SEARCH\nx", "```\nx = 1\n=======\n```", "<<<<<<< SEARCH\nx = 1\n======="),
        ("<<<<<<< SEARCH\na\n", "<<<<<<< SEARCH\nb", "<<<<<<< SEARCH\na\n<<<<<<< SEARCH\nb"),
        ("x = 1\n", "", "x = 1\n"),
        ("<think>a</think>x = 1\ny", "<think>b</think>y = 1", "x = 1\ny = 1"),
        ("x = 1\ny", "<think>all of it", "x = 1\n"),
        ("x = 1\n", "y = 2", "x = 1\ny = 2"),
    ],
    ids=range(10),
)
def test_ways_to_go_on_are_distinguished(begun: str, more: str, whole: str) -> None:
    assert joined(begun, more) == whole
