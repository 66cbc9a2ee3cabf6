"""The door for importers: what brings other systems' tasks, and their histories, here.

An importer is an `Importer` under the entry-point group `arnode.importers`; the entry's name is
what `arnode task import` and `arnode import` call it. It executes nothing of what it reads, and
reads files through `trainer.importing.reading` and `trainer.host.folder_files` alone, which bound
what they read and follow no link out of a folder. It may rely on these two, on `trainer.importing`
as a whole, `node.store.foreign_rows`, `node.store.foreign_tables`, `protocol.errors` and
`protocol.regions`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from node.home.plugins import IMPORTERS, plugin
from node.store.foreign_rows import ForeignLog
from node.store.foreign_tables import read_table
from protocol.errors import UsageError
from trainer.importing.draft import TaskDraft

MAX_LOG_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of the command, `--name VALUE`, which `read` gets as `name`.

    `kind` is int, str or pathlib.Path; `choices` are the words that it takes, all if none are
    named. One that `is_many` may be given again, and comes as a tuple; one that `is_flag` takes no
    value and comes as a bool; else it is None where it is not given.
    """

    name: str
    help: str
    kind: type = str
    choices: tuple[str, ...] = ()
    is_many: bool = False
    is_flag: bool = False


SELF_SCORED: Final = Option(
    name="self-scored",
    help="Run the evaluator in the program's own sandbox: its score is measured, and never ranked.",
    is_flag=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReader:
    """Makes a task folder of another system's. `summary` is what `--help` says of it.

    `read(folder, **options)` returns the draft, which the command writes. It raises
    ConfigurationError for a folder that is none of the system's, and UsageError for options that do
    not fit it.
    """

    summary: str
    read: Callable[..., TaskDraft]
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryReader:
    """Reads what another tool wrote of its experiments; `read(data)` returns it, row by row.

    A row keeps its bytes, so that the file comes out again as it went in; what is no experiment is
    kept as text. `files` are looked for in a folder that the user names: of each tuple the first
    that is there. `has_commits`: rows are labelled by commits, whose sources are taken along.
    `hint` says what such a file looks like, for who named another one.
    """

    summary: str
    read: Callable[[bytes], ForeignLog]
    hint: str
    files: tuple[tuple[str, ...], ...] = ()
    has_commits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Importer:
    """An importer, as an entry point names it. It reads a system's tasks, histories, or both."""

    task: TaskReader | None = None
    history: HistoryReader | None = None


def history_of(name: str) -> HistoryReader:
    """Return the reader of a tool's histories. Raises UsageError if there is none."""
    found = plugin(IMPORTERS, name, "importer").load(Importer).history
    if found is None:
        raise UsageError(f"`{name}` reads no history", f"see `arnode task import {name} --help`")
    return found


def read_history(form: str, data: bytes, name: str) -> ForeignLog:
    """Return what a file of this form holds; raises UsageError if that is no experiment at all."""
    if len(data) > MAX_LOG_BYTES:
        raise UsageError(f"{name} is larger than {MAX_LOG_BYTES >> 20} MB", "import a part of it")
    reader = history_of(form)
    log = reader.read(data)
    if not log.read:
        raise UsageError(
            f"{name} holds no experiment of {form}", f"is it another tool's? {reader.hint}"
        )
    return log


# autoresearch's results.tsv.
RESULTS_TSV: Final = Importer(
    history=HistoryReader(
        summary="""Take in autoresearch's results.tsv, or a folder with one and its git branch.

        Its header says which column is what. The metric is `val_bpb`, else the first column of
        numbers; which way is better, unless it is bits per byte, a loss or an error, follows from
        what was kept. What does not read as an experiment is kept as text and counted.""",
        read=read_table,
        hint="a header names its columns, with tabs between: commit, the metric, memory_gb, status,"
        " description",
        files=(("results.tsv",),),
        has_commits=True,
    )
)
