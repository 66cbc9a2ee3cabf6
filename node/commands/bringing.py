"""`task import|init`: other systems' tasks, and any command that prints a number, as task folders.

Nothing that is brought over is executed here.
"""

from pathlib import Path
from typing import Literal

import click

from node.commands.basics import F, json_option, tell
from node.commands.tasks import task
from node.terminal.terminal import plain
from trainer.importing import algotune as of_algotune
from trainer.importing import command as of_command
from trainer.importing import kernelbot as of_kernelbot
from trainer.importing import mle_bench as of_mle_bench
from trainer.importing import openevolve as of_openevolve
from trainer.importing import pi as of_pi
from trainer.importing import shinka as of_shinka
from trainer.importing.draft import Draft, write_draft

_folder = click.argument("folder", type=click.Path(path_type=Path))


def _into_option(command: F) -> F:
    option = click.option(
        "--into", type=click.Path(path_type=Path), help="The new folder [./NAME of the task]."
    )
    return option(command)


@task.group("import")
def import_() -> None:
    """Bring another system's task over as a task folder."""


@import_.command()
@_folder
@_into_option
@json_option()
def openevolve(folder: Path, into: Path | None, as_json: bool) -> None:
    """Bring over initial_program.py, evaluator.py and config.yaml: self-scored."""
    _write(of_openevolve.read(folder), into, as_json)


@import_.command()
@_folder
@_into_option
@json_option()
def shinka(folder: Path, into: Path | None, as_json: bool) -> None:
    """Bring over initial.py, evaluate.py and run_evo.py: self-scored."""
    _write(of_shinka.read(folder), into, as_json)


@import_.command()
@_folder
@_into_option
@click.option("--size", "sizes", type=click.IntRange(1), multiple=True, help="A problem's n.")
@json_option()
def algotune(folder: Path, into: Path | None, sizes: tuple[int, ...], as_json: bool) -> None:
    """Bring over a task's class: its judge keeps all of it, the candidate is solve alone."""
    _write(of_algotune.read(folder, sizes=sizes), into, as_json)


@import_.command()
@_folder
@_into_option
@json_option()
def kernelbot(folder: Path, into: Path | None, as_json: bool) -> None:
    """Bring over a problem's task.yml and the files that it names: self-scored."""
    _write(of_kernelbot.read(folder), into, as_json)


@import_.command("mle-bench")
@_folder
@_into_option
@click.option(
    "--data", type=click.Path(path_type=Path), help="The competition's raw files [FOLDER/raw]."
)
@click.option("--direction", type=click.Choice(["min", "max"]), help="Which way is better.")
@json_option()
def mle_bench(
    folder: Path,
    into: Path | None,
    data: Path | None,
    direction: Literal["min", "max"] | None,
    as_json: bool,
) -> None:
    """Bring over a competition: its judge alone has the data, and splits them anew."""
    _write(of_mle_bench.read(folder, data=data, direction=direction), into, as_json)


@import_.command()
@_folder
@_into_option
@json_option()
def pi(folder: Path, into: Path | None, as_json: bool) -> None:
    """Bring over a session of pi-autoresearch, with its measure.sh: self-scored."""
    _write(of_pi.read(folder), into, as_json)


@task.command()
@click.option(
    "--target", "targets", type=click.Path(path_type=Path), multiple=True, required=True,
    help="A file to be edited; repeat it for others.",
)  # fmt: skip
@click.option("--eval", "command", required=True, help="A command that prints the number.")
@click.option("--metric", required=True, help="What the number is called.")
@click.option("--direction", type=click.Choice(["min", "max"]), required=True)
@click.option(
    "--unit", default="",
    help="The unit it is told in, as ms; one printed in another of its kind is converted.",
)  # fmt: skip
@click.option(
    "--with", "beside", type=click.Path(path_type=Path), multiple=True,
    help="A file or folder that the command needs and does not name.",
)  # fmt: skip
@_into_option
@json_option()
def init(
    targets: tuple[Path, ...],
    command: str,
    metric: str,
    direction: Literal["min", "max"],
    unit: str,
    beside: tuple[Path, ...],
    into: Path | None,
    as_json: bool,
) -> None:
    """Make a task of a file and a command that is run in this folder: self-scored."""
    draft = of_command.draft_of(
        targets,
        command,
        metric=metric,
        direction=direction,
        unit=unit,
        root=Path.cwd(),
        beside=beside,
    )
    _write(draft, into, as_json)


def _write(draft: Draft, into: Path | None, as_json: bool) -> None:
    target = into or Path(draft.name)
    write_draft(draft, target)
    document = {
        "folder": str(target),
        "name": draft.name,
        "trusted": draft.is_trusted,
        "notes": list(draft.notes),
    }
    tell(
        document,
        f"{plain(str(target))}: the task {draft.name}",
        *(f"  {plain(note)}" for note in draft.notes),
        f"  try it: arnode task check {plain(str(target))}",
        as_json=as_json,
    )
