"""`import`: read bundles, and other tools' logs of experiments."""

import inspect
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from node.commands.basics import F, json_option, print_result, short
from node.commands.plugin_group import PluginGroup
from node.exchange.bundle import read_bundle
from node.exchange.bundling import take_in
from node.exchange.importers import MAX_LOG_BYTES, HistoryReader, Importer, read_history
from node.home.clock import clock_ms
from node.home.faults import explaining_faults
from node.home.home import Home
from node.home.plugins import IMPORTERS, Found
from node.home.settings_in_force import config_of
from node.store.blobs import Blobs
from node.store.imported import sources_on_branch
from node.store.intake import Quotas
from node.store.store import Store
from protocol.codecs import plain
from protocol.errors import ArnodeError, UsageError
from protocol.source import Source
from trainer.host.folder_files import find_file


@dataclass(frozen=True, slots=True)
class _Place:
    """The file to import: the path `named` by the user, or the file `inside` the named folder."""

    named: Path
    inside: str = ""

    @property
    def path(self) -> Path:
        return self.named / self.inside

    @property
    def folder(self) -> Path:
        """The folder of the file, which may be a git repository."""
        return self.named if self.inside else self.named.parent

    def read(self, form: str) -> bytes:
        """Return the file's first bytes, at most one more than the size limit of a log.

        Raises UsageError if the file does not exist, ConfigurationError if it cannot be read.
        """
        root = self.named if self.inside else self.named.resolve().parent
        file = find_file(root, self.inside or self.named.resolve().name)
        if file is None:
            raise UsageError(f"there is no file {self.path}", f"name the file that {form} wrote")
        with explaining_faults(self.path):
            return file.beginning(limit_bytes=MAX_LOG_BYTES + 1)


def _source_options(command: F) -> F:
    branch = click.option(
        "--branch",
        help="Read the source of each row of the log from this git branch"
        " (default: HEAD, if the log's folder is a git repository).",
    )
    edited = click.option(
        "--file",
        "edited",
        default="train.py",
        show_default=True,
        help="The file that the experiments edited.",
    )
    return branch(edited(command))


def _command_of(found: Found) -> click.Command | None:
    reader = found.load(Importer).history
    if reader is None:
        return None

    def take(path: Path, as_json: bool, branch: str | None = None, edited: str = "") -> None:
        places = _places(path, reader)
        _print_files(
            [_imported(found.name, place, branch=branch, edited=edited) for place in places],
            as_json,
        )

    command = json_option()(take)
    if reader.has_commits:
        command = _source_options(command)
    command = click.argument("path", type=click.Path(path_type=Path))(command)
    return click.command(found.name, help=inspect.cleandoc(reader.summary))(command)


def _places(path: Path, reader: HistoryReader) -> list[_Place]:
    """Return the files to read: the named file, or the tool's usual files in a named folder."""
    if not reader.files or not path.is_dir():
        return [_Place(path)]
    there = [
        next((name for name in names if find_file(path, name) is not None), None)
        for names in reader.files
    ]
    return [_Place(path, name) for name in filter(None, there)] or [
        _Place(path, reader.files[0][0])
    ]


@click.group("import", cls=PluginGroup, group=IMPORTERS, command_of=_command_of)
def import_() -> None:
    """Import other people's bundles and logs."""


@import_.command()
@click.argument("path", type=click.Path(path_type=Path))
@json_option()
def bundle(path: Path, as_json: bool) -> None:
    """Import a bundle's records and sources. Its gains remain claims of their author."""
    home = Home.here()
    given = read_bundle(path)
    config = config_of(home)
    quotas = Quotas(total=config.max_records)
    with home.lock(), Store.open(home, quotas=quotas) as store:
        report = take_in(store, Blobs(home.blobs), given, net=config.net)
    if report.rejected and not report.new:
        raise ArnodeError(
            f"nothing was imported: {report.rejected[0]}",
            "a bundle must be of this node's network, the `net` in `arnode home config show`",
        )
    document = {
        "about": given.about.hex(),
        "new": [one.hex() for one in report.new],
        "known": report.duplicates,
        "early": report.quarantined,
        "over_quota": report.over_quota,
        "expired": report.expired,
        "rejected": report.rejected,
        "blobs": len(given.blobs),
    }
    counts = {
        "new records": len(report.new),
        "known": report.duplicates,
        "dated in the future (checked again later)": report.quarantined,
        "over a quota": report.over_quota,
        "expired": report.expired,
        "rejected": len(report.rejected),
        "blobs": len(given.blobs),
    }
    summary = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    line = f"{plain(str(path))}: {summary}; see `arnode show {short(given.about)}`"
    print_result(document, line, as_json=as_json)


def _print_files(files: list[tuple[dict[str, object], str]], as_json: bool) -> None:
    """Print the result of each file. As JSON, later files are in the first one's `more_files`."""
    (first, _), *others = files
    others_document = {"more_files": [document for document, _ in others]} if others else {}
    print_result({**first, **others_document}, *(line for _, line in files), as_json=as_json)


def _imported(
    form: str, place: _Place, *, branch: str | None, edited: str
) -> tuple[dict[str, object], str]:
    """Store another tool's log; return a JSON document and a line that describe it.

    The log stays unsigned and unverified, and never ranks on a leaderboard.
    """
    path = place.path
    log = read_history(form, place.read(form), str(path))
    labels = {row.label for row in log.read}
    sources = _sources(place.folder, branch, edited, labels) if edited else {}
    home = Home.here()
    with home.lock(), Store.open(home) as store:
        identity, is_new = store.imported.keep(
            Blobs(home.blobs),
            log,
            name=str(path),
            at_ms=clock_ms(),
            sources=sources,
        )
    read, text_lines = log.read, log.text_lines
    with_source = sum(row.source is not None or row.label in sources for row in read)
    segments = list(log.segments)
    document: dict[str, object] = {
        "imported": identity.hex(),
        "new": is_new,
        "form": form,
        "metric": segments[-1].metric,
        "segments": [asdict(segment) for segment in segments],
        "rows": len(log.rows),
        "read": len(read),
        "text": len(text_lines),
        "text_lines": text_lines,
        "with_source": with_source,
    }
    known = "" if is_new else " (imported before)"
    summary = f"{len(log.rows)} rows: {len(read)} read"
    if text_lines:
        summary += f", {len(text_lines)} kept as text (the first is line {text_lines[0]})"
    metrics = ", ".join(dict.fromkeys(plain(segment.metric) for segment in segments))
    line = (
        f"{plain(str(path))}: {summary}, {with_source} with their source{known}; {metrics};"
        " unsigned and unverified, so they are not ranked:"
        f" see `arnode show {short(identity)}`"
    )
    return document, line


def _sources(folder: Path, branch: str | None, edited: str, labels: set[str]) -> dict[str, Source]:
    if branch is None and not (folder / ".git").exists():
        return {}
    return sources_on_branch(folder, branch or "HEAD", edited, labels)
