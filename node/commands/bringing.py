"""`task import|init`: other systems' tasks, and any command that prints a number, as task folders.

Nothing that is brought over is executed here.
"""

import inspect
from pathlib import Path
from typing import Any, Literal

import click

from node.commands.basics import F, json_option, tell
from node.commands.plugged import PluggedGroup
from node.commands.tasks import task
from node.exchange.importers import Importer, Option
from node.home.plugins import IMPORTERS, Found
from protocol.codecs import plain
from trainer.importing.command import draft_of
from trainer.importing.draft import TaskDraft, write_draft

_RESERVED = frozenset({"as-json", "as_json", "folder", "help", "into", "json"})


def _into_option(command: F) -> F:
    option = click.option(
        "--into", type=click.Path(path_type=Path), help="The new folder [./NAME of the task]."
    )
    return option(command)


def _option(one: Option) -> Any:
    if one.is_flag:
        return click.option(f"--{one.name}", is_flag=True, help=one.help)
    kind: Any = click.Choice(one.choices) if one.choices else one.kind
    if one.kind is Path:
        kind = click.Path(path_type=Path)
    return click.option(f"--{one.name}", type=kind, multiple=one.is_many, help=one.help)


def _command_of(found: Found) -> click.Command | None:
    reader = found.load(Importer).task
    if reader is None:
        return None

    def bring(folder: Path, into: Path | None, as_json: bool, **options: Any) -> None:
        _write(reader.read(folder, **options), into, as_json)

    named = [one.name for one in reader.options]
    if not _RESERVED.isdisjoint(named) or len(set(named)) < len(named):
        raise found.fault(f"has an option that there is already, among {', '.join(named)}")
    command = json_option()(bring)
    for one in reversed(reader.options):
        command = _option(one)(command)
    command = _into_option(command)
    command = click.argument("folder", type=click.Path(path_type=Path))(command)
    return click.command(found.name, help=inspect.cleandoc(reader.summary))(command)


@task.group("import", cls=PluggedGroup, group=IMPORTERS, command_of=_command_of)
def import_() -> None:
    """Bring another system's task over as a task folder."""


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
    draft = draft_of(
        targets,
        command,
        metric=metric,
        direction=direction,
        unit=unit,
        root=Path.cwd(),
        beside=beside,
    )
    _write(draft, into, as_json)


def _write(draft: TaskDraft, into: Path | None, as_json: bool) -> None:
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
