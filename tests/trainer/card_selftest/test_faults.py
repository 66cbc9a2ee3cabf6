"""The page that lists every fault agrees with the code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
SOURCES = ("trainer/card_selftest", "trainer/language_model", "node/running")
MADE = re.compile(r'Fault\(\s*(?:name=)?"([a-z-]+)"(?: if \w+ else "([a-z-]+)")?')


def test_the_page_names_each_fault_once() -> None:
    texts = [path.read_text() for folder in SOURCES for path in (ROOT / folder).glob("*.py")]
    made = {name for text in texts for names in MADE.findall(text) for name in names if name}
    page = (ROOT / "docs" / "gpu-status.md").read_text()
    table = page.partition("| fault |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `([a-z-]+)` \| ", table, re.MULTILINE)
    assert len(made) > 20
    assert sorted(named) == sorted(made)
