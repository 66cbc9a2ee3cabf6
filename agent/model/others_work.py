"""Sections on peers' findings, current experiments and reports, all in quotes.

They show facts about peers' patches. Text by peers is included only if this node verified the
result, or if the user asked for it.
"""

import math
from collections.abc import Iterator
from typing import Final

from agent.model.facts import constant_in_title, facts
from agent.model.outcomes import gain_words
from agent.model.quoting import MAX_TITLE, MAX_WHY, diff_lines, one_line
from agent.model.sections import PromptInput, Section
from agent.proposal import PeerPatch, PeerReport
from agent.source.hunks import hunks_of
from protocol.hardware import family_of

_PEERS: Final = 32
_WORDS: Final = 12  # peers' patches shown in full
_INSIGHTS: Final = 8
_INTENTS: Final = 16
_REPORTS: Final = 4
_MOST_HOURS: Final = 10_000.0
_MOST_COUNTED: Final = 1_000_000  # in one session

# The figures of a report that are shown. Other keys are its author's text.
_COUNTS: Final = {
    "experiments": "experiments",
    "kept": "kept",
    "failed": "failed",
    "trials": "promotion trials",
    "passed": "of them confirmed",
}
_LEVELS: Final = {
    "here": "measured here",
    "others": "re-run by peers",
    "claimed": "claimed by its author only",
}


def peer_row(patch: PeerPatch, known: frozenset[str]) -> str:
    """Return one line on a peer's patch and its gain, without any text of its author."""
    where = "this class" if patch.is_near else f"other hardware, {family_of(patch.hardware_class)}"
    change = "; ".join(facts(hunks_of(patch.edits, patch.diff), known)) or "a change"
    return f"{gain_words(patch.gain_sd)}, {_LEVELS[patch.level]}, on {where}: {change}"


def report_row(report: PeerReport) -> str:
    """Return one line on a peer's session, in figures and this node's own words only."""
    where = (
        "this class" if report.is_near else f"other hardware, {family_of(report.hardware_class)}"
    )
    is_plausible = math.isfinite(report.hours) and 0 <= report.hours <= _MOST_HOURS
    parts = [f"{report.hours:.1f} h on {where}" if is_plausible else f"on {where}"]
    known = dict(report.figures)
    parts += [
        f"{known[name]} {words}"
        for name, words in _COUNTS.items()
        if 0 <= known.get(name, -1) <= _MOST_COUNTED
    ]
    if report.gain_sd:
        parts.append(f"verified gain {gain_words(report.gain_sd)}")
    return ", ".join(parts)


def patches(given: PromptInput) -> Iterator[Section]:
    """Yield facts about peers' patches, and the most promising ones as their authors wrote them."""
    ranked = sorted(given.context.peers, key=_promise)[:_PEERS]
    known, fence = given.writer.known, given.fence
    rows = [f"P{at}: {peer_row(patch, known)}" for at, patch in enumerate(ranked, 1)]
    label = "peers' patches; figures and changes as parsed here"
    yield Section.quoted("peers", label, rows, 3, fence=fence, heading="## What peers found")
    may_show = [
        (at, patch)
        for at, patch in enumerate(ranked, 1)
        if patch.level == "here" or given.writer.shows_unverified
    ]
    for place, (at, patch) in enumerate(may_show[:_WORDS]):
        yield _patch_words(given, at, patch, 100 + place)


def intents(given: PromptInput) -> Iterator[Section]:
    """Yield what peers are trying now: facts, and titles only if their text may be shown."""
    titles = given.context.intents[:_INTENTS]
    if given.writer.shows_unverified:
        rows = [one_line(title, MAX_TITLE) for title in titles]
    else:
        found = [constant_in_title(title, given.writer.known) for title in titles]
        rows = [fact for fact in found if fact]
        if others := len(found) - len(rows):
            rows.append(f"{others} more that their authors do not describe")
    yield Section.quoted("intents", "what peers are trying now", rows, 7, fence=given.fence)


def reports(given: PromptInput) -> Iterator[Section]:
    """Yield figures of peers' sessions, and titles only if their text may be shown."""
    rows: list[str] = []
    for number, report in enumerate(given.context.reports[:_REPORTS], 1):
        rows.append(f"R{number}: {report_row(report)}")
        if given.writer.shows_unverified:
            rows.append(f"R{number} title: {one_line(report.title, MAX_TITLE)}")
    label = "sessions of peers, with their figures; this node did not check them"
    yield Section.quoted("peers' reports", label, rows, 90, fence=given.fence)


def insights(given: PromptInput) -> Iterator[Section]:
    """Yield the lessons that peers report, if their text may be shown."""
    if given.writer.shows_unverified:
        theirs = [one.text for one in given.context.insights if not one.is_own]
        rows = [f"- {one_line(text, MAX_WHY)}" for text in theirs[:_INSIGHTS]]
        label = "what peers say they learned; this node did not check it"
        yield Section.quoted("peers' insights", label, rows, 90, fence=given.fence)


def _patch_words(given: PromptInput, number: int, patch: PeerPatch, rank: int) -> Section:
    lines = [
        f"title: {one_line(patch.title, MAX_TITLE)}",
        f"why: {one_line(patch.why, MAX_WHY)}",
        *diff_lines(patch.diff),
    ]
    label = f"P{number} as its author wrote it, {_LEVELS[patch.level]}"
    return Section.quoted(f"P{number}", label, lines, rank, fence=given.fence, may_end_early=False)


def _promise(patch: PeerPatch) -> tuple[int, bool, float]:
    """Return a sort key: first how well the gain is verified, then hardware, then the gain."""
    gain_sd = patch.gain_sd if math.isfinite(patch.gain_sd) else 0.0
    return ("here", "others", "claimed").index(patch.level), not patch.is_near, -gain_sd
