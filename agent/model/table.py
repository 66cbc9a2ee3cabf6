"""The table of all experiments in a prompt, one row each, the newest first, within a length limit.

If there is not enough room, rows are shortened. Then rows are dropped, and one line says how many.
The oldest are dropped first, but kept experiments and near misses stay longer than the rest. All
rows are quoted, because models and peers wrote the titles.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Final

from agent.model.outcomes import OutcomeWriter, counted, is_near_miss
from agent.model.quoting import QuoteFence
from agent.model.sections import count_fitting
from agent.proposal import Decision, Outcome

_NEWEST: Final = 12  # rows that are shortened and dropped last
_WHOLE_PART: Final = 4  # if rows are dropped, 1/4 of the room is for rows at full length
_HEADING: Final = """\
## All experiments, the newest first
The base is the number of the experiment whose source was changed: 0 is the task's first source, - \
is any other source. A gain is relative to that base, + is better; gains over different bases \
cannot be compared."""
_ERRORS: Final = "± is the standard error of a gain."
_MEANINGS: Final[dict[Decision, str]] = {
    "screened_out": "Screened out: its first run was not good enough.",
    "rechecked_out": "Rechecked out: its first run was good enough, but later ones were not.",
    "rejected": "Rejected: it broke the task's rules.",
}

_COLUMNS: Final = "number | base | {metric} | gain in sd | seconds | outcome | change"
_SHORT_COLUMNS: Final = "shortened: number | gain in sd | outcome | change"


class ExperimentTable:
    """The rows of a history, which is given oldest first."""

    def __init__(
        self, history: Sequence[Outcome], writer: OutcomeWriter, fence: QuoteFence, *, metric: str
    ) -> None:
        self._history = history
        self._writer = writer
        self._fence = fence
        decisions = {one.decision for one in history}
        meanings = [text for decision, text in _MEANINGS.items() if decision in decisions]
        errors = [_ERRORS] if any(one.error_sd for one in history) else []
        self._heading = " ".join([_HEADING, *errors, *meanings])
        self._label = _COLUMNS.format(metric=metric)
        self._lines = fence.marked(map(writer.line, history))
        # The most informative first: the newest, then kept ones and near misses, then by age.
        self._ranked = sorted(range(len(history)), key=lambda at: (self._remoteness(at), -at))

    @cached_property
    def text(self) -> str:
        """The whole table; "" without a history."""
        return self._shown(len(self._ranked), 0) if self._history else ""

    def within(self, limit_chars: int) -> str:
        """Return the rows that fit and one line on the rest; "" if not even that line fits.

        Rows are shortened if that helps to show all of them, and dropped if they still do not fit.
        """
        if len(self.text) <= limit_chars:
            return self.text
        ranked = self._ranked
        left = limit_chars - len(self._shown(0, 0)) - len(self._quote(_SHORT_COLUMNS, ())) - 1
        left -= len(self._quote(self._label, ())) + 1
        whole = [0, *accumulate(len(self._lines[at]) + 1 for at in ranked)]
        short = [0, *accumulate(len(self._short[at]) + 1 for at in ranked)]
        fitting = [
            count
            for count in range(len(ranked) + 1)
            if whole[count] + short[-1] - short[count] <= left
        ]
        if fitting:
            return self._shown(fitting[-1], len(ranked) - fitting[-1])
        informative = (self._lines[at] for at in ranked if self._remoteness(at) <= 1)
        first = count_fitting(informative, left // _WHOLE_PART)
        more = count_fitting((self._short[at] for at in ranked[first:]), left - whole[first])
        text = self._shown(first, more) if first + more else _not_shown(self._history)
        return text if len(text) <= limit_chars else ""

    @cached_property
    def _short(self) -> list[str]:
        return self._fence.marked(map(self._writer.short_line, self._history))

    def _remoteness(self, at: int) -> int:
        if at >= len(self._history) - _NEWEST:
            return 0
        if self._history[at].decision == "kept":
            return 1
        return 2 if is_near_miss(self._history[at]) else 3

    def _shown(self, whole: int, short: int) -> str:
        """Return the table: `whole` best-ranked rows in full, the next `short` rows shortened."""
        parts = [self._heading]
        if whole:
            lines = [self._lines[at] for at in sorted(self._ranked[:whole], reverse=True)]
            parts.append(self._quote(self._label, lines))
        if short:
            brief = sorted(self._ranked[whole : whole + short], reverse=True)
            parts.append(self._quote(_SHORT_COLUMNS, [self._short[at] for at in brief]))
        if dropped := [self._history[at] for at in self._ranked[whole + short :]]:
            parts.append(_not_shown(dropped))
        return "\n".join(parts)

    def _quote(self, label: str, lines: Iterable[str]) -> str:
        return self._fence.around(label, lines)


def _not_shown(dropped: Sequence[Outcome]) -> str:
    many = "1 experiment" if len(dropped) == 1 else f"{len(dropped)} experiments"
    return f"Not shown for lack of room: {many} ({counted(dropped)})."
