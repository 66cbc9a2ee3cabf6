"""`log`, `show` and `diff`: show this node's experiments and records, from its store alone."""

import os
from collections.abc import Sequence
from datetime import datetime

import click

from agent.source.capabilities import CapabilityFinding
from node.commands.basics import (
    MOST_SHOWN,
    Count,
    json_option,
    reading,
    refuse_other_options,
    short,
)
from node.commands.imported import print_imported
from node.commands.record_text import fields_for_people, print_fields
from node.commands.traces import print_trace
from node.exchange.bundle import Subject
from node.home.next_start import unless_running
from node.reporting.blocks import Span, Styled, figures_column, name_of, quoted, table, words_column
from node.reporting.experiment import OneExperimentDocument, one_experiment_document
from node.reporting.experiments import experiments_document
from node.reporting.imported import imported_document
from node.reporting.records import MarkDocument, diff_of, record_document
from node.reporting.terminal import print_blocks
from node.reporting.timeline import TimelineDocument
from node.source_review.adoption import describe
from node.store.experiment_filter import Filter
from node.store.experiments import Experiment
from node.store.jobs import LineKey
from node.store.named_tasks import labels, task_named
from node.store.records import begins, only_one
from node.store.store import Store
from node.terminal.durations import ms_before
from node.terminal.terminal import console, print_json, say, wants_color
from node.terminal.vocabulary import wording
from protocol.codecs import plain, printed_lines
from protocol.manifest import MetricSpec
from protocol.record_kinds import ResultBody, TaskBody
from protocol.records import Record
from protocol.remarks import ReportBody
from protocol.units import from_nano

_SHOWN = 30
_APART = ("body", "timeline", "text")  # parts of a record printed below its other fields
_BAR_WIDTH = 24
_STAGE_COLUMNS = (
    *map(words_column, ("sandbox", "stage")),
    *map(figures_column, ("at", "took")),
    words_column(""),
)


@click.command()
@click.option(
    "-n", "--limit", type=Count(1, MOST_SHOWN), help=f"How many, newest first [{_SHOWN}]."
)
@click.option("--task", help="Show only this task, and no imported results.")
@click.option("--kept", is_flag=True, help="Show only experiments whose patch was kept.")
@click.option(
    "--since", metavar="TIME", help="Show only newer experiments: 1h or 3d ago, 22:00, 2026-03-01."
)
@click.option(
    "--importance",
    is_flag=True,
    help="Show instead which hyperparameters matter, and which kinds of change were kept.",
)
@json_option("Print JSON; without --limit it has all experiments.")
def log(
    limit: int | None,
    task: str | None,
    kept: bool,
    since: str | None,
    importance: bool,
    as_json: bool,
) -> None:
    """List this node's experiments, newest first, and imported files."""
    if importance:
        refuse_other_options("--importance", "importance", "task", "as_json")
        from node.commands.insights import show_importance

        show_importance(task, as_json=as_json)
        return
    with reading() as (store, _):
        lines = store.experiments.lines()
        named_task = None if task is None else task_named(store, task, (one.task for one in lines))
        wanted = limit if as_json or limit else _SHOWN
        total, experiments = store.experiments.page(
            Filter(
                task=named_task,
                decision="kept" if kept else None,
                since_ms=None if since is None else ms_before(since, datetime.now().astimezone()),
            ),
            limit=wanted or -1,
        )
        is_filtered = kept or since is not None or named_task is not None
        imported = [] if is_filtered else store.imported.listed()
        if as_json:
            print_json(experiments_document(store, experiments, imported, total=total))
            return
        if experiments:
            _print_table(
                store, experiments, [one for one in lines if named_task in (None, one.task)]
            )
            _print_failure(store, experiments[0])
        elif lines and is_filtered:
            say("no experiment matches; plain `arnode log` lists all", err=True)
        elif not imported:
            next_step = unless_running("`arnode start` makes the first")
            say(f"no experiments yet: {next_step}", err=True)
        for one in imported:
            print_imported(one, wanted)


@click.command()
@click.argument("id", metavar="ID")
@click.option(
    "--raw", is_flag=True, help="Print the whole record, and how long each stage of its runs took."
)
@click.option(
    "--trace", is_flag=True, help="Print what the model or agent that proposed it said and did."
)
@json_option()
def show(id: str, raw: bool, trace: bool, as_json: bool) -> None:  # noqa: A002 (the argument's name)
    """Show one experiment, another record, or an imported file.

    ID: the first digits of its id, at least four and enough to be unique. The id of a source shows
    the latest result of that source here.
    """
    if trace:
        refuse_other_options("--trace", "id", "trace", "as_json")
        print_trace(id, as_json=as_json)
        return
    with reading() as (store, blobs):
        imported = {one.id: one for one in store.imported.listed() if begins(one.id, id)}
        matching = imported.keys() | store.records.matching(id).keys() if imported else ()
        meant = only_one(id, matching)
        if meant in imported:
            if as_json:
                print_json({"imported": imported_document(imported[meant])})
            else:
                print_imported(imported[meant])
            return
        record = store.records.find(id)
        metric = _metric(store, record)
        is_experiment = not (raw or as_json) and store.experiments.find(record.id) is not None
        details = one_experiment_document(store, blobs, id) if is_experiment else None
        document = details["record"] if details else record_document(store, blobs, record)
    if as_json:
        print_json(document)
        return
    if details is not None and metric is not None:
        _print_experiment(details, metric, _marks_shown(record, document["marks"]))
        return
    shown: dict[str, object] = {
        name: value for name, value in document.items() if name not in _APART
    }
    shown["marks"] = _marks_shown(record, document["marks"])
    shown["time"] = _time(record.ts_ms, "%Y-%m-%d %H:%M:%S")
    print_fields(shown)
    say()
    print_fields({"body": fields_for_people(record.body, metric)})
    print_timelines(document["timeline"])
    if isinstance(record.body, ReportBody):
        missing = f"its text is not here: `arnode report --fetch {short(record.id)}` fetches it"
        if document["text"]:
            click.echo(f"\n{document['text']}")
        else:
            say(f"\n{missing}")


def _print_experiment(
    details: OneExperimentDocument, metric: MetricSpec, marks: str | list[str] | None
) -> None:
    """Print an experiment's decision and reason, its runs and its diff."""
    entry, unit = details["experiment"], plain(metric.unit)
    decision, after, gain = wording(entry["decision"]).word, entry["metric"], entry["gain"]
    say(f"{plain(entry['title'])}\n")
    if after is None:
        say(decision)
    elif gain is None:
        say(f"{decision}  {after:.6f} {unit}")
    else:
        before = after + metric.sign * gain
        say(f"{decision}  {before:.6f} → {after:.6f} {unit}, gain {gain:+.6f}")
    why = [details["words"], plain(details["note"])]
    say(f"why: {'; '.join(filter(None, why))}", hang=5)
    for run in details["runs"]:
        figure = "" if run["metric"] is None else f"  {run['metric']:.6f}"
        failed = f"  {plain(run['reason'])}" if run["reason"] else ""
        flags = f"  {', '.join(run['flags'])}" if run["flags"] else ""
        say(f"run: {run['role']:<9} seed {run['seed']}  {run['status']}{figure}{failed}{flags}")
    if any(run["reason"] for run in details["runs"]):
        for line in printed_lines(details["log_tail"] or ""):
            click.echo(line)
    if note := details["owner_note"]:
        leave = "leave this change alone" if note["leave"] else ""
        words = ": ".join(filter(None, [leave, plain(" ".join(note["text"].split()))]))
        say(f"your note: {words}")
    say(f"when: {_time(entry['ts'], '%Y-%m-%d %H:%M:%S')}")
    tags = {"tags": ", ".join(entry["tags"])} if entry["tags"] else {}
    print_fields({"id": entry["id"], **tags, "marks": marks})
    if details["diff"]:
        say()
        _print_diff(details["diff"].rstrip())
    say(f"\nthe whole record: arnode show {entry['id'][:12]} --raw")
    if details["trace"] is not None:
        say(f"how it was proposed: arnode show {entry['id'][:12]} --trace")


@click.command()
@click.argument("id", metavar="ID")
@json_option()
def diff(id: str, as_json: bool) -> None:  # noqa: A002 (the flag's name on the command line)
    """Print the diff of a patch, or of the experiment or adoption that used it."""
    with reading() as (store, blobs):
        record = store.records.find(id)
        text = diff_of(store, blobs, record)
    if as_json:
        print_json({"id": record.id.hex(), "diff": text})
        return
    _print_diff(text)


def _print_diff(text: str) -> None:
    coloured = wants_color(os.environ)
    colors = {"+": "green", "-": "red", "@": "cyan"}
    for line in text.splitlines():
        shown = plain(line, lines=True)
        styled = click.style(shown, fg=colors.get(line[:1])) if coloured else shown
        click.echo(styled, color=coloured)


def _print_failure(store: Store, latest: Experiment) -> None:
    """Print why the latest experiment failed, if it did, with the end of its log."""
    body = store.records.find(latest.id.hex()).body
    runs = body.runs if isinstance(body, ResultBody) else ()
    reasons = [run.reason for run in runs if run.reason]
    outcomes = store.jobs.outcomes_of(runs)
    if reasons and outcomes:
        say(f"\n{short(latest.id)} failed: {plain(reasons[-1])}")
        for line in printed_lines(outcomes[-1].log_tail):
            click.echo(line)


def _print_table(store: Store, experiments: list[Experiment], lines: Sequence[LineKey]) -> None:
    """Print experiments of these lines. Task and class have columns only if they differ."""
    tasks = labels(store, (line.task for line in lines))
    has_classes = len({line.hardware_class for line in lines}) > 1
    manifests = [store.records.manifest(task) for task in tasks]
    metrics = {manifest.metric.name for manifest in manifests if manifest}
    columns = (
        *map(words_column, ("id", "time")),
        *([words_column("task")] if len(tasks) > 1 else []),
        *([words_column("class")] if has_classes else []),
        words_column("decision"),
        figures_column(name_of(metrics.pop()) if len(metrics) == 1 else "metric"),
        figures_column("gain"),
        words_column("title", wraps=True),
    )
    rows: list[tuple[Span, ...]] = []
    year = datetime.now().astimezone().strftime("%Y")
    is_this_year = all(_time(experiment.ts_ms, "%Y") == year for experiment in experiments)
    for experiment in experiments:
        outcome = wording(experiment.decision)
        metric, gain = from_nano(experiment.metric_nano), from_nano(experiment.gain_nano)
        rows.append(
            (
                short(experiment.id),
                _time(experiment.ts_ms, "%m-%d %H:%M" if is_this_year else "%Y-%m-%d %H:%M"),
                *([quoted(tasks[experiment.task])] if len(tasks) > 1 else []),
                *([experiment.hardware_class] if has_classes else []),
                Styled(text=outcome.word, style=outcome.style),
                "" if metric is None else f"{metric:.6f}",
                "" if gain is None else f"{gain:+.6f}",
                quoted(experiment.title),
            )
        )
    print_blocks(console(), table(columns, rows))


def _metric(store: Store, record: Record) -> MetricSpec | None:
    """Return the metric of a record's figures, or None if its task is unknown here."""
    if isinstance(record.body, TaskBody):
        return record.body.manifest.metric
    task = getattr(record.body, "task", None)
    manifest = store.records.manifest(task) if isinstance(task, bytes) else None
    return manifest.metric if manifest else None


def _marks_shown(record: Record, marks: list[MarkDocument] | None) -> str | list[str] | None:
    """Describe what a record's source does beyond plain computation (its capability marks).

    Return None if the record has no source, "none" if the source has no marks, and another text
    if the source is missing here.
    """
    if not isinstance(record.body, Subject):
        return None
    if marks is None:
        return "not read: its source is not here"
    return [describe(CapabilityFinding(**mark)) for mark in marks] or "none"


def _time(ts_ms: int, form: str) -> str:
    return datetime.fromtimestamp(ts_ms / 1000).astimezone().strftime(form)


def print_timelines(runs: list[TimelineDocument]) -> None:
    """Print each run's stages as a table with bars."""
    for run in runs:
        stages = run["stages"]
        whole_ms = max(one["at_ms"] + one["ms"] for one in stages)
        say()
        where = f" on {plain(run['machine'])}" if run["machine"] else ""
        say(f"run with seed {run['seed']} ({run['role']}, {run['status']}){where}:")
        if curve := run["curve"]:
            (first, before), (last, after) = curve[0], curve[-1]
            losses = f"{before:.4f} at step {first:,}, {after:.4f} at step {last:,}"
            say(f"its reported loss: {losses}")
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
        print_blocks(console(), table(_STAGE_COLUMNS, rows))


def _bar(at_ms: int, ms: int, whole_ms: int) -> str:
    """Draw the time span of a stage as a bar, or "ahead" if it ended before the run began."""
    if at_ms + ms <= 0:
        return "ahead"
    start, end = (round(_BAR_WIDTH * max(0, at) / whole_ms) for at in (at_ms, at_ms + ms))
    return " " * min(start, _BAR_WIDTH - 1) + "█" * max(1, end - start)
