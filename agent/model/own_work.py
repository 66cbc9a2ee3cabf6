"""What this node tried, beyond the table: sums, failures, diffs, constants, kinds of change; and
what its owner brought of another tool's.

All of it follows from the history. Titles, reasons and code are in quotes, whoever wrote them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Final

from agent.model.facts import CATEGORIES, UNNAMED, category
from agent.model.quoting import MAX_LINE, MAX_TITLE, MAX_WHY, Fence, code_line, one_line
from agent.model.sections import Section
from agent.model.table import (
    FAILED,
    NONE,
    Teller,
    counted,
    difference,
    gain_words,
    hunks_by,
    is_near_miss,
)
from agent.proposal import DECISION_WORDS, Context, Outcome

_FAILURES: Final = 24
_DIFFS: Final = 12  # of what was kept, and as many of near misses
_FIRST_DIFFS: Final = 4  # that go before what peers say
_MAX_DIFF_LINES: Final = 60
_CONSTANTS: Final = 24
_LEAST_TRIES: Final = 2  # of a constant, for there to be a best one
_EXPLAINED: Final = (
    "constants, those that matter most first: the share of the metric's variance that each "
    "explains by itself, by a model of all trials of them (90% interval) | changes of it alone"
)
_INSIGHTS: Final = 8
# No rule of this node decided anything of what was imported.
_IMPORTED: Final = {"kept": "kept", "failed": "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnWork:
    """Writes the sections of one context."""

    context: Context
    teller: Teller
    fence: Fence

    def standing(self) -> Section:
        """How many were made, with what success, and since when nothing was kept."""
        history = self.context.history
        if not history:
            return self._plain("standing", "## So far", ["Nothing was tried yet."], 0)
        plateau = next(
            (age for age, one in enumerate(reversed(history)) if one.decision == "kept"),
            len(history),
        )
        many = "1 experiment" if len(history) == 1 else f"{len(history)} experiments"
        rows = [f"{many}: {counted(history)}."]
        if plateau > 0:
            rows.append(f"Nothing was kept in the last {plateau}.")
        return self._plain("standing", "## So far", rows, 0)

    def code_and_failures(self) -> Iterator[Section]:
        """What the table has no room for."""
        yield from self._diffs()
        yield self._failures()
        yield self._imported()

    def lessons(self) -> Iterator[Section]:
        """What all of it comes to."""
        yield self._constants()
        yield self._kinds()
        own = [one.text for one in self.context.insights if one.is_own][:_INSIGHTS]
        yield self._words("insights", "what this node concluded earlier", own)
        yield self._words(
            "scales", "this node's finds on larger and smaller tasks", self.context.scales
        )

    def _diffs(self) -> Iterator[Section]:
        """What was kept, the newest first, and near misses, the nearest first, in turns."""
        shown = [one for one in reversed(self.context.history) if self._has_diff(one)]
        kept = [one for one in shown if one.decision == "kept"][:_DIFFS]
        near = sorted(filter(is_near_miss, shown), key=lambda one: -(one.gain_sd or 0.0))[:_DIFFS]
        turns = chain.from_iterable(zip_longest(kept, near))
        for place, outcome in enumerate(one for one in turns if one is not None):
            yield Section.quoted(
                f"diff {place + 1}",
                _diff_label(outcome),
                [one_line(outcome.title, MAX_TITLE), *_diff(outcome)],
                2 if place < _FIRST_DIFFS else 10 + place,
                fence=self.fence,
                may_end_early=False,
            )

    def _has_diff(self, outcome: Outcome) -> bool:
        """Whether its code says more than the table does, and may be shown."""
        if not outcome.edits or not self.teller.may_quote(outcome):
            return False
        return any(fact.startswith(("adds ", "removes ")) for fact in self.teller.facts(outcome))

    def _failures(self) -> Section:
        rows = []
        for one in _failed(self.context.history):
            told = [self.teller.change(one), self.teller.reason(one)]
            if self.teller.may_quote(one):
                told.append(code_line(one.last_line.strip(), MAX_LINE))
            rows.append(f"{one.number or '-'}: {' | '.join(filter(None, told))}")
        return Section.quoted(
            "failures",
            "failures, the newest of each kind: number: change | why | the last line printed",
            rows,
            1,
            fence=self.fence,
        )

    def _imported(self) -> Section:
        """What another tool says that it tried, by lines of its log."""
        rows = []
        for one in reversed(self.context.imported):
            metric = "-" if one.metric is None else f"{one.metric:.6g}"
            outcome = _IMPORTED.get(one.decision, "dropped")
            rows.append(f"{metric} | {outcome} | {one_line(one.title, MAX_TITLE)}")
        return Section.quoted(
            "imported",
            "tried before with another tool, nowhere measured here, the newest first: "
            "what it says was measured | outcome | change",
            rows,
            3,
            fence=self.fence,
        )

    def _constants(self) -> Section:
        """Which constants matter, by a model of all trials, then by changes of them alone."""
        alone = self._changed_alone()
        explained = {
            one.name: f"{one.share:.0%} ({one.low:.0%} to {one.high:.0%})"
            for one in self.context.importance
        }
        label = _EXPLAINED if explained else "constants changed alone, those that matter most first"
        rows = []
        for name in [*explained, *(name for name in alone if name not in explained)][:_CONSTANTS]:
            cells = [explained.get(name, NONE)] if explained else []
            told = " | ".join([*cells, alone.get(name, NONE)])
            rows.append(f"{one_line(name, MAX_TITLE)}: {told}")
        return Section.quoted("constants", label, rows, 5, fence=self.fence)

    def _changed_alone(self) -> dict[str, str]:
        """Return what single changes of each constant came to, those first that did most."""
        tries: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
        for outcome in self.context.history:
            facts = self.teller.facts(outcome)
            is_alone = len(facts) == 1 and " → " in facts[0]
            if is_alone and outcome.gain_sd is not None and not facts[0].startswith(UNNAMED):
                name, _, step = facts[0].partition(" ")
                tries[name].append((outcome.gain_sd, step))
        spans = {
            name: (min(told), max(told))
            for name, told in tries.items()
            if len(told) >= _LEAST_TRIES
        }
        ordered = sorted(spans, key=lambda name: (spans[name][0][0] - spans[name][1][0], name))
        told = {}
        for name in ordered:
            (worst, to_worst), (best, to_best) = spans[name]
            told[name] = (
                f"{len(tries[name])} tries, from {gain_words(worst)} ({to_worst}) to "
                f"{gain_words(best)} ({to_best})"
            )
        return told

    def _kinds(self) -> Section:
        tried, kept, failed = Counter[str](), Counter[str](), Counter[str]()
        for outcome in self.context.history:
            kind = category(outcome.key, hunks_by(outcome.edits))
            tried[kind] += 1
            kept[kind] += outcome.decision == "kept"
            failed[kind] += outcome.decision in FAILED
        rows = [
            f"- {kind}: {tried[kind]} tried, {kept[kind]} kept, {failed[kind]} failed"
            for kind in sorted(CATEGORIES, key=lambda kind: -tried[kind])
            if tried[kind]
        ]
        untried = [kind for kind in CATEGORIES if not tried[kind]]
        if rows and untried:
            rows.append(f"Never tried: {', '.join(untried)}.")
        return self._plain("kinds", "## By kind of change", rows, 6)

    def _words(self, name: str, label: str, texts: Iterable[str]) -> Section:
        rows = [f"- {one_line(text, MAX_WHY)}" for text in texts]
        return Section.quoted(name, label, rows, 4, fence=self.fence)

    def _plain(self, name: str, heading: str, rows: Sequence[str], rank: int) -> Section:
        return Section(name=name, rank=rank, rows=tuple(rows), fence=self.fence, heading=heading)


def _failed(history: Sequence[Outcome]) -> Iterator[Outcome]:
    """Yield the newest failures, one for each reason and last line."""
    seen: set[tuple[str, str]] = set()
    for outcome in reversed(history):
        told = (outcome.reason, outcome.last_line)
        if outcome.decision in FAILED and told not in seen:
            seen.add(told)
            yield outcome
        if len(seen) == _FAILURES:
            return


def _diff_label(outcome: Outcome) -> str:
    number = f"experiment {outcome.number}" if outcome.number else "an experiment"
    gain = "" if outcome.gain_sd is None else f", {difference(outcome)} sd"
    return f"code of {number}, {DECISION_WORDS[outcome.decision]}{gain}"


def _diff(outcome: Outcome) -> list[str]:
    """Return the lines that went and came, without what is around them."""
    lines: list[str] = []
    for hunk in hunks_by(outcome.edits):
        lines += [f"-{line}" for line in hunk.removed]
        lines += [f"+{line}" for line in hunk.added]
    more = len(lines) - _MAX_DIFF_LINES
    return [
        *map(code_line, lines[:_MAX_DIFF_LINES]),
        *([f"… {more} more lines"] if more > 0 else []),
    ]
