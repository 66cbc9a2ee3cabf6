"""`log`, `show`, `diff`: what this node did, from its store alone."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

import click
from rich.text import Text

from agent.source.capabilities import CapabilityMark
from node.commands.basics import hex_or_none, json_option, own_console, plain_table, reading, short
from node.commands.foreign import foreign_json, print_foreign
from node.commands.record_text import fields_for_people, print_fields
from node.commands.timeline import print_timelines, timeline_json
from node.exchange.bundle import Subject, trees_of
from node.home.home import Home
from node.settings.config import config_of
from node.store.blobs import Blobs
from node.store.experiments import Experiment
from node.store.jobs import LineKey
from node.store.named_tasks import labels, task_named
from node.store.records import begins, only_one
from node.store.store import Store
from node.terminal.terminal import plain, print_json, to_json, wants_color
from node.terminal.vocabulary import wording
from node.vetting.adoption import describe, marks_of
from protocol.attestation import AttestBody
from protocol.encoding import Value
from protocol.errors import ArnodeError, Rejected, UsageError
from protocol.manifest import MetricSpec
from protocol.patches import unified_diff, unpack_diff
from protocol.record_kinds import AdoptBody, PatchBody, ResultBody, TaskBody
from protocol.records import Record
from protocol.remarks import RetractBody
from protocol.units import from_nano

_SHOWN = 30


@click.command()
@click.option("-n", "--limit", type=click.IntRange(1), help=f"How many, newest first [{_SHOWN}].")
@click.option("--task", help="Of one task only, without what was imported.")
@json_option("All of them (or the limit) as JSON.")
def log(limit: int | None, task: str | None, as_json: bool) -> None:
    """List this node's experiments, newest first, and what was imported."""
    with reading() as (store, _):
        lines = store.experiments.lines()
        named_task = None if task is None else task_named(store, task, (one.task for one in lines))
        wanted = limit if as_json or limit else _SHOWN
        experiments = store.experiments.listed(task=named_task, newest_first=True, limit=wanted)
        imported = store.imported.listed() if named_task is None else []
        if as_json:
            print_json(
                {
                    "experiments": [experiment_json(experiment) for experiment in experiments],
                    "imported": [foreign_json(one) for one in imported],
                }
            )
            return
        if experiments:
            _print_table(
                store, experiments, [one for one in lines if named_task in (None, one.task)]
            )
        elif not imported:
            click.echo("no experiments yet: `arnode start` makes the first", err=True)
        for one in imported:
            print_foreign(one, wanted)


@click.command()
@click.argument("id", metavar="ID")
@json_option()
def show(id: str, as_json: bool) -> None:  # noqa: A002 (the flag's name on the command line)
    """Show one record with everything about it, or an imported file.

    ID is the first digits of its id, as many as are needed, four at least; that of a source that
    was measured here means its latest result.
    """
    with reading() as (store, blobs):
        imported = {one.id: one for one in store.imported.listed() if begins(one.id, id)}
        meant = only_one(id, imported.keys() | store.records.matching(id).keys())
        if meant in imported:
            if as_json:
                print_json({"imported": foreign_json(imported[meant])})
            else:
                print_foreign(imported[meant])
            return
        record = store.records.find(id)
        marks = _marks(store, blobs, record)
        metric = _metric(store, record)
        document: dict[str, object] = {
            "id": record.id.hex(),
            "kind": record.kind,
            "author": record.author.hex(),
            "seq": record.seq,
            "ts": record.ts_ms,
            "body": to_json(record.body.to_value()),
            "signature_ok": True,  # the store reads no record whose signature is wrong
            "level": "here" if store.records.is_own(record.id) else "claimed",
            "retracted": _taken_back(store, record),
            "related": [item.hex() for item in _related(store, record)],
            "marks": None if marks is None else [asdict(mark) for mark in marks],
            "timeline": timeline_json(store, record),
        }
    if as_json:
        print_json(document)
        return
    del document["body"]
    runs = document.pop("timeline")
    document["marks"] = _marks_shown(record, marks)
    document["time"] = _time(record.ts_ms, "%Y-%m-%d %H:%M:%S")
    print_fields(document)
    click.echo()
    print_fields({"body": fields_for_people(record.body, metric)})
    if runs:
        print_timelines(cast("list[dict[str, Any]]", runs))


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
    coloured = wants_color(config_of(Home.here()).color, os.environ)
    colors = {"+": "green", "-": "red", "@": "cyan"}
    for line in text.splitlines():
        shown = plain(line, lines=True)
        click.echo(click.style(shown, fg=colors.get(line[:1])) if coloured else shown)


def diff_of(store: Store, blobs: Blobs, record: Record) -> str:
    """Return the unified diff that a record is about."""
    body = record.body
    if isinstance(body, AdoptBody):
        return unified_diff(blobs.get_source(body.from_tree), blobs.get_source(body.to_tree))
    if isinstance(body, ResultBody | AttestBody):
        patch = (
            store.records.patch(body.patch) if isinstance(body, ResultBody) and body.patch else None
        )
        if patch is None and body.base != body.tree:  # its author's patch need not be here
            return unified_diff(blobs.get_source(body.base), blobs.get_source(body.tree))
        body = patch or body
    if not isinstance(body, PatchBody):
        raise UsageError(
            f"{short(record.id)} is a {record.kind} without a patch",
            "give the id of an experiment: see `arnode log`",
        )
    packed = blobs.get(body.diff.blob) if body.diff.blob else body.diff.zlib or b""
    text = unpack_diff(packed)
    if isinstance(text, Rejected):
        raise ArnodeError(f"the diff does not read: {text.reason}", "see `arnode show`")
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def experiment_json(experiment: Experiment) -> dict[str, object]:
    """Return what scripts read of an experiment."""
    return {
        "id": experiment.id.hex(),
        "ts": experiment.ts_ms,
        "title": experiment.title,
        "origin": experiment.origin,
        "stage": experiment.stage,
        "status": experiment.status,
        "metric": from_nano(experiment.metric_nano),
        "gain": from_nano(experiment.gain_nano),
        "decision": experiment.decision,
        "tree": experiment.tree.hex(),
        "parent": experiment.parent.hex(),
        "patch": hex_or_none(experiment.patch),
        "task": experiment.task.hex(),
        "class": experiment.hardware_class,
    }


def _print_table(store: Store, experiments: list[Experiment], lines: Sequence[LineKey]) -> None:
    """Print experiments of these lines; what differs between the lines has a column."""
    tasks = labels(store, (line.task for line in lines))
    has_classes = len({line.hardware_class for line in lines}) > 1
    manifests = [store.records.manifest(task) for task in tasks]
    metrics = {manifest.metric.name for manifest in manifests if manifest}
    table = plain_table()
    table.add_column("id", no_wrap=True)
    table.add_column("time", no_wrap=True)
    if len(tasks) > 1:
        table.add_column("task", no_wrap=True)
    if has_classes:
        table.add_column("class", no_wrap=True)
    table.add_column("decision", no_wrap=True)
    table.add_column(metrics.pop() if len(metrics) == 1 else "metric", justify="right")
    table.add_column("gain", justify="right")
    table.add_column("title", overflow="fold")
    for experiment in experiments:
        told = wording(experiment.decision)
        metric, gain = from_nano(experiment.metric_nano), from_nano(experiment.gain_nano)
        table.add_row(
            short(experiment.id),
            _time(experiment.ts_ms, "%m-%d %H:%M"),
            *([Text(plain(tasks[experiment.task]))] if len(tasks) > 1 else []),
            *([experiment.hardware_class] if has_classes else []),
            Text(told.word, told.style),
            "" if metric is None else f"{metric:.6f}",
            "" if gain is None else f"{gain:+.6f}",
            Text(plain(experiment.title)),
        )
    own_console().print(table)


def _metric(store: Store, record: Record) -> MetricSpec | None:
    """Return what a record's figures are of, if its task is known here."""
    if isinstance(record.body, TaskBody):
        return record.body.manifest.metric
    task = getattr(record.body, "task", None)
    manifest = store.records.manifest(task) if isinstance(task, bytes) else None
    return manifest.metric if manifest else None


def _marks(store: Store, blobs: Blobs, record: Record) -> tuple[CapabilityMark, ...] | None:
    """Return what the record's tree does beyond arithmetic; None without a tree that is here."""
    if not isinstance(record.body, Subject):
        return None
    return marks_of(store, blobs, record.body.task, trees_of(record.body)[1])


def _marks_shown(
    record: Record, marks: tuple[CapabilityMark, ...] | None
) -> str | list[str] | None:
    """Return what people read of it: no marks, no source here and no source at all differ."""
    if not isinstance(record.body, Subject):
        return None
    if marks is None:
        return "not read, its source is not here"
    return [describe(mark) for mark in marks] or "none"


def _taken_back(store: Store, record: Record) -> str | None:
    """Return why its author took a record back; None if it stands."""
    retraction = store.records.retraction(record.id)
    if retraction is None or not isinstance(retraction.body, RetractBody):
        return None
    return retraction.body.reason or "no reason given"


def _related(store: Store, record: Record) -> list[bytes]:
    """Return the records that this one names, then those that name it."""
    named = [*record.refs, *_digests(record.body.to_value())]
    candidates = dict.fromkeys([*named, *store.records.naming(record.id)])
    return [item for item in candidates if item != record.id and store.records.has(item)]


def _digests(value: Value) -> list[bytes]:
    if isinstance(value, bytes):
        return [value] if len(value) == 32 else []
    if isinstance(value, list):
        return [digest for item in value for digest in _digests(item)]
    if isinstance(value, dict):
        return [digest for item in value.values() for digest in _digests(item)]
    return []


def _time(ts_ms: int, form: str) -> str:
    return datetime.fromtimestamp(ts_ms / 1000).astimezone().strftime(form)
