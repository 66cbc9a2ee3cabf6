"""The glossary that the documents, the page and `arnode help` share."""

import re
from functools import cache
from importlib.resources import files

_ENTRY = re.compile(r"^\*\*(?P<term>[^*]+)\*\*: (?P<text>.+?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)


@cache
def glossary() -> dict[str, str]:
    """Return the one-line definitions by term, in lower case, in the order of the glossary."""
    text = files("node").joinpath("glossary.md").read_text(encoding="utf-8")
    return {
        entry["term"].lower(): " ".join(entry["text"].replace("*", "").split())
        for entry in _ENTRY.finditer(text)
    }
