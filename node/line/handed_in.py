"""Submissions: sources from a person or another program, read from a folder and queued.

The folder is never changed. A submission waits in the store until the loop tries it, so it survives
a kill and a lost connection.
"""

from collections.abc import Sequence
from pathlib import Path

from agent.source.canonical import fingerprint, parse
from node.line.attempts import is_queued, result_here
from node.line.idea import open_submission
from node.line.line_writer import LineWriter
from protocol.errors import ArnodeError, Rejected, UsageError
from protocol.hygiene import MAX_FILE_BYTES, check_for_task
from protocol.manifest import TaskManifest
from protocol.patches import unified_diff
from protocol.source import Source
from trainer.host.folder_files import FolderFile, check_inside
from trainer.sandbox.untrusted_git import UntrustedRepository


def read_folder(folder: Path, editable: Sequence[str]) -> Source:
    """Return the source in a working folder."""
    return Source.of({name: _read(folder, name) for name in editable})


def check_submission(source: Source, manifest: TaskManifest, baseline: Source) -> None:
    """Raise UsageError unless this source may be run; `baseline` is the task's own source."""
    fault = check_for_task(source, manifest, baseline=baseline)
    if isinstance(fault, Rejected):
        raise UsageError(
            f"this source cannot be tried: {fault.reason}", "fix the file and try again"
        )
    for name, data in source.files:
        if name.endswith(".py") and parse(data) is None:
            raise UsageError(
                f"this source cannot be tried: {name} is not Python",
                f"`python -I -m py_compile {name}` shows the error",
            )


def title_of(folder: Path, source: Source, why: str) -> str:
    """Return the first line of `why`, else that of the commit with this source, else ""."""
    if lines := why.strip().splitlines():
        return lines[0].strip()
    try:
        repository = UntrustedRepository.around(folder)
        if repository is None:
            return ""
        names = {f"HEAD:{repository.prefix}{name}": data for name, data in source.files}
        if repository.blobs(list(names), limit_bytes=MAX_FILE_BYTES) != names:
            return ""
        return repository.subject("HEAD", limit_bytes=MAX_FILE_BYTES)
    except (ArnodeError, OSError):
        return ""  # a title is optional: without one the diff describes the source


def summary_of(base: Source, source: Source) -> str:
    """Return a short description of a diff: the changed line, or the number of changed lines."""
    lines = unified_diff(base, source).splitlines()
    removed = [line[1:].strip() for line in lines if line[:1] == "-" and line[:4] != "--- "]
    added = [line[1:].strip() for line in lines if line[:1] == "+" and line[:4] != "+++ "]
    if len(removed) == len(added) == 1:
        return f"{removed[0]} → {added[0]}"
    names = [name for name, data in source.files if dict(base.files).get(name) != data]
    return f"{', '.join(names)}: {len(added)} lines added, {len(removed)} removed"


def submit(line_writer: LineWriter, source: Source, *, title: str, why: str) -> bytes:
    """Queue a source and return the fingerprint of its canonical AST, which identifies it.

    A source is not queued if it is the working line, is already queued or was measured before.
    """
    mark, base, store = fingerprint(source), line_writer.explored, line_writer.store
    is_known = (
        mark == fingerprint(base)
        or is_queued(store, line_writer.key, mark)
        or result_here(store, line_writer.key, mark) is not None
    )
    if not is_known:
        title = title or summary_of(base, source)
        open_submission(line_writer, source, fingerprint=mark, title=title, why=why)
    return mark


def _read(folder: Path, name: str) -> bytes:
    try:
        check_inside(folder, name)
        # One byte over the limit is enough to reject the file.
        return FolderFile(folder, name).beginning(limit_bytes=MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as fault:
        raise UsageError(
            f"there is no {name} in {'this folder' if folder == Path() else folder}",
            f"`arnode try` measures a {name} that you edited: after `arnode start`, `arnode head "
            f"--working > {name}` writes one; --folder names another folder",
        ) from fault
    except OSError as fault:
        raise UsageError(
            f"{folder / name} cannot be read: {(fault.strerror or 'refused').lower()}",
            "check that it is a file that you may read",
        ) from fault
