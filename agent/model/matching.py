"""Application of a draft's change to a source, if every block matches at exactly one position.

A block that does not match is reported to the model with the nearest lines of the file, never
skipped (openevolve skips it without notice). If an answer gives a change in two formats, each is
applied by itself, and the results must be equal.
"""

from collections.abc import Sequence
from itertools import pairwise

from agent.model.answers.draft import EditBlock, ParsedAnswer, Slip
from agent.model.answers.whole_files import no_whole_file, whole_file
from agent.model.misfits import called, misfit
from agent.model.places import LineMatch, changed, places
from protocol.source import Source


def apply_draft(draft: ParsedAnswer, source: Source) -> Source | Slip:
    """Return the changed source, or the mistake in the change."""
    result = source
    for path in sorted({one.path for one in draft.blocks} | {one.path for one in draft.files}):
        if path not in dict(source.files):
            return Slip(message=f"There is no file {path}.")
        after = _made(draft, path, source[path].decode("utf-8", "replace"))
        if isinstance(after, Slip):
            return after
        result = result.replacing(path, after.encode("utf-8", "replace"))
    if result == source:
        return Slip(message="Your change leaves the file as it is.")
    return result


def _made(draft: ParsedAnswer, path: str, before: str) -> str | Slip:
    """Return the changed file, or the mistake in the change."""
    made: dict[str, str] = {}
    for style in dict.fromkeys(block.style for block in draft.blocks if block.path == path):
        blocks = [one for one in draft.blocks if (one.path, one.style) == (path, style)]
        after = _replaced(before, blocks)
        if isinstance(after, Slip):
            return after
        made[style] = after
    whole = whole_file(path, [one for one in draft.files if one.path == path], before)
    if isinstance(whole, Slip):
        return whole
    # Next to a change, the unchanged file or a snippet of it is only a quotation.
    if whole is None and not made:
        return no_whole_file(path, [one.text for one in draft.files if one.path == path], before)
    if whole is not None and not (made and whole == before):
        made["a whole file"] = whole
    for first, second in pairwise(made):
        if made[first].rstrip() != made[second].rstrip():
            return Slip(
                message=f"Your answer changes {path} both by {first} and by {second}, and the "
                "results differ: give only one."
            )
    return next(iter(made.values()), before)


def _replaced(text: str, blocks: Sequence[EditBlock]) -> str | Slip:
    """Return the text with all blocks applied, each matched against the original text."""
    there = text.split("\n")
    # A block that occurs twice is applied once.
    distinct = {(one.search, one.replace, one.anchors): one for one in reversed(blocks)}
    spans: list[LineMatch] = []
    for block in reversed(distinct.values()):
        if not any(line.strip() for line in block.search):
            return Slip(message=f"{called(block)} is empty: give lines of the file.")
        found = places(text, block)
        if len(found) != 1:
            return misfit(block, text, found)
        spans.append(changed(found[0], there))
    spans.sort(key=lambda span: (span.start, span.end))
    for earlier, later in pairwise(spans):
        both_insert = earlier.start == earlier.end == later.start == later.end
        if later.start < earlier.end or both_insert:
            return Slip(message=f"Two blocks overlap at line {later.start + 1}: make them one.")
    for span in reversed(spans):
        there[span.start : span.end] = span.lines
    return "\n".join(there)
