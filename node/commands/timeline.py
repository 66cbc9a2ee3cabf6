"""Where the seconds of a record's runs went: what `show` says of them."""

from typing import Any

import click

from node.commands.basics import own_console, plain_table
from node.store.jobs import StoredOutcome
from node.store.store import Store
from protocol.attestation import AttestBody
from protocol.record_kinds import ResultBody
from protocol.records import Record
from trainer.measuring.timeline import AHEAD

_BAR_WIDTH = 40


def timeline_json(store: Store, record: Record) -> list[dict[str, object]]:
    """Return the stages of the runs that this node measured for a record, by run.

    `at_ms` counts from when the source was first handed over: what is below 0 was done ahead.
    """
    body = record.body
    if not isinstance(body, ResultBody | AttestBody) or not store.records.is_own(record.id):
        return []
    return [_run_json(outcome) for outcome in store.jobs.outcomes_of(body.runs) if outcome.stages]


def _run_json(outcome: StoredOutcome) -> dict[str, object]:
    began_ms = min(
        (one.start_ms for one in outcome.stages if one.name not in AHEAD),
        default=outcome.stages[0].start_ms,
    )
    return {
        "seed": outcome.run.seed,
        "role": outcome.run.role,
        "status": outcome.run.status,
        "began_ms": began_ms,
        "stages": [
            {
                "sandbox": one.part,
                "stage": one.name,
                "at_ms": one.start_ms - began_ms,
                "ms": one.end_ms - one.start_ms,
            }
            for one in outcome.stages
        ],
    }


def print_timelines(runs: list[dict[str, Any]]) -> None:
    """Print each run's stages as a table with bars."""
    for run in runs:
        stages: list[dict[str, Any]] = run["stages"]
        whole_ms = max(one["at_ms"] + one["ms"] for one in stages)
        click.echo()
        click.echo(f"run with seed {run['seed']} ({run['role']}, {run['status']}):")
        table = plain_table()
        for title in ("sandbox", "stage"):
            table.add_column(title, no_wrap=True)
        for title in ("at", "took"):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        for one in stages:
            table.add_row(
                one["sandbox"],
                one["stage"],
                f"{one['at_ms'] / 1000:.2f} s",
                f"{one['ms'] / 1000:.2f} s",
                _bar(one["at_ms"], one["ms"], whole_ms),
            )
        own_console().print(table)


def _bar(at_ms: int, ms: int, whole_ms: int) -> str:
    """Draw from when to when a stage went on; what was over before the run began is ahead of it."""
    if at_ms + ms <= 0:
        return "ahead"
    start, end = (round(_BAR_WIDTH * max(0, at) / whole_ms) for at in (at_ms, at_ms + ms))
    return " " * min(start, _BAR_WIDTH - 1) + "█" * max(1, end - start)
