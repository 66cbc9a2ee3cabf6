"""The glossary that the documents, the page and `arnode help` share."""

import re
from functools import cache
from importlib.resources import files

_ENTRY = re.compile(r"^\*\*(?P<term>[^*]+)\*\*: (?P<text>.+?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)


_EMPHASISED = re.compile(r"[*`]+([^*`]+)[*`]+")


@cache
def _entries() -> dict[str, str]:
    text = files("node").joinpath("glossary.md").read_text(encoding="utf-8")
    return {entry["term"].lower(): entry["text"] for entry in _ENTRY.finditer(text)}


@cache
def glossary() -> dict[str, str]:
    """Return the one-line definitions by term, in lower case, in the order of the glossary."""
    return {term: " ".join(text.replace("*", "").split()) for term, text in _entries().items()}


def explained(word: str) -> list[str]:
    """Return the terms that explain a word: itself, or those that emphasise or quote it."""
    if word in _entries():
        return [word]
    return [
        term
        for term, text in _entries().items()
        if word in (one.lower() for one in _EMPHASISED.findall(text))
    ]
