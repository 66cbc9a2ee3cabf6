"""`head`: show the verified head and its authors; change it or the working line by hand."""

import asyncio
import shlex
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import click

from agent.source.capabilities import CapabilityFinding
from node.commands.basics import (
    ID_DIGITS,
    Count,
    hex_or_none,
    json_option,
    line_option,
    reading,
    short,
    shown_line,
)
from node.home.control_socket import is_running
from node.home.faults import empty_folder
from node.home.home import Home
from node.home.next_start import PROMOTION_TRIAL, unless_running
from node.home.settings_in_force import config_of
from node.line.head_by_hand import (
    drop_kept,
    manifest_of,
    move_head,
    previous_head,
    the_line,
    tree_of,
)
from node.line.head_recheck import head_recheck_reason
from node.running.line_resources import LineResources, open_line
from node.source_review.adoption import concern, describe, examine, marks_of
from node.source_review.patches import Patches, PatchRecord
from node.source_review.provenance import LocalEvidence, Writer, WrittenLine, passages
from node.source_review.provenance import provenance as written_lines
from node.store.blobs import Blobs
from node.terminal.terminal import print_json
from node.terminal.vocabulary import many, word
from protocol.codecs import plain
from protocol.errors import ArnodeError, SafetyError, UsageError
from protocol.manifest import TaskManifest
from protocol.source import Source


@click.command()
@line_option
@click.option(
    "--working",
    is_flag=True,
    help="Print the source of the working line instead; it is not verified.",
)
@click.option(
    "--provenance",
    is_flag=True,
    help="Show who wrote each line of the source, and what confirmed it.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Train the head once more and write the model into this folder.",
)
@click.option(
    "--budget",
    type=Count(1, 10**15),
    help="With --weights: another budget than the task's, in the same unit.",
)
@click.option(
    "--set",
    "wanted",
    metavar="ID",
    help="Make this record's source the verified head, if it passed a promotion trial here.",
)
@click.option("--undo", is_flag=True, help="Go back to the previous verified head.")
@click.option(
    "--drop",
    "dropped",
    metavar="ID",
    help="Take this kept patch, and those kept after it, out of the working line.",
)
@click.option(
    "--unverified",
    is_flag=True,
    help="With --set: set the head although it passed no promotion trial here.",
)
@json_option("Print JSON (only with --provenance or --weights).")
def head(
    task: str | None,
    working: bool,
    provenance: bool,
    weights: Path | None,
    budget: int | None,
    wanted: str | None,
    undo: bool,
    dropped: str | None,
    unverified: bool,
    as_json: bool,
) -> None:
    """Print the verified head's source: `arnode head > train.py`.

    Without --task it is the head of the current or last session's task. --set and --undo change the
    head instead; the change is recorded. A peer's source is adopted without its comments and
    docstrings. --drop changes only the working line.
    """
    if unverified and wanted is None:
        raise UsageError("--unverified needs --set", "add --set ID")
    changes = (wanted is not None, undo, dropped is not None)
    if any(changes):
        shown = (working, provenance, weights is not None, budget is not None, as_json)
        if any(shown) or sum(changes) > 1:
            raise UsageError(
                "--set, --undo and --drop exclude other options", "give one of them alone"
            )
        if wanted is not None:
            _set(wanted, task, unverified=unverified)
        elif dropped is not None:
            _drop(dropped, task)
        else:
            _undo(task)
        return
    if as_json and not provenance and weights is None:
        raise UsageError(
            "the source cannot be printed as JSON", "use --json with --provenance or --weights"
        )
    if provenance and weights is not None:
        raise UsageError("--provenance and --weights exclude each other", "give one of them")
    if budget is not None and weights is None:
        raise UsageError("--budget needs --weights", "add --weights FOLDER")
    with reading() as (store, blobs):
        line = shown_line(store, task)
        tree = line.working if working else line.verified
        source = blobs.get_source(tree)
        marks = marks_of(store, blobs, line.task, tree)
        recheck_pending = head_recheck_reason(store, line) if tree == line.verified else None
        asks_writers = provenance or weights is not None
        manifest = manifest_of(store, line)
        lines = written_lines(store, blobs, manifest, line.key, tree) if asks_writers else ()
    if provenance:
        _print_provenance(lines, tree, recheck_pending, as_json=as_json)
    if recheck_pending:
        click.echo(f"{word('recheck_pending')}: {plain(recheck_pending)}", err=True)
    if tree == manifest.baseline_tree and not working:
        click.echo(_why_baseline(len(line.stack)), err=True)
    if marks:
        click.echo(f"marked: this source {concern(marks)}: {_summary(marks)}", err=True)
    if weights is not None:
        _write_model(manifest, task, source, weights, budget, lines, as_json=as_json)
    if asks_writers:
        return
    for path, data in source.files:
        if len(source.files) > 1:
            click.echo(f"# file: {path}")
        sys.stdout.flush()
        sys.stdout.buffer.write(data)


def _set(record: str, task: str | None, *, unverified: bool) -> None:
    with _open_line(task) as line_resources:
        line_resources.line_writer.announce()
        line = line_resources.line_writer.known_line
        wanted = tree_of(line_resources.store, line, record)
        blobs = Blobs(Home.here().blobs)
        patches = Patches(line_resources.store, line.task)
        candidate = examine(patches, blobs, manifest_of(line_resources.store, line), wanted)
        tree, marks = candidate.source.tree, candidate.marks
        if tree == line.verified:
            click.echo(f"the verified head already is {short(tree)}; nothing was changed")
            return
        if marks and not unverified:
            raise SafetyError(
                f"the source of {record[:ID_DIGITS]} {concern(marks)}: {_summary(marks)}",
                "read it (`arnode diff`), then accept the risk with --unverified",
            )
        evidence = line_resources.store.experiments.evidence_for(line.key, tree)
        if evidence is None and not unverified:
            raise SafetyError(
                f"the source of {record[:ID_DIGITS]} passed no promotion trial here",
                f"{PROMOTION_TRIAL} tries the working line; to accept the risk, add --unverified",
            )
        blobs.put_source(candidate.source)
        _move(line_resources, tree, evidence, candidate.stripped_from)
        for mark in marks:
            click.echo(f"marked: {plain(describe(mark))}", err=True)


def _undo(task: str | None) -> None:
    with _open_line(task) as line_resources:
        line_resources.line_writer.announce()
        line = line_resources.line_writer.known_line
        tree = previous_head(line_resources.store, line, line_resources.keys.author.public)
        _move(line_resources, tree, line_resources.store.experiments.evidence_for(line.key, tree))


def _drop(wanted: str, task: str | None) -> None:
    with _open_line(task) as line_resources:
        named = line_resources.store.records.find(wanted).id
        dropped = drop_kept(line_resources.line_writer, wanted)
        line = line_resources.line_writer.known_line
    later = many(len(dropped) - 1, "patch", "patches")
    more = f", and {later} kept after it" if len(dropped) > 1 else ""
    is_head = " (the verified head)" if line.working == line.verified else ""
    click.echo(
        f"dropped {short(named)}{more}; the working line is now {short(line.working)}{is_head}"
    )


def _why_baseline(kept: int) -> str:
    """Explain why the verified head is still the baseline, and what to do."""
    if not kept:
        next_step = unless_running("`arnode start` continues the search")
        return f"this is the baseline: nothing was kept yet; {next_step}"
    are, them = ("is", "it") if kept == 1 else ("are", "them")
    next_step = unless_running(
        f"{PROMOTION_TRIAL} verifies {them}",
        f"A running node verifies {them} by itself, `arnode stop --after-promotion-trial` at once",
    )
    return (
        f"this is the baseline: {many(kept, 'kept patch', 'kept patches')} {are} not verified yet."
        f" {next_step}; `arnode head --working` prints {them}"
    )


def _open_line(task: str | None) -> AbstractContextManager[LineResources]:
    home = Home.here()
    if is_running(home.socket):
        raise ArnodeError(
            "the node is running and uses its head",
            "stop it first (`arnode stop`), then try again",
        )
    config = config_of(home)
    with reading() as (store, _):
        manifest = manifest_of(store, the_line(store, task))
    return open_line(home, config, manifest)


def _move(
    line_resources: LineResources,
    tree: bytes,
    evidence: bytes | None,
    stripped_from: PatchRecord | None = None,
) -> None:
    move_head(line_resources.line_writer, tree, evidence=evidence, stripped_from=stripped_from)
    line_resources.journal.catch_up()
    mark = "" if evidence else "  (unverified: not confirmed here)"
    click.echo(f"verified head is now {short(tree)}{mark}")


def _summary(marks: Sequence[CapabilityFinding]) -> str:
    more = f", and {len(marks) - 1} more" if len(marks) > 1 else ""
    return plain(describe(marks[0])) + more


def _print_provenance(
    lines: Sequence[WrittenLine], tree: bytes, recheck_pending: str | None, *, as_json: bool
) -> None:
    """Print consecutive lines of one writer as one row, or every line as JSON."""
    if as_json:
        written = [_line_json(line) for line in lines]
        print_json({"tree": tree.hex(), "recheck_pending": recheck_pending, "lines": written})
        return
    has_files = len({line.path for line in lines}) > 1
    rows = [
        (
            (f"{first.path}:" if has_files else "") + f"{first.number}-{last.number}",
            _author(first.writer),
            _evidence(first.writer.evidence),
            first.writer.title,
        )
        for first, last in passages(lines)
    ]
    shown = [tuple(map(plain, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(padded).rstrip())


def _author(writer: Writer) -> str:
    if writer.whose != "untrusted" or writer.author is None:
        return writer.name
    return f"{writer.name} {short(writer.author)}"


def _evidence(evidence: LocalEvidence) -> str:
    result = "" if evidence.result is None else short(evidence.result)
    match evidence.level:
        case "stack":
            return f"confirmed, {evidence.parts} together ({result})"
        case "alone":
            return f"confirmed ({result})"
        case "kept":
            return f"kept here ({result})"
        case "baseline":
            return "-"
    return "unverified"


def _line_json(line: WrittenLine) -> dict[str, object]:
    writer, evidence = line.writer, line.writer.evidence
    return {
        "path": line.path,
        "line": line.number,
        "text": line.text,
        "writer": writer.whose,
        "author": hex_or_none(writer.author),
        "name": writer.name,
        "patch": hex_or_none(writer.patch),
        "title": writer.title,
        "evidence": {
            "level": evidence.level,
            "result": hex_or_none(evidence.result),
            "parts": evidence.parts,
        },
    }


def _write_model(
    manifest: TaskManifest,
    task: str | None,
    source: Source,
    folder: Path,
    budget: int | None,
    lines: Sequence[WrittenLine],
    *,
    as_json: bool,
) -> None:
    """Train a source once more and write its model; warn if peers wrote parts of the source.

    Raises UsageError if the head's task is not the task that the settings name.
    """
    from node.on_demand.head_model import train_model, with_budget
    from node.on_demand.session import find_command_session

    empty_folder(folder)  # fail before the training, which may take long
    command = find_command_session(task, None)
    if command.task.id != manifest.id:
        raise UsageError(
            f"the head is of task {manifest.name}, but the settings name task {command.task.name}",
            "name the task or its folder with --task",
        )
    command = replace(command, task=with_budget(command.task, budget))
    trained = asyncio.run(train_model(command, source, folder))
    metric, others = manifest.metric, sum(line.writer.whose == "untrusted" for line in lines)
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "files": list(trained.files),
                "tree": source.tree.hex(),
                "seed": trained.seed,
                "metric": trained.metric,
                "baseline": trained.baseline,
                "untrusted_lines": others,
            }
        )
        return
    click.echo(
        f"{metric.name} {trained.metric:.6f} {metric.unit} (the baseline: {trained.baseline:.6f}, "
        "one run each)"
    )
    click.echo(f"{plain(str(folder))}: {', '.join(trained.files)}")
    script = shlex.quote(str(folder / "sample.py"))
    click.echo(f'python {script} "Once"  # torch and tiktoken')
    if others:
        click.echo(
            f"peers wrote {others} lines of the source (`arnode head --provenance`): sample.py "
            "runs this source without a sandbox, so read it first",
            err=True,
        )
