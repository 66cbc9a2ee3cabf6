"""The state of reading an answer: its lines, the current position, and the changes found.

The format modules advance the position and store the changes. This module handles fences and prose,
but no format. An index of the fences' ends, built once, limits the time for long answers.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from agent.model.answers.draft import MAX_BLOCKS, EditBlock, Slip, Style, WholeFile, left_out
from agent.model.answers.names import editable_path, path_in, path_in_info

_FENCE = re.compile(r"([ \t]{0,12})(`{3,9}|~{3,9})([^`]{0,200})")
_BARE_FENCE = re.compile(r"([ \t]{0,15})(`{3,}|~{3,})[ \t]*")
_HEADING = re.compile(r"[\s>*#_`-]{0,12}(TITLE|WHY)[\s*_`]{0,4}:(.{0,2000})", re.IGNORECASE)
_MOST_WHY_LINES: Final = 20
_MOST_CLOSERS: Final = 64  # candidates for the end of one fence


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeFence:
    """A fenced block: lines `start` to `end` without the marks. An open one has no end mark."""

    mark: str
    info: str
    indent: str
    start: int
    end: int
    is_open: bool

    @property
    def after(self) -> int:
        """The line after the fence."""
        return self.end + (not self.is_open)


@dataclass(slots=True, kw_only=True, eq=False)
class AnswerReader:
    """The state of reading `lines` up to line `at`.

    `named` is the path named on the lines just before; `heading` is the last path named anywhere.
    `label` is the last line of prose, and `wrap` the fence around the current position.
    """

    lines: Sequence[str]
    editable: Sequence[str]
    at: int = 0
    named: str = ""
    heading: str = ""
    label: str = ""
    wrap: CodeFence | None = None
    title: str = ""
    why: str = ""
    blocks: list[EditBlock] = field(default_factory=list)
    files: list[WholeFile] = field(default_factory=list)
    _closers: dict[tuple[str, int], list[tuple[int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row, line in enumerate(self.lines):
            if (
                line.lstrip()[:1] in ("`", "~")
                and (bare := _BARE_FENCE.fullmatch(line)) is not None
            ):
                for length in range(3, min(9, len(bare[2])) + 1):
                    rows = self._closers.setdefault((bare[2][0], length), [])
                    rows.append((row, len(bare[1])))

    @property
    def line(self) -> str:
        """The current line."""
        return self.lines[self.at]

    def fence_at(self, row: int) -> CodeFence | None:
        """Return the fence that begins at a line, if any."""
        is_mark = row < len(self.lines) and self.lines[row].lstrip()[:1] in ("`", "~")
        opened = _FENCE.fullmatch(self.lines[row]) if is_mark else None
        if opened is None:
            return None
        rows = self._closers.get((opened[2][0], len(opened[2])), [])
        first = bisect_left(rows, (row + 1, 0))
        # A mark with a larger indent belongs to a string in the file or to a line of a diff.
        nearby = rows[first : first + _MOST_CLOSERS]
        found = next((at for at, indent in nearby if indent <= len(opened[1])), None)
        return CodeFence(
            mark=opened[2],
            info=opened[3].strip(),
            indent=opened[1],
            start=row + 1,
            end=len(self.lines) if found is None else found,
            is_open=found is None,
        )

    def ends_wrap(self, row: int) -> bool:
        """Return whether a line ends the fence around the current position."""
        bare = _BARE_FENCE.fullmatch(self.lines[row]) if self.wrap is not None else None
        if self.wrap is None or bare is None or len(bare[1]) > len(self.wrap.indent):
            return False
        return bare[2].startswith(self.wrap.mark)

    def body(self, fence: CodeFence) -> list[str]:
        """Return a fence's lines without the indent of its opening mark."""
        rows = list(self.lines[fence.start : fence.end])
        if fence.indent and all(row.startswith(fence.indent) for row in rows if row.strip()):
            return [row.removeprefix(fence.indent) for row in rows]
        return rows

    def name(self, path: str) -> None:
        """Record a named path; an empty one changes nothing."""
        if path:
            self.named = self.heading = path

    def name_by_fence(self, fence: CodeFence) -> None:
        """Record the path in a fence's info string."""
        self.name(path_in_info(fence.info, self.editable))

    def take_words(self) -> None:
        """Read prose: a title, a reason of several lines, or a line that names a file."""
        heading = _HEADING.fullmatch(self.line) if ":" in self.line else None
        if heading is None:
            if self.line.strip():
                self.label = self.line
                self.named = ""
                self.name(path_in(self.line, self.editable))
            self.at += 1
            return
        self.named = ""
        said = [heading[2]]
        is_why = heading[1].upper() == "WHY"
        if is_why:
            for line in self.lines[self.at + 1 : self.at + _MOST_WHY_LINES]:
                if not line.strip() or self._ends_words(line):
                    break
                said.append(line)
        text = " ".join(said).strip("*_ \t")
        if is_why:
            self.why = self.why or text
        else:
            self.title = self.title or text
        self.at += len(said)

    def add(
        self,
        style: Style,
        search: Sequence[str],
        replace: Sequence[str],
        *,
        path: str = "",
        anchors: Sequence[str] = (),
        is_at_end: bool = False,
    ) -> Slip | None:
        """Add a block, or return its mistake. `path` defaults to the last named path."""
        meant = editable_path(path or self.named or self.heading, self.editable)
        if isinstance(meant, Slip):
            return meant
        if len(self.blocks) >= MAX_BLOCKS:
            return Slip(message=f"There are more than {MAX_BLOCKS} blocks: make a smaller change.")
        self.heading, self.named = meant, ""
        self.blocks.append(
            EditBlock(
                style=style,
                number=self.count(style) + 1,
                path=meant,
                search=tuple(search),
                replace=tuple(replace),
                anchors=tuple(anchors),
                is_at_end=is_at_end,
            )
        )
        return left_out(replace, known=search)

    def count(self, style: Style) -> int:
        """Return the number of blocks of a style."""
        return sum(block.style == style for block in self.blocks)

    def is_heading(self, line: str) -> bool:
        """Return whether a line begins a title or a reason."""
        return _HEADING.fullmatch(line) is not None

    def _ends_words(self, line: str) -> bool:
        is_mark = line.startswith(("<", "{", "@@", "*** ", "---", "diff "))
        is_fence = _FENCE.fullmatch(line) is not None
        return is_mark or is_fence or self.is_heading(line) or bool(path_in(line, self.editable))
