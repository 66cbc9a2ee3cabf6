"""Parts of a prompt that give way: each has a rank, and the lowest ranks are served first.

What is left out is left out by rank alone, so that the same context and the same room always give
the same prompt. Knows nothing of what the parts say.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from agent.model.quoting import Fence

GAP: Final = "\n\n"  # between two parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Rows under a `heading` of ours, in a quote where there is a `label`; then they are marked.

    The lowest `rank` is served first. Of one that `may_end_early` the first rows are shown where
    there is no room for all of them; any other is shown whole or not at all.
    """

    name: str
    rank: int
    rows: tuple[str, ...]
    fence: Fence
    heading: str = ""
    label: str = ""
    may_end_early: bool = False

    @classmethod
    def quoted(
        cls,
        name: str,
        label: str,
        rows: Iterable[str],
        rank: int,
        *,
        fence: Fence,
        heading: str = "",
        may_end_early: bool = True,
    ) -> "Section":
        """Return one whose rows are in a quote under a label."""
        return cls(
            name=name,
            rank=rank,
            rows=tuple(fence.marked(rows)),
            fence=fence,
            heading=heading,
            label=label,
            may_end_early=may_end_early,
        )

    @property
    def text(self) -> str:
        """All of it."""
        return self._framed(self.rows)

    def within(self, limit_chars: int) -> str:
        """Return what fits of it; "" for nothing."""
        count = count_fitting(self.rows, limit_chars - len(self._framed(())))
        is_enough = count == len(self.rows) or (self.may_end_early and count > 0)
        return self._framed(self.rows[:count]) if is_enough else ""

    def _framed(self, rows: Sequence[str]) -> str:
        body = [self.fence.around(self.label, rows)] if self.label else rows
        return "\n".join([*([self.heading] if self.heading else []), *body])


def count_fitting(rows: Iterable[str], limit_chars: int) -> int:
    """Return how many of the first rows fit, each on a line of its own."""
    count, left = 0, limit_chars
    for row in rows:
        left -= len(row) + 1
        if left < 0:
            break
        count += 1
    return count


def fitting(sections: Iterable[Section], limit_chars: int) -> dict[str, str]:
    """Return the texts that fit by their names, in the order of the sections.

    One that does not fit is left out, and what ranks behind it may still fit.
    """
    listed = [one for one in sections if one.rows]
    left, shown = limit_chars, dict[str, str]()
    for section in sorted(listed, key=lambda one: one.rank):
        text = section.within(left - len(GAP))
        if text:
            shown[section.name] = text
            left -= len(text) + len(GAP)
    return {one.name: shown[one.name] for one in listed if one.name in shown}
