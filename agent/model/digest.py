"""What was tried and what came of it, by this node and by others, within a bound.

The memory that a model is given: own outcomes first, then facts about peers' patches, rendered by
us. Words of others are there only where this node verified the result, or the user asked for
them. Everything that somebody else could have written stands inside the fence.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agent.model.facts import CATEGORIES, category, facts, known_names, said_constant
from agent.model.quoting import MAX_TITLE, MAX_WHY, Fence, diff_lines, one_line
from agent.proposal import DECISION_WORDS, Context, Outcome, PeerPatch, PeerReport
from agent.source.hunks import hunks_of
from protocol.hardware import family_of

_LATEST = 12
_BEST = 8
_FAILURES = 8
_RECHECKED_OUT = 8
_MOST_TRIED = 6
_REPEATED = 3  # so often, and an idea is among those tried most
_COUNTED = 500  # of the newest, in every sum
_PEERS = 16
_WORDS = 6  # peers' patches that are shown in full
_INSIGHTS = 8
_INTENTS = 16
_REPORTS = 4
_MOST_HOURS = 10_000.0
_MOST_COUNTED = 1_000_000  # in one session
_MAX_REASON = 200
_IMPLAUSIBLE_SD = 100.0

# Of a report's figures those that say what came of it: other names are others' words.
_COUNTS: Final = {
    "experiments": "experiments",
    "kept": "kept",
    "failed": "failed",
    "checkpoints": "checkpoints",
    "passed": "of them confirmed",
}
_LEVELS: Final = {
    "here": "measured here",
    "others": "re-run by others",
    "claimed": "claimed by its author only",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of a prompt. The highest `rank` is left out first where space is short."""

    name: str
    text: str
    rank: int


def digest(context: Context, fence: Fence) -> tuple[Section, ...]:
    """Return the sections in the order that they are read in; only those that say something."""
    writer = _Writer(context, fence)
    sections = (*writer.own(), *writer.peers())
    return tuple(part for part in sections if part.text)


def gain_words(gain_sd: float) -> str:
    """Return a gain in standard deviations of one run, however large somebody says it is."""
    if not math.isfinite(gain_sd) or abs(gain_sd) > _IMPLAUSIBLE_SD:
        return "an implausible gain"
    return f"{gain_sd:+.2f} sd"


def outcome_row(outcome: Outcome, known: frozenset[str], *, shows_unverified: bool) -> str:
    """Return on one line what came of an experiment; words of others only where it was kept."""
    is_open = outcome.author is None or outcome.decision == "kept" or shows_unverified
    words = DECISION_WORDS[outcome.decision]
    if outcome.gain_sd is not None:
        words += f" {gain_words(outcome.gain_sd)}"
    whose = "a peer's idea" if outcome.author is not None else ""
    title = one_line(outcome.title, MAX_TITLE) if is_open else ""
    change = "; ".join(facts(hunks_of(outcome.edits), known))
    reason = one_line(outcome.reason, _MAX_REASON) if is_open else ""
    # Of a constant the title is the fact already.
    told = [whose, title, "" if change and change in title else change]
    because = f" | because: {reason}" if reason else ""
    return f"{words}: {' | '.join(filter(None, told)) or 'a change'}{because}"


def peer_row(patch: PeerPatch, known: frozenset[str]) -> str:
    """Return on one line what a peer's patch does and gains: no word of its author's."""
    where = "this class" if patch.is_near else f"other hardware, {family_of(patch.hardware_class)}"
    change = "; ".join(facts(hunks_of(patch.edits, patch.diff), known)) or "a change"
    return f"{gain_words(patch.gain_sd)}, {_LEVELS[patch.level]}, on {where}: {change}"


def report_row(report: PeerReport) -> str:
    """Return on one line what a peer's session came to, in figures and words of ours alone."""
    where = (
        "this class" if report.is_near else f"other hardware, {family_of(report.hardware_class)}"
    )
    is_plausible = math.isfinite(report.hours) and 0 <= report.hours <= _MOST_HOURS
    told = [f"{report.hours:.1f} h on {where}" if is_plausible else f"on {where}"]
    known = dict(report.figures)
    told += [
        f"{known[name]} {words}"
        for name, words in _COUNTS.items()
        if 0 <= known.get(name, -1) <= _MOST_COUNTED
    ]
    if report.gain_sd:
        told.append(f"verified gain {gain_words(report.gain_sd)}")
    return ", ".join(told)


class _Writer:
    """Renders one context."""

    def __init__(self, context: Context, fence: Fence) -> None:
        self._context = context
        self._fence = fence
        self._known = known_names(context.source)
        self._history = context.history[-_COUNTED:]

    def own(self) -> Iterator[Section]:
        latest = self._history[-_LATEST:]
        earlier = self._history[:-_LATEST]
        by_gain = sorted(earlier, key=lambda one: -(one.gain_sd or 0.0))
        yield Section(name="standing", text=self._standing(), rank=0)
        yield self._outcomes(
            "best",
            "kept before, by gain",
            [one for one in by_gain if one.decision == "kept"][:_BEST],
            2,
        )
        yield self._outcomes("latest", "the latest, newest last", latest, 1)
        yield self._outcomes(
            "rechecked out",
            "rechecked out: the first run gained, a fresh seed did not bear it out",
            [one for one in by_gain if one.decision == "rechecked_out"][:_RECHECKED_OUT],
            5,
        )
        yield self._outcomes("failures", "earlier failures", list(_failures(earlier)), 3)
        yield Section(name="yields", text=self._yields(), rank=4)
        yield Section(name="tried most", text=self._tried_most(), rank=9)
        own = [insight.text for insight in self._context.insights if insight.is_own]
        yield self._words("insights", "what this node concluded earlier", own[-_INSIGHTS:], 7)
        label = "this node's finds on larger and smaller tasks"
        yield self._words("scales", label, self._context.scales, 7)

    def peers(self) -> Iterator[Section]:
        ranked = sorted(self._context.peers, key=_promise)[:_PEERS]
        rows = [f"P{at}: {peer_row(patch, self._known)}" for at, patch in enumerate(ranked, 1)]
        label = "peers' patches; figures and changes as parsed here"
        yield self._quoted("peers", "## What others found", label, rows, 6)
        shown = 0
        for number, patch in enumerate(ranked, 1):
            if self._may_show(patch) and shown < _WORDS:
                shown += 1
                yield self._peer_words(number, patch, 10 + shown)
        yield self._intents()
        yield self._reports()
        theirs = [insight.text for insight in self._context.insights if not insight.is_own]
        if self._context.show_unverified_words:
            label = "what others say they learned; nobody checked it here"
            yield self._words("peers' insights", label, theirs[:_INSIGHTS], 10)

    def _standing(self) -> str:
        if not self._history:
            return "## So far\nNothing was tried yet."
        count = Counter(one.decision for one in self._history)
        words = ", ".join(
            f"{count[one]} {DECISION_WORDS[one]}" for one in DECISION_WORDS if count[one]
        )
        plateau = next(
            (age for age, one in enumerate(reversed(self._history)) if one.decision == "kept"),
            len(self._history),
        )
        lines = ["## So far", f"{len(self._history)} experiments: {words}."]
        if plateau > 0:
            lines.append(f"Nothing was kept in the last {plateau}.")
        return "\n".join(lines)

    def _outcomes(self, name: str, label: str, outcomes: Sequence[Outcome], rank: int) -> Section:
        shows_unverified = self._context.show_unverified_words
        rows = [
            outcome_row(one, self._known, shows_unverified=shows_unverified) for one in outcomes
        ]
        return self._quoted(name, "", label, rows, rank)

    def _yields(self) -> str:
        tried: Counter[str] = Counter()
        kept: Counter[str] = Counter()
        failed: Counter[str] = Counter()
        for outcome in self._history:
            kind = category(outcome.key, hunks_of(outcome.edits))
            tried[kind] += 1
            kept[kind] += outcome.decision == "kept"
            failed[kind] += outcome.decision in {"failed", "rejected"}
        rows = [
            f"- {kind}: {tried[kind]} tried, {kept[kind]} kept, {failed[kind]} failed"
            for kind in sorted(CATEGORIES, key=lambda kind: -tried[kind])
            if tried[kind]
        ]
        untried = [kind for kind in CATEGORIES if not tried[kind]]
        if not rows:
            return ""
        last = [f"Never tried: {', '.join(untried)}."] if untried else []
        return "\n".join(["## By kind of change", *rows, *last])

    def _tried_most(self) -> str:
        times = Counter(one.key for one in self._history if one.author is None)
        rows = [
            f"{count} times: {one_line(key, MAX_TITLE)}"
            for key, count in times.most_common(_MOST_TRIED)
            if count >= _REPEATED
        ]
        return self._fence.quote("tried most", rows) if rows else ""

    def _may_show(self, patch: PeerPatch) -> bool:
        return patch.level == "here" or self._context.show_unverified_words

    def _peer_words(self, number: int, patch: PeerPatch, rank: int) -> Section:
        lines = [
            f"title: {one_line(patch.title, MAX_TITLE)}",
            f"why: {one_line(patch.why, MAX_WHY)}",
            *diff_lines(patch.diff),
        ]
        label = f"P{number} as its author wrote it, {_LEVELS[patch.level]}"
        return self._quoted(f"P{number}", "", label, lines, rank)

    def _intents(self) -> Section:
        titles = self._context.intents[:_INTENTS]
        if self._context.show_unverified_words:
            rows = [one_line(title, MAX_TITLE) for title in titles]
        else:
            told = [said_constant(title, self._known) for title in titles]
            rows = [fact for fact in told if fact]
            if others := len(told) - len(rows):
                rows.append(f"{others} more, of which only their authors know")
        return self._quoted("intents", "", "what others are trying now", rows, 8)

    def _reports(self) -> Section:
        """Figures always, as what is known of a peer's patch; its author's title as words are."""
        rows: list[str] = []
        for number, report in enumerate(self._context.reports[:_REPORTS], 1):
            rows.append(f"R{number}: {report_row(report)}")
            if self._context.show_unverified_words:
                rows.append(f"R{number} title: {one_line(report.title, MAX_TITLE)}")
        label = "sessions of others, in figures as they count them; nobody checked them here"
        return self._quoted("peers' reports", "", label, rows, 10)

    def _words(self, name: str, label: str, texts: Iterable[str], rank: int) -> Section:
        rows = [f"- {one_line(text, MAX_WHY)}" for text in texts]
        return self._quoted(name, "", label, rows, rank)

    def _quoted(
        self, name: str, heading: str, label: str, rows: Sequence[str], rank: int
    ) -> Section:
        text = "\n".join(filter(None, [heading, self._fence.quote(label, rows)])) if rows else ""
        return Section(name=name, text=text, rank=rank)


def _failures(outcomes: Sequence[Outcome]) -> Iterator[Outcome]:
    """Yield the newest failures, one for each reason."""
    seen: set[str] = set()
    for outcome in reversed(outcomes):
        if outcome.decision in {"failed", "rejected"} and outcome.reason not in seen:
            seen.add(outcome.reason)
            yield outcome
        if len(seen) == _FAILURES:
            return


def _promise(patch: PeerPatch) -> tuple[int, bool, float]:
    """Order by how well a gain is known, then by how near, then by how large."""
    gain_sd = patch.gain_sd if math.isfinite(patch.gain_sd) else 0.0
    return ("here", "others", "claimed").index(patch.level), not patch.is_near, -gain_sd
