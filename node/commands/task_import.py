"""`task import|init`: make task folders from other systems' tasks or from a command.

`import` executes none of the imported files. `init` takes any command that prints a number, and
runs it in the sandbox.
"""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import click

from agent.source.literals import find_hyperparameters
from node.commands.basics import Count, F, json_option, print_result
from node.commands.guessing import GivenOptions, measured_by_trial
from node.commands.plugin_group import PluginGroup
from node.commands.tasks import task
from node.exchange.importers import Importer, Option
from node.home.next_start import next_start
from node.home.plugins import IMPORTERS, Found
from protocol.codecs import plain
from protocol.source import Source
from trainer.importing.command import Measured, Wanted, draft_of
from trainer.importing.draft import TaskDraft, require_empty, write_draft

_VARIED: Final = (
    "the search varies the constants {}; write the name of one that defines the problem in lower "
    "case, and it stays"
)

_RESERVED = frozenset({"as-json", "as_json", "folder", "help", "into", "json"})


def _into_option(command: F) -> F:
    option = click.option(
        "--into",
        type=click.Path(path_type=Path),
        help="The new folder [./NAME, with the task's name].",
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

    def import_task(folder: Path, into: Path | None, as_json: bool, **options: Any) -> None:
        _write(reader.read(folder, **options), into, as_json)

    named = [one.name for one in reader.options]
    if not _RESERVED.isdisjoint(named) or len(set(named)) < len(named):
        raise found.fault(
            f"defines an option twice, or one that arnode has already: {', '.join(named)}"
        )
    command = json_option()(import_task)
    for one in reversed(reader.options):
        command = _option(one)(command)
    command = _into_option(command)
    command = click.argument("folder", type=click.Path(path_type=Path))(command)
    return click.command(found.name, help=inspect.cleandoc(reader.summary))(command)


@task.group("import", cls=PluginGroup, group=IMPORTERS, command_of=_command_of)
def import_() -> None:
    """Convert another system's task to a task folder."""


@task.command()
@click.option(
    "--target", "targets", type=click.Path(path_type=Path), multiple=True, required=True,
    help="A file that experiments may edit; repeat for several.",
)  # fmt: skip
@click.option(
    "--eval",
    "command",
    required=True,
    help="A command that runs in this folder and prints the metric.",
)
@click.option("--metric", required=True, help="The metric's name.")
@click.option(
    "--direction",
    type=click.Choice(["min", "max"]),
    help="Which way is better [guessed from the metric's name].",
)
@click.option(
    "--unit", default="",
    help="The metric's unit, such as ms; printed seconds are converted [the printed unit].",
)  # fmt: skip
@click.option(
    "--limit", "limit_s", type=Count(1, 86_400),
    help="The command's time limit in seconds [10 times its slowest trial run].",
)  # fmt: skip
@click.option(
    "--repeats", type=Count(1, 64), default=1, show_default=True,
    help="How many times a run calls the command; results are averaged.",
)  # fmt: skip
@click.option(
    "--with", "extra_files", type=click.Path(path_type=Path), multiple=True,
    help="A file or folder that the command needs [all files that it opened].",
)  # fmt: skip
@click.option(
    "--holdout", type=click.Path(path_type=Path),
    help="A folder of files that promotion trials and `verify` use instead of"
    " the task's files of the same names.",
)  # fmt: skip
@click.option("--yes", "agrees", is_flag=True, help="Accept the guessed settings without asking.")
@_into_option
@json_option()
def init(
    targets: tuple[Path, ...],
    command: str,
    metric: str,
    direction: Literal["min", "max"] | None,
    unit: str,
    limit_s: int | None,
    repeats: int,
    extra_files: tuple[Path, ...],
    holdout: Path | None,
    agrees: bool,
    into: Path | None,
    as_json: bool,
) -> None:
    """Make a self-scored task from a file and a command that prints its score.

    The command is run in the sandbox a few times first. From these runs arnode guesses the missing
    settings and asks you to confirm them; --yes accepts them.
    """
    wanted = Wanted(
        targets=targets,
        command=command,
        metric=metric,
        root=Path.cwd(),
        extra_files=extra_files,
        holdout=holdout,
    )
    given = GivenOptions(direction=direction, unit=unit, limit_s=limit_s, repeats=repeats)
    early = draft_of(wanted, Measured(direction=direction or "min"))
    require_empty(into or Path(early.name))  # report all faults before the trial runs
    measured = measured_by_trial(wanted, given, agrees=agrees)
    draft = draft_of(wanted, measured)
    names = constants_in([Path(target) for target in targets])
    if names:
        draft = replace(draft, notes=(*draft.notes, _VARIED.format(", ".join(names))))
    _write(draft, into, as_json)


def constants_in(files: Sequence[Path]) -> list[str]:
    """Return the names of the constants in these files that the built-in search varies."""
    texts = {path.name: path.read_bytes() for path in files if path.suffix == ".py"}
    if not texts:
        return []
    found = find_hyperparameters(Source.of(texts), list(texts), ())
    return list(dict.fromkeys(one.name for one in found))


def _write(draft: TaskDraft, into: Path | None, as_json: bool) -> None:
    target = into or Path(draft.name)
    write_draft(draft, target)
    folder = plain(str(target))
    document = {
        "folder": str(target),
        "name": draft.name,
        "trusted": draft.is_trusted,
        "notes": list(draft.notes),
    }
    print_result(
        document,
        f"{folder}: the task {draft.name}",
        *(f"  {plain(note)}" for note in draft.notes),
        f"  next: `arnode task check {folder}`, then {next_start('--task', folder)}",
        as_json=as_json,
    )
