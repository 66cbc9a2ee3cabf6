"""The contents of a report card: baseline, head, gain with its interval, counts and the plot.

Every figure is also in the report or on the leaderboard. Arnode wrote all text but the node's name.
"""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from node.line.promotion_trial import PromotionTrial
from node.reporting.concluded import TimeSpan
from node.reporting.points import Point
from node.reporting.report import LineReport
from node.store.boards import BoardKey
from node.store.jobs import LineKey
from node.store.store import Store
from node.terminal.vocabulary import head_words, interval_words, is_judged, many, scoring_mark
from protocol.board_facts import BoardClaim
from protocol.codecs import plain
from protocol.gains import Gain
from protocol.units import NANO, from_nano

_MINUTE: Final = "%Y-%m-%d %H:%M"


@dataclass(frozen=True, slots=True, kw_only=True)
class NightCard:
    """The card's text and points, from top to bottom.

    `first` is the baseline's metric and `last` the head's. Each is None if not measured.
    """

    node: str
    subject: str
    dates: str
    head: str
    unit: str
    first: float | None
    last: float | None
    gain: str
    tried: str
    trials: str
    measured: str
    points: tuple[Point, ...]


def card_of(
    store: Store, line: LineReport, span: TimeSpan, *, net: str, node: str, zone: tzinfo | None
) -> NightCard:
    """Return a line's card for a span of time. Times are in `zone`, or in local time if None."""
    key = LineKey(task=line.task_id, hardware_class=line.hardware_class)
    entries = store.experiments.listed(key)
    baselines = [entry.metric_nano for entry in entries if entry.stage == "baseline"]
    kept = sum(idea.is_kept for idea in line.ideas)
    trials = [one for one in line.confirmations if one.kind is PromotionTrial]
    passed = sum(one.stands for one in trials)
    return NightCard(
        node=plain(node),
        subject=f"{line.task}{scoring_mark(line.scoring)} on {line.hardware_class}",
        dates=_dates(span, zone),
        head=head_words(line.scoring),
        unit=plain(line.metric.unit),
        first=from_nano(baselines[0]) if baselines else None,
        last=line.after.metric if line.after else None,
        gain=_gain_words(store, line, net),
        tried=f"{many(len(line.ideas), 'experiment')} tried, {kept} kept",
        trials=_trials_words(passed, len(trials)),
        measured=_measured_words(line.scoring),
        points=line.points,
    )


def _trials_words(passed: int, trials: int) -> str:
    if not trials:
        return "no promotion trial"
    return f"{passed} of {many(trials, 'promotion trial')} passed"


def _dates(span: TimeSpan, zone: tzinfo | None) -> str:
    since, until = (
        datetime.fromtimestamp(ms / 1000, zone) for ms in (span.since_ms, span.until_ms)
    )
    if since.date() == until.date():
        return f"{since.strftime(_MINUTE)} to {until.strftime('%H:%M')}"
    return f"{since.strftime(_MINUTE)} to {until.strftime(_MINUTE)}"


def _gain_words(store: Store, line: LineReport, net: str) -> str:
    """Return the head's gain over the baseline, measured in pairs, with its interval."""
    if line.after is None:
        return "the baseline has not been measured yet"
    manifest = store.records.manifest(line.task_id)
    if manifest is not None and line.after.tree == manifest.baseline_tree:
        return "still the task's baseline"
    key = BoardKey(net=net, task=line.task_id, hardware_class=line.hardware_class)
    gains = [
        fact.anchor_gain
        for fact in store.boards.own_facts(key)
        if isinstance(fact, BoardClaim) and fact.tree == line.after.tree and fact.anchor_gain
    ]
    if not gains:
        return "the gain over the baseline was not measured in pairs"
    return _interval_words(gains[-1])


def _interval_words(gain: Gain) -> str:
    interval = interval_words(gain.lower_nano() / NANO, gain.upper_nano / NANO, spec="+.4f")
    pairs = many(gain.pairs, "pair")
    return f"gain {gain.value_nano / NANO:+.4f}, {interval} ({pairs} of new runs)"


def _measured_words(scoring: str) -> str:
    if is_judged(scoring):
        return "Measured on this node's own machine; other machines may differ."
    return "The task scores itself, so nothing is verified."
