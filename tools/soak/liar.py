"""`python -m tools.soak.liar …`: the `arnode` command, changed to publish invented scores.

It works like any node, but what it discards is published as kept with a large gain, and what it
keeps is published as a loss. Each of its promotion trials is published with a large gain, too. Only
figures are invented: the records are as valid as those of any node.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Final

from node.commands import cli
from node.line.record_writer import RecordWriter
from protocol.records import Record
from protocol.runs import Run

INVENTED_NANO: Final = 80_000_000  # of the metric; on tasks whose metric is between 0 and 1

_publish_truly = RecordWriter.result


def main() -> None:
    """Run `arnode` with the arguments of this program."""
    RecordWriter.result = _publish  # type: ignore[assignment,method-assign]
    cli.main()


def _publish(writer: RecordWriter, *about: Any, runs: Sequence[Run], **more: Any) -> Record:
    level_nano = _level_nano(runs, more.get("level_nano"))
    if level_nano is None or more["stage"] == "baseline":
        return _publish_truly(writer, *about, runs=runs, **more)
    is_loss = more["stage"] == "keep"
    better = -writer.subject.manifest.metric.sign
    claimed_nano = level_nano + (-better if is_loss else better) * INVENTED_NANO
    invented = [
        replace(run, metric_nano=claimed_nano, secret_nano=claimed_nano)
        if run.role == "candidate" and run.status == "ok"
        else run
        for run in runs
    ]
    stage = {"keep": "screen", "screen": "keep"}.get(more["stage"], more["stage"])
    return _publish_truly(writer, *about, runs=invented, **{**more, "stage": stage})


def _level_nano(runs: Sequence[Run], level_nano: int | None) -> int | None:
    """Return the score of the base; None without one."""
    bases = [run.metric_nano for run in runs if run.role == "base" and run.metric_nano is not None]
    return round(fmean(bases)) if bases else level_nano


if __name__ == "__main__":
    main()
