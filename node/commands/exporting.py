"""`export`: write this node's work in formats for other tools and people."""

import inspect
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from node.commands.basics import (
    json_option,
    line_option,
    network_of,
    network_option,
    print_result,
    reading,
    short,
    shown_line,
)
from node.commands.export_experiment import export_experiment
from node.commands.plugin_group import PluginGroup
from node.exchange.bundle import write_bundle
from node.exchange.bundling import gather
from node.exports.exporters import Exporter
from node.exports.tracked import tracked_line, tracked_runs
from node.home.faults import explaining_faults
from node.home.home import Home
from node.home.next_start import unless_running
from node.home.plugins import EXPORTERS, Found
from node.reporting.experiments import experiment_document
from node.reporting.pull_request import describe
from node.reporting.records import diff_of
from node.store.blobs import Blobs
from node.store.boards import BoardKey
from node.store.named_tasks import task_named
from node.store.records import begins, only_one
from node.store.store import Store
from node.terminal.progress import reporting
from node.terminal.vocabulary import many
from protocol.codecs import plain
from protocol.errors import ArnodeError, UsageError
from protocol.patches import unified_diff
from protocol.records import Record

_BRANCH = "arnode/head"


def _command_of(found: Found) -> click.Command:
    exporter = found.load(Exporter)

    def write(folder: Path, task: str | None, as_json: bool) -> None:
        with reading() as (store, blobs), reporting() as progress:
            line = shown_line(store, task)
            about = tracked_line(store, line)
            count = exporter.write(folder, about, tracked_runs(store, blobs, line, progress))
        document = {
            "format": found.name,
            "folder": str(folder),
            "task": {"id": about.task_id.hex(), "name": about.task},
            "class": about.hardware_class,
            "runs": count,
        }
        print_result(
            document,
            f"{plain(str(folder))}: {many(count, 'run')} of {about.name} for {found.name}",
            as_json=as_json,
        )

    command = line_option(json_option()(write))
    folder_argument = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
    command = folder_argument(command)
    return click.command(found.name, help=inspect.cleandoc(exporter.summary))(command)


@click.group(cls=PluginGroup, group=EXPORTERS, command_of=_command_of)
def export() -> None:
    """Export this node's experiments and leaderboards for other tools and people."""


export.add_command(export_experiment)


@export.command("results.tsv")
@line_option
@click.option(
    "--imported", metavar="ID", help="Write only the imported file with this id, unchanged."
)
def results(task: str | None, imported: str | None) -> None:
    """Write the experiments to stdout as autoresearch's results.tsv."""
    from node.store.journal import Journal

    with reading() as (store, blobs):
        if imported is not None:
            sys.stdout.buffer.write(_imported_data(store, imported))
            return
        journal = Journal(Home.here(), store, blobs, shown_line(store, task).key)
        sys.stdout.write(journal.expected_table())


@export.command()
def jsonl() -> None:
    """Write the experiments with their diffs to stdout, oldest first, as JSON Lines."""
    with reading() as (store, blobs):
        for experiment in store.experiments.listed():
            text = None
            if experiment.patch is not None:
                text = diff_of(store, blobs, store.records.get(experiment.patch))
            document = {"v": 1, **experiment_document(store, experiment), "diff": text}
            click.echo(json.dumps(document))


@export.command()
@click.argument("id", metavar="ID")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The file to write [./arnode-ID.bundle].",
)
@json_option()
def bundle(id: str, output: Path | None, as_json: bool) -> None:  # noqa: A002 (the argument's name)
    """Write an experiment and all its evidence into a file that anyone can check."""
    with reading() as (store, blobs):
        gathered = gather(store, blobs, store.records.find(id))
    path = output or Path(f"arnode-{short(gathered.about)}.bundle")
    size = write_bundle(path, gathered)
    document = {
        "file": str(path),
        "about": gathered.about.hex(),
        "bytes": size,
        "records": len(gathered.records),
        "blobs": len(gathered.blobs),
    }
    print_result(
        document,
        f"{plain(str(path))}: {len(gathered.records)} records, {len(gathered.blobs)} blobs,"
        f" {size:,} bytes; check it with `arnode verify {plain(str(path))} --check-only`",
        as_json=as_json,
    )


@export.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--task", help="Write only leaderboards of this task.")
@click.option("--class", "hardware_class", help="Write only leaderboards of this hardware class.")
@network_option
@json_option()
def board(
    folder: Path, task: str | None, hardware_class: str | None, named: str | None, as_json: bool
) -> None:
    """Write a network's leaderboards into DIR as HTML pages and JSON, for any web server.

    The pages need no JavaScript and show what `leaderboard` shows. The JSON files have all rows in
    the format of `leaderboard --json`, except imported ones. The same records give the same bytes.
    """
    from node.exports.board_pages import write_boards
    from node.home.keyfile import read_keys

    home = Home.here()
    author = read_keys(home).author.public if home.key.exists() else None
    with reading() as (store, blobs), reporting() as progress:
        net = network_of(store, named)
        keys = _boards_meant(store, net, task, hardware_class)
        written = write_boards(folder, store, blobs, net, keys, author=author, progress=progress)
    document = {
        "folder": str(folder),
        "network": net,
        "boards": [
            {"html": f"{one.stem}.html", "json": f"{one.stem}.json", "rows": one.rows}
            for one in written
        ],
    }
    print_result(
        document,
        f"{plain(str(folder))}: {many(len(written), 'leaderboard')} of the network {net},"
        " starting at index.html",
        as_json=as_json,
    )


@export.command()
@click.argument("id", metavar="ID", required=False)
@line_option
def patch(id: str | None, task: str | None) -> None:  # noqa: A002 (the argument's name)
    """Write the diff of ID to stdout; without ID, that from the baseline to the verified head."""
    with reading() as (store, blobs):
        text = _diff(store, blobs, id, task)[0]
    # A file gets the exact bytes. A terminal would interpret control characters.
    sys.stdout.write(plain(text, lines=True) if sys.stdout.isatty() else text)


@export.command()
@click.argument("id", metavar="ID", required=False)
@line_option
def pr(id: str | None, task: str | None) -> None:  # noqa: A002 (the argument's name)
    """Write the text of a pull request to stdout, with the evidence for the gain."""
    with reading() as (store, blobs):
        text, record = _diff(store, blobs, id, task)
        click.echo(describe(store, record, text), nl=False)


@export.command()
@click.argument("repository", type=click.Path(path_type=Path))
@click.option(
    "--name", default=_BRANCH, show_default=True, help="The branch to create or fast-forward."
)
@line_option
def branch(repository: Path, name: str, task: str | None) -> None:
    """Write the verified head's history into a git repository as a branch.

    Configuration and hooks of that repository are ignored.
    """
    from node.store.git_repository import Repository
    from node.store.journal import Journal
    from node.store.notebook import MAIN
    from trainer.sandbox.untrusted_git import UntrustedRepository

    with reading() as (store, blobs):
        journal = Journal(Home.here(), store, blobs, shown_line(store, task).key).path
    if not (journal / ".git").is_dir():
        raise ArnodeError(
            "there is no journal yet",
            unless_running("`arnode start` runs the node, which measures"),
        )
    with explaining_faults(repository):
        into = UntrustedRepository.around(repository)
    fault: str | None = "it is not a git repository"
    if into is not None:
        with TemporaryDirectory(prefix="arnode-") as folder:
            bundled = Path(folder).resolve() / "journal.bundle"
            Repository(journal).write_bundle(bundled, MAIN)
            fault = into.fetch(bundled, f"{MAIN}:refs/heads/{name}")
    if fault is not None:
        raise UsageError(
            f"git cannot write the branch to {repository}: {plain(fault)}",
            "name a git repository, and with --name a branch that is new or can be fast-forwarded",
        )
    click.echo(f"{plain(str(repository))}: branch {plain(name)}")


def _boards_meant(
    store: Store, net: str, task: str | None, hardware_class: str | None
) -> list[BoardKey]:
    """Return a network's leaderboards, only those of the given task and class, if any.

    Raises UsageError if there is no leaderboard of that task or class.
    """
    keys = [key for key in store.boards.listed(net) if store.records.manifest(key.task)]
    if task is not None:
        meant = task_named(store, task, (key.task for key in keys))
        keys = [key for key in keys if key.task == meant]
    if hardware_class is None:
        return keys
    classes = sorted({key.hardware_class for key in keys})
    if hardware_class not in classes:
        known = ", ".join(classes) or "none"
        raise UsageError(
            f"there is no leaderboard of class {hardware_class!r} here", f"known classes: {known}"
        )
    return [key for key in keys if key.hardware_class == hardware_class]


def _imported_data(store: Store, wanted: str) -> bytes:
    everything = {one.id: one for one in store.imported.listed()}
    found = only_one(wanted, [one for one in everything if begins(one, wanted)])
    if found is None:
        known = ", ".join(map(short, everything)) or "none"
        raise UsageError(f"no imported file's id begins with `{wanted}`", f"there are: {known}")
    return everything[found].log.data


def _diff(store: Store, blobs: Blobs, wanted: str | None, task: str | None) -> tuple[str, Record]:
    """Return a diff and the record that documents it.

    Raises UsageError if no id is given and the verified head is still the baseline.
    """
    from node.line.head_by_hand import manifest_of

    if wanted is not None:
        record = store.records.find(wanted)
        return diff_of(store, blobs, record), record
    line = shown_line(store, task)
    baseline = blobs.get_source(manifest_of(store, line).baseline_tree)
    evidence = store.experiments.evidence_for(line.key, line.verified)
    if line.verified == baseline.tree or evidence is None:
        raise UsageError(
            "the verified head is still the task's baseline",
            "name an experiment: `arnode log` shows what was tried",
        )
    text = unified_diff(baseline, blobs.get_source(line.verified))
    return text, store.records.get(evidence)
