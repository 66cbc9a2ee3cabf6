"""The table of all experiments, a line each, the newest first, however much room there is.

Where there is not enough, lines are shortened, and then dropped and summed up: the oldest first,
but what was kept or came close outlasts the rest. All lines are in a quote: titles are words of
models and of others.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Final

from agent.model.facts import facts, said_constant
from agent.model.quoting import MAX_TITLE, Fence, one_line
from agent.model.sections import count_fitting
from agent.proposal import DECISION_WORDS, Decision, Outcome
from agent.source.hunks import Hunk, hunks_of
from protocol.ideas import Edit

FAILED: Final = frozenset({"failed", "rejected"})
_IMPLAUSIBLE_SD: Final = 100.0
_MAX_REASON: Final = 200
_SHORT_REASON: Final = 80
_SHORT_TITLE: Final = 60
_MAX_CHANGE: Final = 160
_NEWEST: Final = 12  # lines that are shortened and dropped last
_WHOLE_PART: Final = 4  # where lines are dropped, one part in so many is for whole ones
NONE: Final = "-"
_HEADING: Final = """\
## All experiments, the newest first
The base is the number of the experiment whose source was changed: 0 is the task's first source, - \
one from elsewhere. A gain is over that base, + is better; gains over different bases do not \
compare."""
_ERRORS: Final = "± is the standard error of a gain."
_MEANINGS: Final[dict[Decision, str]] = {
    "screened_out": "Screened out: its first run was not good enough.",
    "rechecked_out": "Rechecked out: its first run was, but runs with fresh seeds were not.",
    "rejected": "Rejected: it did not keep to the task's rules.",
}

_COLUMNS: Final = "number | base | {metric} | gain in sd | seconds | outcome | change"
_SHORT_COLUMNS: Final = "shortened: number | gain in sd | outcome | change"


def gain_words(gain_sd: float) -> str:
    """Return a gain in standard deviations of one run, however large somebody says it is."""
    if not math.isfinite(gain_sd) or abs(gain_sd) > _IMPLAUSIBLE_SD:
        return "an implausible gain"
    return f"{gain_sd:+.2f} sd"


@lru_cache(maxsize=4096)  # a history is told again in every prompt
def hunks_by(edits: tuple[Edit, ...]) -> tuple[Hunk, ...]:
    """Return what edits do, line by line."""
    return hunks_of(edits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """Tells of experiments in words: `known` names may be said, and unverified words with leave."""

    known: frozenset[str]
    shows_unverified: bool

    def may_quote(self, outcome: Outcome) -> bool:
        """Say whether its title and reason may be shown: it is an own idea, or was kept here."""
        return outcome.author is None or outcome.decision == "kept" or self.shows_unverified

    def facts(self, outcome: Outcome) -> tuple[str, ...]:
        """Return what it changes in words of ours; of an older one what its title says of that."""
        if outcome.edits:
            return facts(hunks_by(outcome.edits), self.known)
        constant = said_constant(outcome.title, self.known)
        return (constant,) if constant else ()

    def change(self, outcome: Outcome) -> str:
        """Return what it is, without what came of it."""
        whose = "a peer's idea" if outcome.author is not None else ""
        title = one_line(outcome.title, MAX_TITLE) if self.may_quote(outcome) else ""
        change = one_line("; ".join(self.facts(outcome)), _MAX_CHANGE)
        # Of a constant the title is the fact already.
        told = [whose, title, "" if change and change in title else change]
        return " | ".join(filter(None, told)) or "a change"

    def reason(self, outcome: Outcome) -> str:
        """Return why it failed, "" where that may not be said."""
        return one_line(outcome.reason, _MAX_REASON) if self.may_quote(outcome) else ""

    def row(self, outcome: Outcome) -> str:
        """Return on one line what an experiment was and what came of it."""
        words = DECISION_WORDS[outcome.decision]
        if outcome.gain_sd is not None:
            words += f" {gain_words(outcome.gain_sd)}"
        reason = self.reason(outcome)
        return f"{words}: {self.change(outcome)}" + (f" | because: {reason}" if reason else "")

    def line(self, outcome: Outcome) -> str:
        """Return its line of the table."""
        metric = NONE if outcome.metric is None else f"{outcome.metric:.6g}"
        seconds = NONE if outcome.seconds is None else f"{outcome.seconds:.3g}"
        reason = self.reason(outcome)
        cells = [
            str(outcome.number or NONE),
            NONE if outcome.base is None else str(outcome.base),
            metric,
            difference(outcome),
            seconds,
            DECISION_WORDS[outcome.decision],
            self.change(outcome),
            *([one_line(reason, _SHORT_REASON)] if reason else []),
        ]
        return " | ".join(cells)

    def short_line(self, outcome: Outcome) -> str:
        """Return the same in brief."""
        gain = NONE if outcome.gain_sd is None else difference(outcome).split(" ")[0]
        cells = [
            str(outcome.number or NONE),
            gain,
            DECISION_WORDS[outcome.decision],
            one_line(self.change(outcome), _SHORT_TITLE),
        ]
        return " | ".join(cells)


def difference(outcome: Outcome) -> str:
    """Return what it gained over its base in sd, with the standard error where there is one."""
    if outcome.gain_sd is None:
        return NONE
    if not math.isfinite(outcome.gain_sd) or abs(outcome.gain_sd) > _IMPLAUSIBLE_SD:
        return "implausible"
    error = f" ± {outcome.error_sd:.1f}" if outcome.error_sd else ""
    return f"{outcome.gain_sd:+.2f}{error}"


def counted(outcomes: Iterable[Outcome]) -> str:
    """Return how many came to what: `3 kept, 12 screened out`."""
    count = Counter(one.decision for one in outcomes)
    return ", ".join(f"{count[one]} {DECISION_WORDS[one]}" for one in DECISION_WORDS if count[one])


class Table:
    """All of a history, oldest first as it comes, in lines that are made once."""

    def __init__(
        self, history: Sequence[Outcome], teller: Teller, fence: Fence, *, metric: str
    ) -> None:
        self._history = history
        self._teller = teller
        self._fence = fence
        met = {one.decision for one in history}
        meanings = [text for decision, text in _MEANINGS.items() if decision in met]
        errors = [_ERRORS] if any(one.error_sd for one in history) else []
        self._heading = " ".join([_HEADING, *errors, *meanings])
        self._label = _COLUMNS.format(metric=metric)
        self._lines = fence.marked(map(teller.line, history))
        # The most telling first: the newest, what was kept, what came close, then by age.
        self._ranked = sorted(range(len(history)), key=lambda at: (self._remoteness(at), -at))

    @cached_property
    def text(self) -> str:
        """All of it; "" without a history."""
        return self._shown(len(self._ranked), 0) if self._history else ""

    def within(self, limit_chars: int) -> str:
        """Return what fits of it, and in one line how much does not; "" where not even that fits.

        Lines are shortened as long as that helps to show all of them; what cannot be shown even so
        is dropped.
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
        telling = (self._lines[at] for at in ranked if self._remoteness(at) <= 1)
        first = count_fitting(telling, left // _WHOLE_PART)
        more = count_fitting((self._short[at] for at in ranked[first:]), left - whole[first])
        text = self._shown(first, more) if first + more else _not_shown(self._history)
        return text if len(text) <= limit_chars else ""

    @cached_property
    def _short(self) -> list[str]:
        return self._fence.marked(map(self._teller.short_line, self._history))

    def _remoteness(self, at: int) -> int:
        if at >= len(self._history) - _NEWEST:
            return 0
        if self._history[at].decision == "kept":
            return 1
        return 2 if is_near_miss(self._history[at]) else 3

    def _shown(self, whole: int, short: int) -> str:
        """Return the table with so many of the most telling lines whole and so many in brief."""
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
    return f"Not shown, as there is no room: {many} ({counted(dropped)})."


def is_near_miss(outcome: Outcome) -> bool:
    """Say whether it measured better than its base and was not kept."""
    return outcome.decision in {"screened_out", "rechecked_out"} and (outcome.gain_sd or 0.0) > 0
