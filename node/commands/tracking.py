"""`export mlflow|wandb|trackio`: a line's experiments for the experiment trackers people have."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import click

from node.commands.basics import json_option, line_option, reading, shown_line, tell
from node.exports.mlflow_folder import write_mlflow
from node.exports.tracked import TrackedLine, TrackedRun, tracked_line, tracked_runs
from node.exports.tracking_clients import write_trackio, write_wandb
from node.terminal.progress import reporting
from node.terminal.terminal import plain
from node.terminal.vocabulary import many

Write: TypeAlias = Callable[[Path, TrackedLine, Iterable[TrackedRun]], int]

_folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))


@click.command()
@_folder
@line_option
@json_option()
def mlflow(folder: Path, task: str | None, as_json: bool) -> None:
    """Write the experiments into DIR as MLflow's file store.

    MLflow need not be installed. `mlflow ui --backend-store-uri DIR` shows them; since 3.13 that
    wants MLFLOW_ALLOW_FILE_STORE=true, or `mlflow migrate-filestore` first. Again into the same
    folder replaces them.
    """
    _write("mlflow", write_mlflow, folder, task, as_json=as_json)


@click.command()
@_folder
@line_option
@json_option()
def wandb(folder: Path, task: str | None, as_json: bool) -> None:
    """Write the experiments below DIR as wandb's offline runs.

    The client `wandb` has to be installed beside arnode. Nothing is uploaded: `wandb sync` does
    that, should you want it. Again into the same folder adds what is new.
    """
    _write("wandb", write_wandb, folder, task, as_json=as_json)


@click.command()
@_folder
@line_option
@json_option()
def trackio(folder: Path, task: str | None, as_json: bool) -> None:
    """Write the experiments into DIR as trackio's database.

    The client `trackio` has to be installed beside arnode. `TRACKIO_DIR=DIR trackio show` shows
    them; again into the same folder adds what is new.
    """
    _write("trackio", write_trackio, folder, task, as_json=as_json)


def _write(form: str, write: Write, folder: Path, task: str | None, *, as_json: bool) -> None:
    with reading() as (store, blobs), reporting() as progress:
        line = shown_line(store, task)
        about = tracked_line(store, line)
        count = write(folder, about, tracked_runs(store, blobs, line, progress))
    document = {
        "format": form,
        "folder": str(folder),
        "task": {"id": about.task_id.hex(), "name": about.task},
        "class": about.hardware_class,
        "runs": count,
    }
    tell(
        document,
        f"{plain(str(folder))}: {many(count, 'run')} of {about.name} for {form}",
        as_json=as_json,
    )
