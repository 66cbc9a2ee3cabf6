"""The assembly of sections into a prompt within a length limit.

Some sections are always included. The others form the `History`: each has a rank, and sections with
the lowest ranks are included first. Only ranks decide, so the same context and limit always give
the same prompt. This module does not depend on what the sections say.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from agent.completion import ChatMessage
from agent.model.facts import known_names
from agent.model.outcomes import OutcomeWriter
from agent.model.quoting import QuoteFence
from agent.proposal import Brief, Context, NoProposal
from protocol.source import Source

GAP: Final = "\n\n"  # between two sections
HOPELESS_S: Final = 3600.0  # pause until the owner may have changed instructions, model or source


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptInput:
    """The input of every section: the context, its brief, and the fence for quotes."""

    context: Context
    brief: Brief
    fence: QuoteFence
    writer: OutcomeWriter

    @classmethod
    def of(cls, context: Context, fence: QuoteFence) -> "PromptInput | NoProposal":
        """Return the input for a context, or `NoProposal` if it has no description of the task."""
        if context.brief is None:
            return NoProposal(reason="the task has no description", retry_s=HOPELESS_S)
        writer = OutcomeWriter(
            known=known_names(context.source), shows_unverified=context.show_unverified_words
        )
        return cls(context=context, brief=context.brief, fence=fence, writer=writer)

    @property
    def source(self) -> Source:
        """The source to change; in a repair, the failed version."""
        crash = self.context.crash
        return self.context.source if crash is None else crash.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Rows under a trusted `heading`, in a quote if there is a `label`.

    The section with the lowest `rank` gets room first. With `may_end_early`, the first rows are
    shown if not all fit. Otherwise the section is shown whole or left out.
    """

    name: str
    rank: int
    rows: tuple[str, ...]
    fence: QuoteFence
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
        fence: QuoteFence,
        heading: str = "",
        may_end_early: bool = True,
    ) -> "Section":
        """Return a section whose rows are in a quote under a label."""
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
        """The whole section."""
        return self._framed(self.rows)

    def within(self, limit_chars: int) -> str:
        """Return as much of the section as fits, "" if nothing does."""
        count = count_fitting(self.rows, limit_chars - len(self._framed(())))
        is_enough = count == len(self.rows) or (self.may_end_early and count > 0)
        return self._framed(self.rows[:count]) if is_enough else ""

    def _framed(self, rows: Sequence[str]) -> str:
        body = [self.fence.around(self.label, rows)] if self.label else rows
        return "\n".join([*([self.heading] if self.heading else []), *body])


def count_fitting(rows: Iterable[str], limit_chars: int) -> int:
    """Return how many of the first rows fit, each on its own line."""
    count, left = 0, limit_chars
    for row in rows:
        left -= len(row) + 1
        if left < 0:
            break
        count += 1
    return count


class Elastic(Protocol):
    """A text that shortens itself to the available room."""

    def within(self, limit_chars: int) -> str:
        """Return as much of the text as fits, "" if nothing does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Sections that may be left out, under a `heading`. The `table` follows the first section.

    The table gets half of the room, plus what the sections leave of the other half.
    """

    sections: tuple[Section, ...]
    heading: str = ""
    table: Elastic | None = None

    def within(self, limit_chars: int) -> dict[str, str]:
        """Return the texts that fit, keyed by section name, in reading order.

        Gaps between the texts use room too. Empty texts are left out.
        """
        if self.table is None:
            return fitting(self.sections, limit_chars)
        wanted = sum(len(one.text) + len(GAP) for one in self.sections if one.rows)
        first = self.table.within(max(limit_chars // 2, limit_chars - wanted) - len(GAP))
        shown = fitting(self.sections, limit_chars - len(first) - len(GAP))
        left = limit_chars - sum(len(text) + len(GAP) for text in shown.values())
        lead = self.sections[0].name
        texts = {lead: shown.pop(lead, ""), "table": self.table.within(left - len(GAP)), **shown}
        return {name: text for name, text in texts.items() if text}

    def texts(self, limit_chars: int) -> list[str]:
        """Return the heading and what fits below it, or nothing if nothing fits."""
        room = limit_chars - (len(self.heading) + len(GAP) if self.heading else 0)
        shown = [*self.within(room).values()]
        return [self.heading, *shown] if shown and self.heading else shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The sections of one prompt in reading order; only `history` is shortened.

    All quotes in it, and in the conversation that follows, are in `fence`.
    """

    fence: QuoteFence
    system: tuple[str, ...]
    before: tuple[str, ...]
    history: History
    after: tuple[str, ...]

    def within(self, limit_chars: int) -> tuple[ChatMessage, ...] | NoProposal:
        """Return the prompt, at most `limit_chars` long, or the reason there is none."""
        system = GAP.join(self.system)
        needed = len(system) + len(GAP.join([*self.before, *self.after]))
        if needed > limit_chars:
            reason = (
                f"the source and the instructions need {needed} characters of a prompt, more "
                f"than the model's limit of {limit_chars}"
            )
            return NoProposal(reason=reason, retry_s=HOPELESS_S)
        shown = self.history.texts(limit_chars - needed)
        return (
            ChatMessage(role="system", content=system),
            ChatMessage(role="user", content=GAP.join([*self.before, *shown, *self.after])),
        )


def fitting(sections: Iterable[Section], limit_chars: int) -> dict[str, str]:
    """Return the texts that fit, keyed by name, in the order of the sections.

    If a section does not fit, sections of higher ranks are still tried.
    """
    listed = [one for one in sections if one.rows]
    left, shown = limit_chars, dict[str, str]()
    for section in sorted(listed, key=lambda one: one.rank):
        text = section.within(left - len(GAP))
        if text:
            shown[section.name] = text
            left -= len(text) + len(GAP)
    return {one.name: shown[one.name] for one in listed if one.name in shown}
