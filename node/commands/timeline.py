"""Where the seconds of a record's runs went: what `show` says of them."""

import click

from node.commands.basics import own_console
from node.reporting.blocks import figures_column, table, words_column
from node.reporting.terminal import print_blocks
from node.reporting.timeline import TimelineDocument
from node.terminal.terminal import plain

_BAR_WIDTH = 40
_COLUMNS = (
    *map(words_column, ("sandbox", "stage")),
    *map(figures_column, ("at", "took")),
    words_column(""),
)


def print_timelines(runs: list[TimelineDocument]) -> None:
    """Print each run's stages as a table with bars."""
    for run in runs:
        stages = run["stages"]
        whole_ms = max(one["at_ms"] + one["ms"] for one in stages)
        click.echo()
        where = f" on {plain(run['machine'])}" if run["machine"] else ""
        click.echo(f"run with seed {run['seed']} ({run['role']}, {run['status']}){where}:")
        if curve := run["curve"]:
            (first, before), (last, after) = curve[0], curve[-1]
            told = f"{before:.4f} at step {first:,}, {after:.4f} at step {last:,}"
            click.echo(f"its loss, as it says: {told}")
        rows = [
            (
                one["sandbox"],
                one["stage"],
                f"{one['at_ms'] / 1000:.2f} s",
                f"{one['ms'] / 1000:.2f} s",
                _bar(one["at_ms"], one["ms"], whole_ms),
            )
            for one in stages
        ]
        print_blocks(own_console(), table(_COLUMNS, rows))


def _bar(at_ms: int, ms: int, whole_ms: int) -> str:
    """Draw from when to when a stage went on; what was over before the run began is ahead of it."""
    if at_ms + ms <= 0:
        return "ahead"
    start, end = (round(_BAR_WIDTH * max(0, at) / whole_ms) for at in (at_ms, at_ms + ms))
    return " " * min(start, _BAR_WIDTH - 1) + "█" * max(1, end - start)
