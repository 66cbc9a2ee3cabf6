"""`task list|show|fetch|prepare`: list, show and prepare tasks."""

import time
from functools import partial
from pathlib import Path

import click

from node.commands.basics import Count, json_option, print_result, short
from node.commands.checking import check
from node.commands.replicate import replicate
from node.commands.table import SummaryGroup
from node.home.control_socket import call
from node.home.faults import explaining_faults
from node.home.home import Home
from node.home.next_start import next_start
from node.home.settings_in_force import config_of
from node.line.open_task import find_task, known_by_id, lacking, load_named
from node.reporting.tasks import tasks_document
from node.store.blobs import Blobs
from node.terminal.progress import reporting
from node.terminal.terminal import print_json
from node.terminal.vocabulary import scoring_words, sd_text
from protocol.codecs import plain
from protocol.errors import ArnodeError, UsageError
from protocol.manifest import TaskManifest
from protocol.styles import Style
from protocol.units import NANO
from trainer.task_kinds import kind_of, settled_task, text_task, words_of

_POLL_S = 1.0


@click.group(cls=SummaryGroup)
def task() -> None:
    """List, show and prepare tasks."""


task.add_command(check)
task.add_command(replicate)


@task.command("list")
@json_option("Print one JSON document.")
def list_tasks(as_json: bool) -> None:
    """List the built-in tasks."""
    document = tasks_document(Home.here())
    if as_json:
        print_json(document)
        return
    rows = document["tasks"]
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        known = str(row["id"])[:12] if row["prepared"] else "not prepared"
        click.echo(f"{row['name']:<{width}}  {known:<12}  {plain(row['title'])}")
    if not all(row["prepared"] for row in rows):
        click.echo("not prepared: `arnode task prepare NAME` fetches its data", err=True)


@task.command()
@click.argument("name")
@json_option("Print one JSON document.")
def show(name: str, as_json: bool) -> None:
    """Show a task: its metric, budget and limits."""
    home = Home.here()
    one = load_named(home, name)
    manifest = one.manifest
    words = words_of(manifest)
    document = {
        "id": one.id.hex(),
        "name": one.name,
        "title": one.title,
        "baseline": manifest.baseline_tree.hex(),
        "editable": list(one.editable),
        "metric": {
            "name": manifest.metric.name,
            "unit": manifest.metric.unit,
            "direction": manifest.metric.direction,
        },
        "budget": {manifest.budget.unit: manifest.budget.amount},
        "noise_floor": manifest.noise_floor_nano / NANO,
        "evaluator": manifest.evaluator,
        "scoring": manifest.scoring,
        "hyperparameters": [hyperparameter.name for hyperparameter in one.hyperparameters],
        "moves": [move.name for move in one.moves],
    }
    better = "lower" if manifest.metric.direction == "min" else "higher"
    rows = {
        "metric": f"{manifest.metric.name} in {manifest.metric.unit}, {better} is better",
        "budget": words.budget,
        "limits": words.limits,
        "noise": _noise(manifest),
        "editable": ", ".join(one.editable),
        "baseline": short(manifest.baseline_tree),
        "evaluator": manifest.evaluator,
        "scoring": scoring_words(manifest),
        "moves": ", ".join(move.name for move in one.moves) or "none",
    }
    if manifest.program is not None and manifest.program.holdout is not None:
        rows["holdout"] = "files that replace visible ones in promotion trials and in verify"
    print_result(
        document,
        f"{one.name}  {one.id.hex()}\n{plain(one.title)}\n",
        *(f"  {label:<10} {value}" for label, value in rows.items()),
        as_json=as_json,
    )


def _noise(manifest: TaskManifest) -> str:
    floor_nano = manifest.noise_floor_nano
    if Style.of(manifest).is_exact:
        return "none: scores are exact"
    if not floor_nano:
        return "unknown until a node measures it"
    return f"{sd_text(floor_nano / NANO, digits=4)} of one run"


@task.command()
@click.argument("task_id")
@click.option(
    "--for",
    "limit_s",
    type=Count(1, 86_400_000),
    default=120,
    help="How many seconds to wait for the files.",
)
def fetch(task_id: str, limit_s: int) -> None:
    """Fetch the files of a task that a peer announced, by the task's id.

    The running node asks its peers for them. After that, `--task ID` selects the task. The task's
    judge is untrusted code, and runs in the sandbox like peers' code.
    """
    home = Home.here()
    manifest = known_by_id(home, task_id.lower())
    if manifest is None:
        raise UsageError(
            f"no announced task has an id that begins with {task_id}, or several have",
            "give more digits; a node in the task's network receives announcements",
        )
    blobs, ends_s = Blobs(home.blobs), time.monotonic() + limit_s
    with reporting() as progress:
        while missing := lacking(blobs, manifest):
            call(home.socket, "fetch_task", {"id": manifest.id})
            progress(f"{manifest.name}: {len(missing)} files to fetch", 0.0)
            if time.monotonic() > ends_s:
                raise ArnodeError(
                    f"no connected peer has all files of task {manifest.name}",
                    "leave the node running and try again: the author of the task has them",
                )
            time.sleep(_POLL_S)
    click.echo(f"all files of {manifest.name} are here; next: {next_start('--task', task_id)}")


@task.command()
@click.argument("name", required=False)
@click.option(
    "--text", type=Path, help="Prepare a language task on this text file or folder instead."
)
@click.option(
    "--first",
    is_flag=True,
    help="Fetch only the part of a large data set that the first run needs.",
)
def prepare(name: str | None, text: Path | None, first: bool) -> None:
    """Prepare a task's data, so that the first run starts at once.

    An interrupted download is resumed.
    """
    home = Home.here()
    home.prepare()
    url = config_of(home).data_url
    with reporting() as progress, explaining_faults(home.data):
        if text is None:
            wanted = partial(find_task, home, name=name or "tiny", text=None, progress=progress)
            one = settled_task(wanted, data_dir=home.data, data_url=url, progress=progress)
        else:
            progress("reading the text", 0.0)
            one = text_task(text, data_dir=home.data)
        kind = kind_of(one.manifest)
        data = kind.prepare(one, data_dir=home.data, data_url=url, progress=progress)
        if not first:
            data.load_rest(progress)
        progress("the data is ready", 1.0)
    click.echo(f"{one.name} is ready: {data.size}")
