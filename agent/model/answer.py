"""Reads a model's answer: a title, a reason, and blocks to replace or whole files.

The format is plain text, because small models know no other. Chatter, code fences around blocks,
decoration and CRLF are put up with; what is meant is never guessed: a fault is a `Slip`, in words
for the model. Knows nothing of whether the change fits or is any good.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from protocol.hygiene import MAX_FILE_BYTES
from protocol.ideas import Edit

MAX_ANSWER: Final = 2 * MAX_FILE_BYTES
MAX_BLOCKS: Final = 64
_MOST_WHY_LINES = 20

_SEARCH = re.compile(r"\s{0,8}<{5,9} ?SEARCH\b.{0,80}", re.IGNORECASE)
_DIVIDER = re.compile(r"\s{0,8}={5,9}\s{0,8}")
_REPLACE = re.compile(r"\s{0,8}>{5,9} ?REPLACE\b.{0,80}", re.IGNORECASE)
_FENCE = re.compile(r"\s{0,3}(`{3,9}|~{3,9})([^`]{0,200})")
_HEADING = re.compile(r"[\s>*#_`-]{0,12}(TITLE|WHY)[\s*_`]{0,4}:(.{0,2000})", re.IGNORECASE)
_PATH = re.compile(r"(?:[\w.+-]{0,80}/){0,8}[\w+-][\w.+-]{0,80}\.[A-Za-z]\w{0,7}", re.ASCII)
_PATH_LABEL = re.compile(r"(?:in )?(?:file|path|filename)\b ?:? ?", re.IGNORECASE)
_DECORATION = "*`#:\"'[]()<> \t"
THOUGHTS: Final = "</think>"  # before it a reasoning model talks to itself
# `# ... existing code`: what stands there would be lost.
_LEFT_OUT = re.compile(
    r"\s*(?:#|//)?\s*(?:\.{3}|…).{0,30}\b(?:existing|rest|same|unchanged|remaining|other code)\b.*"
    r"|\s*(?:#|//).{0,30}\b(?:existing code|rest of (?:the |this )?(?:code|file|function|class|"
    r"method|script)|code (?:is |remains |stays )?(?:unchanged|the same))\b.*"
    r"|\s*(?:#|//)\s*\(?unchanged\)?\W*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a model wants: either `blocks`, or `files` anew as (path, text).

    The texts of a block are whole lines, the last one without its end.
    """

    title: str
    why: str
    blocks: tuple[Edit, ...] = ()
    files: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """Why an answer is of no use, in words for the model.

    `source_lines` are shown with it as they are, `quoted` are words to be fenced. `is_repeated`:
    the answer was sound, but the idea is not new.
    """

    message: str
    source_lines: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()
    is_repeated: bool = False


def parse_answer(text: str, editable: Sequence[str]) -> Draft | Slip:
    """Return the draft that an answer is, or what is wrong with it."""
    if len(text) > MAX_ANSWER:
        return Slip(message=f"Your answer is longer than {MAX_ANSWER} characters.")
    said = text.rpartition(THOUGHTS)[2].replace("\r\n", "\n").replace("\r", "\n")
    lines = said.split("\n")
    if any(map(_SEARCH.fullmatch, lines)):
        return _read_blocks(lines, editable)
    return _read_files(lines, editable)


def _read_blocks(lines: Sequence[str], editable: Sequence[str]) -> Draft | Slip:
    words = _Words()
    blocks: list[Edit] = []
    named, at = "", 0
    while at < len(lines):
        line = lines[at]
        if not _SEARCH.fullmatch(line):
            named = _named_by(line, named)
            at = words.take(lines, at)
            continue
        before = blocks[-1].path if blocks else ""
        path = _editable_path(named, editable, otherwise=before)
        if isinstance(path, Slip):
            return path
        block = _block(path, lines, at, len(blocks) + 1)
        if isinstance(block, Slip):
            return block
        edit, at = block
        blocks.append(edit)
        named = ""
        if len(blocks) > MAX_BLOCKS:
            return Slip(message=f"There are more than {MAX_BLOCKS} blocks: make a smaller change.")
    return Draft(title=words.title, why=words.why, blocks=tuple(blocks))


def _block(path: str, lines: Sequence[str], start: int, number: int) -> tuple[Edit, int] | Slip:
    """Return the block whose SEARCH line is `start`, and the line after it."""
    end = next((at for at in range(start + 1, len(lines)) if _REPLACE.fullmatch(lines[at])), None)
    if end is None:
        return Slip(message=f"Block {number} has no line `>>>>>>> REPLACE`.")
    body = lines[start + 1 : end]
    if any(map(_SEARCH.fullmatch, body)):
        return Slip(message=f"Block {number} has no line `>>>>>>> REPLACE` before the next one.")
    dividers = [at for at, line in enumerate(body) if _DIVIDER.fullmatch(line)]
    if len(dividers) != 1:
        return Slip(
            message=f"Block {number} has {len(dividers) or 'no'} lines `=======`: it needs exactly "
            "one. Leave lines of the file that look like it out of the block."
        )
    search, replace = body[: dividers[0]], body[dividers[0] + 1 :]
    left_out = _left_out(replace, known=search)
    if left_out is not None:
        return left_out
    return Edit(path=path, search="\n".join(search), replace="\n".join(replace)), end + 1


def _read_files(lines: Sequence[str], editable: Sequence[str]) -> Draft | Slip:
    words = _Words()
    files: dict[str, str] = {}
    unnamed: list[str] = []
    named, at = "", 0
    while at < len(lines):
        fence = _FENCE.fullmatch(lines[at])
        if fence is None:
            named = _named_by(lines[at], named)
            at = words.take(lines, at)
            continue
        end = next((row for row in range(at + 1, len(lines)) if _closes(lines[row], fence[1])), 0)
        if not end:
            return Slip(message="A fenced block has no end.")
        body = lines[at + 1 : end]
        named, at = _named_by(lines[at], named), end + 1
        if not named:
            unnamed.append("\n".join([*body, ""]))
            continue
        path = _editable_path(named, editable)
        if isinstance(path, Slip):
            return path
        if path in files:
            return Slip(message=f"{path} comes twice.")
        files[path] = "\n".join([*body, ""])
        named = ""
    if not files and len(unnamed) == len(editable) == 1:
        files = {editable[0]: unnamed[0]}
    if not files:
        return Slip(
            message="There is no change in your answer: no line `<<<<<<< SEARCH` with its "
            "`=======` and `>>>>>>> REPLACE`."
        )
    left_out = _left_out(line for text in files.values() for line in text.split("\n"))
    return left_out or Draft(title=words.title, why=words.why, files=tuple(files.items()))


@dataclass(slots=True)
class _Words:
    """The first title and the first reason that come up."""

    title: str = ""
    why: str = ""

    def take(self, lines: Sequence[str], at: int) -> int:
        """Take what line `at` says; return the line to go on with. A reason may have several."""
        heading = _HEADING.fullmatch(lines[at])
        if heading is None:
            return at + 1
        said = [heading[2]]
        if heading[1].upper() == "WHY":
            for line in lines[at + 1 : at + _MOST_WHY_LINES]:
                if not line.strip() or _ends_words(line):
                    break
                said.append(line)
        text = " ".join(said).strip("*_ \t")
        if heading[1].upper() == "WHY":
            self.why = self.why or text
        else:
            self.title = self.title or text
        return at + len(said)


def _ends_words(line: str) -> bool:
    markers = (_HEADING, _FENCE, _SEARCH)
    return bool(_path_in(line)) or any(marker.fullmatch(line) for marker in markers)


def _named_by(line: str, before: str) -> str:
    """Return the path that this line names; empty lines and code fences keep the one before."""
    fence = _FENCE.fullmatch(line)
    if fence is not None:
        words = re.split(r"[\s:=]+", fence[2].strip())
        return next((path for word in reversed(words) if (path := _path_in(word))), before)
    return before if not line.strip() else _path_in(line)


def _path_in(line: str) -> str:
    """Return the path that a line consists of, decoration aside; nothing if there is more."""
    if len(line) > 400:
        return ""
    bare = _PATH_LABEL.sub("", line.strip(_DECORATION), count=1).strip(_DECORATION)
    return bare if _PATH.fullmatch(bare) else ""


def _editable_path(named: str, editable: Sequence[str], *, otherwise: str = "") -> str | Slip:
    """Return the file that is meant. Without a name it is the one before, or the only one."""
    listed = ", ".join(editable)
    if not named:
        if otherwise or len(editable) == 1:
            return otherwise or editable[0]
        return Slip(message=f"Say on the line before each block which file: {listed}.")
    meant = [path for path in editable if named == path or named.endswith(f"/{path}")]
    if len(meant) == 1:
        return meant[0]
    return Slip(message=f"You may not change {named}: only {listed}.")


def _closes(line: str, mark: str) -> bool:
    bare = line.strip()
    return len(bare) >= len(mark) and set(bare) == {mark[0]}


def _left_out(lines: Iterable[str], *, known: Sequence[str] = ()) -> Slip | None:
    """Return a slip where a line stands for lines that are not given."""
    there = set(known)
    for line in lines:
        if len(line) < 200 and _LEFT_OUT.fullmatch(line) and line not in there:
            return Slip(
                message=f"`{line.strip()}` is a placeholder: nothing is filled in for it. Give "
                "all the lines, or choose smaller blocks."
            )
    return None
