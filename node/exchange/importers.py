"""The plugin interface of importers, which import tasks and histories from other systems.

An importer is an `Importer` under the entry-point group `arnode.importers`. `arnode task import`
and `arnode import` call it by the entry's name. An importer executes nothing that it reads. It
reads files only through `trainer.importing.reading` and `trainer.host.folder_files`, which limit
sizes and follow no link out of a folder. It may depend on these two, on all of `trainer.importing`,
and on `node.store.imported_rows`, `node.store.imported_tables`, `protocol.errors` and
`protocol.regions`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from node.home.plugins import IMPORTERS, plugin
from node.store.imported_rows import ImportedLog
from node.store.imported_tables import read_table
from protocol.errors import UsageError
from trainer.importing.draft import TaskDraft

MAX_LOG_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option `--name VALUE` of the command, passed to `read` as the argument `name`.

    `kind` is int, str or pathlib.Path. `choices` are the allowed values; empty: any value. With
    `is_many` the option may be repeated, and the argument is a tuple. With `is_flag` it takes no
    value, and the argument is a bool. Without these two, the argument is None if the user omits the
    option.
    """

    name: str
    help: str
    kind: type = str
    choices: tuple[str, ...] = ()
    is_many: bool = False
    is_flag: bool = False


SELF_SCORED: Final = Option(
    name="self-scored",
    help="Run the evaluator inside the program's sandbox. Its scores are then never ranked.",
    is_flag=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReader:
    """A converter from another system's folder to a task folder. `summary` is shown by `--help`.

    `read(folder, **options)` returns a draft of the task folder, which the command then writes. It
    raises ConfigurationError if `folder` is not from that system, and UsageError if the options do
    not fit `folder`.
    """

    summary: str
    read: Callable[..., TaskDraft]
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryReader:
    """A reader of another tool's experiments; `read(data)` returns their rows.

    A row keeps its bytes, so that the file can be written out exactly as it was read. Text that is
    not an experiment is kept as text. If the user gives a folder, each tuple in `files` has
    alternative names of one file in it, and the first that exists is read. `has_commits`: rows are
    labelled by commits, whose sources are imported too. `hint` describes the file format for users
    who gave another file.
    """

    summary: str
    read: Callable[[bytes], ImportedLog]
    hint: str
    files: tuple[tuple[str, ...], ...] = ()
    has_commits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Importer:
    """An importer, the object of an entry point. It reads a system's tasks, histories, or both."""

    task: TaskReader | None = None
    history: HistoryReader | None = None


def history_of(name: str) -> HistoryReader:
    """Return the reader of a tool's histories. Raises UsageError if there is none."""
    found = plugin(IMPORTERS, name, "importer").load(Importer).history
    if found is None:
        raise UsageError(
            f"`{name}` cannot import a history", f"see `arnode task import {name} --help`"
        )
    return found


def read_history(form: str, data: bytes, name: str) -> ImportedLog:
    """Return the rows of a file. `form` names the tool that wrote it, `name` the file in messages.

    Raises UsageError if the file is too large or has no experiment.
    """
    if len(data) > MAX_LOG_BYTES:
        raise UsageError(
            f"{name} is larger than {MAX_LOG_BYTES >> 20} MB",
            "split the file, and import the parts",
        )
    reader = history_of(form)
    log = reader.read(data)
    if not log.read:
        raise UsageError(
            f"{name} has no experiment in the format of {form}",
            f"check which tool wrote it: {reader.hint}",
        )
    return log


# autoresearch's results.tsv.
RESULTS_TSV: Final = Importer(
    history=HistoryReader(
        summary="""Import autoresearch's results.tsv, or a folder with one and its git branch.

        The header gives the columns' meaning. The metric is `val_bpb`, else the first column of
        numbers. Smaller is better for bits per byte, a loss or an error; otherwise the direction
        is inferred from the kept rows. Lines that are not experiments are kept as text.""",
        read=read_table,
        hint="a header line names the columns, separated by tabs: commit, the metric, memory_gb,"
        " status, description",
        files=(("results.tsv",),),
        has_commits=True,
    )
)
