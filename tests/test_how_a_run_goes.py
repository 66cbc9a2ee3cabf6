"""The page on how a run goes shows the current code, a few lines of each stage."""

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-a-run-goes.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^`([\w/]+\.py)`\n\n```python\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
MOST_LINES = 26


def test_every_piece_names_its_file() -> None:
    assert len(SHOWN) == PAGE.count("```python") >= 12


@pytest.mark.always
@pytest.mark.parametrize(("path", "piece"), SHOWN, ids=[path for path, _ in SHOWN])
def test_a_piece_is_what_the_file_says(path: str, piece: str) -> None:
    lines = piece.split("\n")
    assert len(lines) <= MOST_LINES
    text = (ROOT / path).read_text(encoding="utf-8").split("\n")
    pieces = ("\n".join(text[at : at + len(lines)]) for at in range(len(text)))
    assert piece in map(textwrap.dedent, pieces)
