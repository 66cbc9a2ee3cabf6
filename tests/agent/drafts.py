"""Blocks and drafts as the parser makes them, and the result of an answer on a source."""

from agent.model.answers.answer import parse_answer
from agent.model.answers.draft import EditBlock, ParsedAnswer, Slip
from agent.model.matching import apply_draft
from protocol.source import Source


def block(search: str, replacement: str, number: int = 1) -> EditBlock:
    """Return a SEARCH/REPLACE block; an empty replacement has no line."""
    return EditBlock(
        style="SEARCH/REPLACE blocks",
        number=number,
        path="train.py",
        search=tuple(search.split("\n")),
        replace=tuple(replacement.split("\n")) if replacement else (),
    )


def of(*blocks: EditBlock) -> ParsedAnswer:
    return ParsedAnswer(title="", why="", blocks=blocks)


def outcome_of(text: str, source: Source) -> Source | Slip:
    """Return the result of an answer on a source with only editable files."""
    draft = parse_answer(text, [path for path, _ in source.files])
    return draft if isinstance(draft, Slip) else apply_draft(draft, source)


def made(text: str, source: Source) -> Source:
    """Return the source that an answer makes."""
    found = outcome_of(text, source)
    assert isinstance(found, Source), found
    return found


def refused(text: str, source: Source) -> str:
    """Return the reason that an answer is rejected."""
    found = outcome_of(text, source)
    assert isinstance(found, Slip), found
    return found.message
