"""`export experiment`: write an experiment into a folder, to be read and run again."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import click

from agent.source.capabilities import CapabilityFinding
from node.commands.basics import json_option, reading
from node.exchange.bundle import Subject, read_bundle, trees_of
from node.exchange.bundle_check import check_bundle, manifest_of, marks_in
from node.home.faults import empty_folder, explaining_faults
from node.source_review.adoption import concern, describe, marks_of
from node.store.named_tasks import task_source
from node.terminal.terminal import print_json
from protocol.codecs import plain
from protocol.errors import SafetyError, UsageError
from protocol.record_kinds import ResultBody
from protocol.records import Record
from protocol.rerun import RerunBody
from protocol.source import Source


@click.command("experiment")
@click.argument("id", metavar="ID|BUNDLE")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@json_option()
def export_experiment(id: str, folder: Path, as_json: bool) -> None:  # noqa: A002 (the argument's name)
    """Write an experiment's exact source, environment and command into a new folder.

    The first argument is the id of an experiment, or a bundle file.
    """
    if Path(id).exists():
        source, description, marks = _from_bundle(Path(id))
    else:
        with reading() as (store, blobs):
            record = store.records.find(id)
            tree, description = _described(record, lambda task: task_source(store, task))
            source = blobs.get_source(tree)
            marks = marks_of(store, blobs, bytes.fromhex(str(description["task"])), tree)
    paths = [path for path, _ in source.files]
    command = _command(description, paths)
    empty_folder(folder)
    with explaining_faults(folder):
        for path, data in source.files:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        (folder / "replay.json").write_text(json.dumps(description, indent=2) + "\n")
        script = folder / "replay.sh"
        script.write_text(f'#!/bin/sh\ncd "$(dirname "$0")" && exec {command}\n')
        script.chmod(0o755)
    descriptions = [describe(mark) for mark in marks or ()]
    if as_json:
        print_json(
            {
                **description,
                "folder": str(folder),
                "files": paths,
                "command": command,
                "marks": descriptions,
            }
        )
        return
    click.echo(f"{plain(str(folder))}: {', '.join(paths)}, replay.json, replay.sh")
    click.echo(command)
    for mark in descriptions:
        click.echo(f"marked: this source {concern(marks or ())}: {plain(mark)}", err=True)


def _from_bundle(
    path: Path,
) -> tuple[Source, dict[str, object], tuple[CapabilityFinding, ...] | None]:
    given = read_bundle(path)
    for finding in check_bundle(given):
        if not finding.ok:
            raise SafetyError(
                f"{path} is invalid: {finding.name}: {finding.detail}",
                f"`arnode verify {path} --check-only` shows all checks",
            )

    def name_of(task: bytes) -> str | None:
        manifest = manifest_of(given, task)
        return None if manifest is None else manifest.name

    tree, description = _described(given.subject, name_of)
    source = given.source(tree)
    assert source is not None  # noqa: S101 -- it was checked
    return source, description, marks_in(given)


def _described(
    record: Record, task_name: Callable[[bytes], str | None]
) -> tuple[bytes, dict[str, object]]:
    body = record.body
    if not isinstance(body, Subject):
        raise UsageError(
            f"a {record.kind} has no source to replay",
            "give the id of an experiment or a re-run; `arnode log` lists experiments",
        )
    tree = trees_of(body)[1]
    description: dict[str, object] = {"record": record.id.hex(), "kind": record.kind}
    if isinstance(body, ResultBody | RerunBody):
        description |= {
            "class": body.hardware_class,
            "env": dict(body.env.items),
            "seeds": list(dict.fromkeys(run.seed for run in body.runs)),
        }
    description |= {
        "tree": tree.hex(),
        "task": body.task.hex(),
        "task_name": task_name(body.task),
    }
    return tree, description


def _command(description: dict[str, object], paths: list[str]) -> str:
    words = ["arnode", "run", "--source", paths[0] if len(paths) == 1 else "."]
    if description["task_name"]:
        words += ["--task", str(description["task_name"])]
    seeds = description.get("seeds")
    if isinstance(seeds, list) and seeds:
        words += [word for seed in seeds for word in ("--seed", str(seed))]
    return shlex.join(words)
