"""Sections on this node's experiments: counts, failures, diffs, constants, kinds of change.

Results that the owner imported from another tool are included. Titles, reasons and code are in
quotes, because models and peers may have written them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from typing import Final

from agent.model.facts import CATEGORIES, UNNAMED, category
from agent.model.outcomes import (
    FAILED,
    NONE,
    counted,
    difference,
    gain_words,
    hunks_by,
    is_near_miss,
)
from agent.model.quoting import MAX_LINE, MAX_TITLE, MAX_WHY, code_line, one_line
from agent.model.sections import PromptInput, Section
from agent.proposal import DECISION_WORDS, Outcome

_FAILURES: Final = 24
_DIFFS: Final = 12  # of kept ones, and as many of near misses
_FIRST_DIFFS: Final = 4  # diffs that rank before peers' patches
_MAX_DIFF_LINES: Final = 60
_CONSTANTS: Final = 24
_LEAST_TRIES: Final = 2  # of a constant, to name a best and a worst value
_EXPLAINED: Final = (
    "constants, the most important first: the fraction of the metric's variance that each "
    "explains by itself, in a model of all experiments (90% interval) | changes to it alone"
)
_INSIGHTS: Final = 8
# The other tool decided on imported results, so "kept" has its meaning, not this node's.
_IMPORTED: Final = {"kept": "kept", "failed": "failed"}


def experiment_counts(given: PromptInput) -> Iterator[Section]:
    """Yield the number of experiments by decision, and the number since the last kept one."""
    history = given.context.history
    if not history:
        yield _plain(given, "standing", "## So far", ["Nothing was tried yet."], 0)
        return
    plateau = next(
        (age for age, one in enumerate(reversed(history)) if one.decision == "kept"),
        len(history),
    )
    many = "1 experiment" if len(history) == 1 else f"{len(history)} experiments"
    rows = [f"{many}: {counted(history)}."]
    if plateau > 0:
        rows.append(f"Nothing was kept in the last {plateau}.")
    yield _plain(given, "standing", "## So far", rows, 0)


def diffs(given: PromptInput) -> Iterator[Section]:
    """Yield code of kept experiments, the newest first, and of near misses, the nearest first."""
    shown = [one for one in reversed(given.context.history) if _has_diff(given, one)]
    kept = [one for one in shown if one.decision == "kept"][:_DIFFS]
    near = sorted(filter(is_near_miss, shown), key=lambda one: -(one.gain_sd or 0.0))[:_DIFFS]
    turns = chain.from_iterable(zip_longest(kept, near))
    for place, outcome in enumerate(one for one in turns if one is not None):
        yield Section.quoted(
            f"diff {place + 1}",
            _diff_label(outcome),
            [one_line(outcome.title, MAX_TITLE), *_diff(outcome)],
            2 if place < _FIRST_DIFFS else 10 + place,
            fence=given.fence,
            may_end_early=False,
        )


def failures(given: PromptInput) -> Iterator[Section]:
    """Yield the newest failure for each reason and last line."""
    rows = []
    for one in _failed(given.context.history):
        cells = [given.writer.change(one), given.writer.reason(one)]
        if given.writer.may_quote(one):
            cells.append(code_line(one.last_line.strip(), MAX_LINE))
        rows.append(f"{one.number or '-'}: {' | '.join(filter(None, cells))}")
    yield Section.quoted(
        "failures",
        "failures, the newest of each kind: number: change | why | the last line printed",
        rows,
        1,
        fence=given.fence,
    )


def imported(given: PromptInput) -> Iterator[Section]:
    """Yield the results that another tool's log reports."""
    rows = []
    for one in reversed(given.context.imported):
        metric = "-" if one.metric is None else f"{one.metric:.6g}"
        outcome = _IMPORTED.get(one.decision, "dropped")
        rows.append(f"{metric} | {outcome} | {one_line(one.title, MAX_TITLE)}")
    yield Section.quoted(
        "imported",
        "tried before with another tool, not measured by this node, the newest first: "
        "score by that tool | outcome | change",
        rows,
        3,
        fence=given.fence,
    )


def constants(given: PromptInput) -> Iterator[Section]:
    """Yield the importance of constants, and the results of changing one of them alone."""
    alone = _changed_alone(given)
    explained = {
        one.name: f"{one.share:.0%} ({one.low:.0%} to {one.high:.0%})"
        for one in given.context.importance
    }
    label = _EXPLAINED if explained else "constants changed alone, the most important first"
    rows = []
    for name in [*explained, *(name for name in alone if name not in explained)][:_CONSTANTS]:
        cells = [explained.get(name, NONE)] if explained else []
        words = " | ".join([*cells, alone.get(name, NONE)])
        rows.append(f"{one_line(name, MAX_TITLE)}: {words}")
    yield Section.quoted("constants", label, rows, 5, fence=given.fence)


def kinds(given: PromptInput) -> Iterator[Section]:
    """Yield the number of changes of each kind, and the kinds that were never tried."""
    tried, kept, failed = Counter[str](), Counter[str](), Counter[str]()
    for outcome in given.context.history:
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
    yield _plain(given, "kinds", "## By kind of change", rows, 6)


def conclusions(given: PromptInput) -> Iterator[Section]:
    """Yield this node's own conclusions, and the results of its changes on other rungs."""
    own = [one.text for one in given.context.insights if one.is_own][:_INSIGHTS]
    yield _words(given, "insights", "what this node concluded earlier", own)
    label = "results of this node's changes on larger and smaller tasks"
    yield _words(given, "scales", label, given.context.scales)


def _has_diff(given: PromptInput, outcome: Outcome) -> bool:
    """Return whether an outcome's diff may be shown and says more than its line in the table."""
    if not outcome.edits or not given.writer.may_quote(outcome):
        return False
    return any(fact.startswith(("adds ", "removes ")) for fact in given.writer.facts(outcome))


def _changed_alone(given: PromptInput) -> dict[str, str]:
    """Return each constant's results when changed alone, those with the widest range first."""
    tries: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for outcome in given.context.history:
        facts = given.writer.facts(outcome)
        is_alone = len(facts) == 1 and " → " in facts[0]
        if is_alone and outcome.gain_sd is not None and not facts[0].startswith(UNNAMED):
            name, _, step = facts[0].partition(" ")
            tries[name].append((outcome.gain_sd, step))
    spans = {
        name: (min(known), max(known))
        for name, known in tries.items()
        if len(known) >= _LEAST_TRIES
    }
    ordered = sorted(spans, key=lambda name: (spans[name][0][0] - spans[name][1][0], name))
    words = {}
    for name in ordered:
        (worst, to_worst), (best, to_best) = spans[name]
        words[name] = (
            f"{len(tries[name])} tries, from {gain_words(worst)} ({to_worst}) to "
            f"{gain_words(best)} ({to_best})"
        )
    return words


def _words(given: PromptInput, name: str, label: str, texts: Iterable[str]) -> Section:
    rows = [f"- {one_line(text, MAX_WHY)}" for text in texts]
    return Section.quoted(name, label, rows, 4, fence=given.fence)


def _plain(given: PromptInput, name: str, heading: str, rows: Sequence[str], rank: int) -> Section:
    return Section(name=name, rank=rank, rows=tuple(rows), fence=given.fence, heading=heading)


def _failed(history: Sequence[Outcome]) -> Iterator[Outcome]:
    """Yield the newest failures, one for each reason and last line of output."""
    seen: set[tuple[str, str]] = set()
    for outcome in reversed(history):
        failure = (outcome.reason, outcome.last_line)
        if outcome.decision in FAILED and failure not in seen:
            seen.add(failure)
            yield outcome
        if len(seen) == _FAILURES:
            return


def _diff_label(outcome: Outcome) -> str:
    number = f"experiment {outcome.number}" if outcome.number else "an experiment"
    gain = "" if outcome.gain_sd is None else f", {difference(outcome)} sd"
    return f"code of {number}, {DECISION_WORDS[outcome.decision]}{gain}"


def _diff(outcome: Outcome) -> list[str]:
    """Return the removed and added lines of a diff without context."""
    lines: list[str] = []
    for hunk in hunks_by(outcome.edits):
        lines += [f"-{line}" for line in hunk.removed]
        lines += [f"+{line}" for line in hunk.added]
    more = len(lines) - _MAX_DIFF_LINES
    return [
        *map(code_line, lines[:_MAX_DIFF_LINES]),
        *([f"… {more} more lines"] if more > 0 else []),
    ]
