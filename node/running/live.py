"""The live view: the current run, the staircase of results, the latest experiments, the head.

`draw` only depends on the node's state at that moment. Its picture fits the height of the terminal:
the verified figures and the current run are always visible.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from node.line.activity import Activity
from node.line.branch import branch_of, kept_in
from node.line.head_recheck import head_recheck_reason
from node.line.trial import ANCHOR_PAIRS, Confirmation
from node.reporting.staircase import Column, columns, legend, staircase
from node.reporting.status import head_metrics
from node.store.experiments import Experiment
from node.store.jobs import Line
from node.terminal.interrupts import STOPPING
from node.terminal.terminal import seen
from node.terminal.vocabulary import (
    gain_words,
    gap_to,
    gap_words,
    head_words,
    many,
    scoring_mark,
    sd_text,
    sd_words,
    word,
    wording,
)
from protocol.rule import DEFAULT
from protocol.styles import Style
from protocol.units import NANO, from_nano
from trainer.cards.cards import idle_cards

if TYPE_CHECKING:
    from node.running.node import Node

_HISTORY = 400  # experiments in the plot
_ROWS = (3, 10)  # of the table of experiments
_PLOT_HEIGHT = (5, 9)
_TABLE_SHARE = 10  # terminal rows for the table; the plot grows only if more are free
_FRAME = 4  # terminal rows of the border and its padding
_EVENTS = 2
_RUNNING = Text("Ctrl-C finishes this run and stops; nothing is lost", "dim")
_STOPPING = Text(STOPPING, "bold yellow")


def draw(node: "Node", asked: str = "", *, has_ended: bool = False) -> RenderableType:
    """Return the picture of a node now; `asked` replaces the text at its bottom.

    If the node has ended, its picture shows no current run.
    """
    session, line = node.session, node.line_resources.line_writer.line
    mark = scoring_mark(session.task.manifest.scoring)
    title = Text.assemble(
        ("arnode", "bold"),
        f" · {seen(session.task.name)}{mark} on {session.subject.hardware_class}",
    )
    now = Text("stopped", "cyan") if has_ended else _now(node.research.activity)
    return Panel(
        _opening(now) if line is None else _picture(node, line, now),
        title=title,
        subtitle=None if has_ended else _subtitle(node, asked),
        border_style="blue",
        box=box.ROUNDED,
        padding=(1, 2),
    )


def _subtitle(node: "Node", asked: str) -> Text:
    if asked:
        return Text(asked, "bold yellow")
    return _STOPPING if node.research.is_interrupted else _RUNNING


def _opening(now: RenderableType) -> RenderableType:
    """Return the picture shown while the baseline is first measured."""
    summary = "First the baseline is measured twice: everything is compared with it."
    return Group(Text(summary), Text(""), now)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """The picture; in a small terminal it lacks the plot and the table."""

    headline: RenderableType
    now: RenderableType
    evidence: RenderableType | None
    history: Sequence[Column]
    legend: Callable[[int], Text]
    entries: Sequence[Experiment]
    table: Callable[[Sequence[Experiment]], RenderableType]
    events: Sequence[Text]
    footer: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        fixed: list[RenderableType] = [self.headline, Text(""), self.now]
        if self.evidence is not None:
            fixed.append(self.evidence)
        below: list[RenderableType] = [Text(""), *self.events, self.footer]
        bare = console.render_lines(Group(*fixed, *below), options, pad=False)
        left = console.size.height - _FRAME - len(bare)
        yield Group(*fixed)
        if self.history and left > _PLOT_HEIGHT[0]:
            height = max(_PLOT_HEIGHT[0], min(_PLOT_HEIGHT[1], left - _TABLE_SHARE))
            yield Text("")
            yield staircase(self.history, width=options.max_width, height=height)
            left -= height + 1
            if height == _PLOT_HEIGHT[1]:
                under = self.legend(options.max_width)
                yield under
                left -= len(under.plain.split("\n"))
        if self.entries and left >= _ROWS[0] + 2:
            yield Text("")
            yield self.table(self.entries[-min(_ROWS[1], left - 2) :])
        yield Group(*below)


def _rows(entries: Sequence[Experiment], *, unit: str, noise_sd: float) -> RenderableType:
    """Return the table of experiments, the newest at the bottom."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", expand=True)
    table.add_column(unit, justify="right", no_wrap=True)
    table.add_column("gain", justify="right", no_wrap=True)
    table.add_column("decision", no_wrap=True)
    table.add_column("experiment", ratio=1, no_wrap=True, overflow="ellipsis")
    for entry in entries:
        gain = None if entry.gain_nano is None else entry.gain_nano / NANO / noise_sd
        outcome = wording(entry.decision)
        table.add_row(
            _number(from_nano(entry.metric_nano)),
            "" if gain is None else sd_words(gain),
            outcome.word,
            seen(entry.title),
            style=outcome.style,
        )
    return table


def _picture(node: "Node", line: Line, now: RenderableType) -> _Picture:
    store, activity = node.line_resources.store, node.research.activity
    entries = store.experiments.listed(line.key, newest_first=True, limit=_HISTORY)[::-1]
    metric = node.session.task.manifest.metric
    return _Picture(
        headline=_headline(node, line, entries),
        now=now,
        evidence=_evidence(activity.confirmation) if activity.confirmation else None,
        history=columns(entries, _start(node, line, entries)),
        legend=partial(legend, head_words(node.session.task.manifest.scoring)),
        entries=entries,
        table=partial(_rows, unit=metric.name, noise_sd=node.research.screening_sd),
        events=_events(activity, idle_cards(node.session.task.manifest)),
        footer=_footer(activity, len(node.session.runners)),
    )


def _headline(node: "Node", line: Line, entries: Sequence[Experiment]) -> RenderableType:
    task, store = node.session.task, node.line_resources.store
    unit, sign = task.manifest.metric.unit, task.manifest.metric.sign
    first = store.experiments.listed(line.key, limit=1)
    baseline = from_nano(first[0].metric_nano) if first else None
    head = _head_metric(node, line, entries)
    working = _mean([nano / NANO for nano in line.reference_nano])
    noise_sd = node.research.noise_sd
    table = Table.grid(padding=(0, 2), expand=True)
    for width in (len("verified head"), 6, 8):
        table.add_column(no_wrap=True, min_width=width)
    table.add_column(style="bright_black", ratio=1)
    style = Style.of(task.manifest)
    noise = "exact" if style.name == "exact" else f"{sd_text(noise_sd, digits=4)} of one run"
    table.add_row("baseline", _number(baseline), "", f"{unit}, {noise}")
    table.add_row(
        Text(head_words(task.manifest.scoring), "bold green"),
        Text(_number(head), "bold green"),
        Text(_gain(baseline, head, sign, noise_sd, style), "bold green"),
        _standing(node, line, entries),
    )
    branch = branch_of(store, line)
    keeps = many(kept_in(store, line.stack), "patch", "patches")
    patches = f"{keeps} {seen(branch.step.title) if branch else 'on top'}, not verified yet"
    table.add_row(
        Text("working line", "cyan"),
        Text(_number(working) if line.stack else _number(head), "cyan"),
        Text(_gain(baseline, working, sign, noise_sd, style) if line.stack else "", "cyan"),
        patches if line.stack else "the same",
    )
    program = task.manifest.program
    if program is not None and program.best_known is not None:
        known = program.best_known / NANO
        gap = "" if head is None else gap_words(gap_to(known, head, sign=sign))
        table.add_row("best known", _number(known), "", gap)
    if floor_nano := node.session.data.floor_nano:
        table.add_row("entropy", _number(floor_nano / NANO), "", "of the text's generator")
    return table


def _standing(node: "Node", line: Line, entries: Sequence[Experiment]) -> str:
    """Return why the head is trusted; search the store only if `entries` do not show it."""
    if line.verified == node.session.task.source.tree:
        return "still the baseline"
    is_confirmed = any(
        entry.tree == line.verified and entry.decision == "adopted" for entry in entries
    ) or node.line_resources.store.experiments.evidence_for(line.key, line.verified)
    summary = "confirmed in paired runs" if is_confirmed else "moved by hand, not confirmed"
    return (
        f"{summary}, {word('recheck_pending')}"
        if head_recheck_reason(node.line_resources.store, line)
        else summary
    )


def _start(node: "Node", line: Line, entries: Sequence[Experiment]) -> float | None:
    """Return the score of the head before these entries.

    The first adoption among them states it. Without an adoption it is the current head's score.
    """
    sign = node.session.task.manifest.metric.sign
    for entry in entries:
        if entry.decision == "adopted" and entry.metric_nano is not None:
            return (entry.metric_nano + sign * (entry.gain_nano or 0)) / NANO
    return _head_metric(node, line, entries)


def _head_metric(node: "Node", line: Line, entries: Sequence[Experiment]) -> float | None:
    """Return the head's score; search the store only if `entries` do not have it."""
    for entry in reversed(entries):
        if entry.tree == line.verified and entry.decision in ("adopted", "baseline"):
            return from_nano(entry.metric_nano)
    return _mean(head_metrics(node.line_resources.store, line, line.verified))


@dataclass(frozen=True, slots=True)
class _OneLine:
    """The current run in one row; in a narrow terminal its title is shortened."""

    before: Text
    title: Text
    after: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        left = options.max_width - self.after.cell_len
        before = _cut(self.before, left)
        title = _cut(self.title, left - before.cell_len)
        yield Text.assemble(before, title, self.after, no_wrap=True, overflow="crop")


def _cut(text: Text, width: int) -> Text:
    if width < 1:
        return Text("")
    cut = text.copy()
    cut.truncate(width, overflow="ellipsis")
    return cut


def _now(activity: Activity) -> RenderableType:
    summary = f"  {activity.stage_seconds:.0f} s"
    if points := activity.points:
        summary += f", loss {points[-1].loss:.4f} at step {points[-1].step:,}"
    if activity.also_running:
        summary += f", {activity.also_running} more"
    if waits_s := activity.waits_s():
        summary += f", {len(waits_s)} waiting for a quiet minute, {_clock(max(waits_s))} at most"
    return _OneLine(
        Text.assemble(("▶ ", "bold cyan"), (f"{activity.stage_text}  ", "cyan")),
        Text(seen(activity.title)),
        Text(summary, "bright_black"),
    )


def _evidence(confirmation: Confirmation) -> RenderableType:
    """Return the progress of the promotion trial: working line against verified head, in pairs."""
    latest, pairs = confirmation.latest, len(confirmation.pairs)
    summary = many(pairs, "pair")
    if latest:
        summary += f": {gain_words(latest, spec='+.4f')}"
    fewest, most = max(0, ANCHOR_PAIRS - pairs), max(0, DEFAULT.max_pairs - pairs)
    return Padding(Text(f"{summary}; {fewest} to {most} more", "cyan"), (0, 0, 0, 2))


def _events(activity: Activity, idle_cards: str) -> list[Text]:
    """Return the latest messages, except decisions, and a message about idle cards, if any."""
    # The record's id is in the table.
    messages = [line.partition("  [")[0] for line in activity.messages]
    shown = messages[-_EVENTS:]
    if idle_cards:
        shown.append(idle_cards)
    return [Text(seen(line), "bright_black") for line in shown]


def _footer(activity: Activity, lanes: int) -> RenderableType:
    where = f" on {lanes} lanes" if lanes > 1 else ""
    return Text(
        f"{many(activity.runs, 'run')} in {_span(activity.elapsed_s)}{where}, "
        f"{activity.runs_per_hour:.0f} an hour, training {activity.counted_share:.0%} of the time",
        "bright_black",
    )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _gain(
    baseline: float | None, value: float | None, sign: int, noise_sd: float, style: Style
) -> str:
    if baseline is None or value is None or baseline == value:
        return ""
    gain = sign * (baseline - value)
    return f"{gain:+.4f}" if style.name == "exact" else sd_words(gain / noise_sd)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def _span(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
