"""The live view: what runs now, the staircase of results, the latest experiments, the head.

`draw` is a pure picture of a node at one moment; nothing here decides or remembers.
"""

import time
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from node.activity import Activity, Dot
from node.status import head_metrics
from node.terminal import plain
from node.trial import NANO
from protocol.rule import DEFAULT

if TYPE_CHECKING:
    from node.core import Node

_ROWS = 12
_BLOCKS = "▁▂▃▄▅▆▇█"
_STYLES = {
    "kept": "green",
    "screened_out": "dim",
    "rechecked_out": "dim",
    "failed": "yellow",
    "rejected": "red",
    "rebased": "dim",
}
_WORDS = {"screened_out": "no gain", "rechecked_out": "no gain again", "rebased": "base moved"}


def draw(node: "Node") -> RenderableType:
    """Return the picture of this moment."""
    activity = node.research.activity
    parts: list[RenderableType] = [_headline(node), _now(activity)]
    if activity.dots:
        parts.append(_staircase(activity))
        parts.append(_experiments(activity))
    if activity.confirmation:
        parts.append(_evidence(activity))
    parts += [Text(plain(line), style="dim", overflow="ellipsis", no_wrap=True)
              for line in list(activity.messages)[-3:]]  # fmt: skip
    return Panel(
        Group(*parts),
        title=f"arnode · {node.session.task.name} · {node.session.subject.hardware_class}",
        subtitle="Ctrl-C finishes the run at hand and stops",
        border_style="blue",
    )


def _headline(node: "Node") -> RenderableType:
    line, activity = node.books.ledger.line, node.research.activity
    table = Table.grid(padding=(0, 3))
    table.add_column()
    table.add_column()
    if line is None:
        return Text("measuring the task's baseline")
    metric = node.session.task.manifest.metric
    baseline = _mean(head_metrics(node.books.store, line, node.session.task.source.tree))
    head = _mean(head_metrics(node.books.store, line, line.verified))
    bank = _mean([nano / NANO for nano in line.bank_nano])
    table.add_row("baseline", f"{_number(baseline)} {metric.unit}")
    better = _gain(baseline, head, node.research.noise_sd)
    table.add_row("verified head", Text(f"{_number(head)}  {better}", style="bold green"))
    table.add_row("working line", f"{_number(bank)}  {len(line.stack)} patches kept, unverified")
    if node.session.data.floor_nano:
        table.add_row("entropy", f"{node.session.data.floor_nano / NANO:.4f} of the generator")
    pace = f"{activity.runs_per_hour:.0f} runs/h, {activity.counted_share:.0%} of the time counted"
    table.add_row("pace", f"{activity.runs} runs in {_span(activity.elapsed_s)}, {pace}")
    return table


def _now(activity: Activity) -> RenderableType:
    seconds = time.monotonic() - activity.stage_started_s
    text = Text("▶ ", style="bold cyan")
    text.append(f"{activity.stage}  ", style="cyan")
    text.append(plain(activity.title))
    text.append(f"  {seconds:.0f} s", style="dim")
    return text


def _staircase(activity: Activity) -> RenderableType:
    """Every experiment with a metric as a block; low is good, kept ones in green."""
    shown: list[tuple[Dot, float]] = [
        (dot, dot.metric) for dot in activity.dots if dot.metric is not None
    ][-90:]
    if not shown:
        return Text("")
    metrics = sorted(metric for _, metric in shown)
    low, high = metrics[0], metrics[int(0.9 * (len(metrics) - 1))]
    text = Text()
    for dot, metric in shown:
        level = (metric - low) / (high - low) if high > low else 0.5
        block = _BLOCKS[min(7, max(0, int(level * 7.99)))]
        text.append(block, style=_STYLES.get(dot.decision, ""))
    return text


def _experiments(activity: Activity) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    table.add_column("result", justify="right")
    table.add_column("gain (sd)", justify="right")
    table.add_column("decision")
    table.add_column("experiment", ratio=1, no_wrap=True, overflow="ellipsis")
    for dot in list(activity.dots)[-_ROWS:]:
        table.add_row(
            _number(dot.metric),
            "" if dot.gain_sd is None else f"{dot.gain_sd:+.1f}",
            _WORDS.get(dot.decision, dot.decision),
            plain(dot.title),
            style=_STYLES.get(dot.decision, ""),
        )
    return table


def _evidence(activity: Activity) -> RenderableType:
    confirmation = activity.confirmation
    latest = confirmation.latest if confirmation else None
    table = Table.grid(padding=(0, 2))
    pairs = len(confirmation.pairs) if confirmation else 0
    share = DEFAULT.evidence_share(latest.log_e) if latest else 0.0
    bar = ProgressBar(total=1.0, completed=share, width=30)
    gain = f"gain {latest.gain:.4f} [{latest.lower:.4f}, {latest.upper:.4f}]" if latest else ""
    table.add_row("checkpoint", bar, f"{share:.0%} of the evidence after {pairs} pairs", gain)
    return table


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _gain(baseline: float | None, head: float | None, noise_sd: float) -> str:
    if baseline is None or head is None or baseline == head:
        return ""
    return f"{(baseline - head) / noise_sd:+.1f} sd better than the baseline"


def _span(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
