"""An importer of pi-autoresearch's sessions: `.auto/` with `measure.sh` and `prompt.md`.

Older sessions have flat files instead. The script prints `METRIC name=value` lines and runs
alongside the code that it measures, so the task is self-scored.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from arnode_plugins.json_text import object_in, shown_value
from node.exchange.importers import HistoryReader, Importer, Option, TaskReader
from node.store.imported_rows import ImportedLog, ImportedRow, RowReader, Segment, lines_of
from protocol.errors import ConfigurationError
from trainer.host.folder_files import FolderFile, check_inside, find_file
from trainer.importing.dependencies import toolchains_of
from trainer.importing.draft import TaskDraft, safe_figure
from trainer.importing.holdout import held_out_files, is_within
from trainer.importing.reading import System, other_files, read_text, text_in
from trainer.importing.self_scored import (
    COMMAND_SCRIPT,
    MOST_EDITABLE,
    Direction,
    SelfScored,
)

SYSTEM: Final = System(
    "pi-autoresearch",
    "name the project's folder: it holds .auto/measure.sh, which prints METRIC name=value lines,"
    " and .auto/prompt.md (or autoresearch.sh and autoresearch.md)",
)
_FOLDER: Final = ".auto"
_VISIBLE: Final = "auto"  # replaces `.auto`, since a task has no hidden files
_NAMES: Final = {  # the names of a session's files: in the folder, and flat in older sessions
    "measure": ("measure.sh", "autoresearch.sh"),
    "checks": ("checks.sh", "autoresearch.checks.sh"),
    "prompt": ("prompt.md", "autoresearch.md"),
    "log": ("log.jsonl", "autoresearch.jsonl"),
    "config": ("config.json", "autoresearch.config.json"),
}
_LIMIT_S: Final = 600
_PRIMARY: Final = re.compile(r"\*\*Primary\*\*:?\s*`?([\w.µ]+)`?\s*(?:\(([^)]*)\))?")
_SCOPE: Final = re.compile(
    r"^##+ *Files in scope[^\n]*\n(.*?)(?=^##|\Z)", re.IGNORECASE | re.MULTILINE | re.DOTALL
)
_TRUST: Final = (
    "To make it a trusted task, let the program print its answer for an instance that judge.py"
    " makes, let check(instance, answer) compute the metric from it, and take times from the node"
    " (wall_s, cpu_s) instead of from the script."
)


@dataclass(frozen=True, slots=True)
class _Metric:
    reported_name: str
    unit: str
    direction: Direction


def read_task(folder: Path, *, holdout: Path | None = None) -> TaskDraft:
    """Return the task of a session.

    `holdout` is a folder of files that replace visible files when a candidate is judged. Raises
    ConfigurationError if the folder is not a session of pi-autoresearch, and UsageError if
    `held_out_files` rejects the holdout.
    """
    SYSTEM.check(folder)
    root = _working_folder(folder)
    measure = _session_file(root, "measure")
    if measure is None:
        raise SYSTEM.missing(folder, "there is neither .auto/measure.sh nor autoresearch.sh")
    prompt_path = _session_file(root, "prompt")
    prompt = read_text(prompt_path) if prompt_path else ""
    metric = _metric(folder, root, prompt)
    editable = _in_scope(root, prompt)
    scripts = {_task_path(measure): measure}
    checks = _session_file(root, "checks")
    if checks:
        scripts[_task_path(checks)] = checks
    own = {*editable, *(flat for _, flat in _NAMES.values())}
    figure = safe_figure(metric.reported_name)
    others = other_files(root, without=own)
    files = {name: one for name, one in others.items() if not is_within(one.path, holdout)}
    held_out = {} if holdout is None else held_out_files(holdout, files, editable)
    return SelfScored(
        system=SYSTEM.name,
        name=root.resolve().name,
        title=_title(prompt) or f"{root.resolve().name}: {metric.reported_name}",
        script=COMMAND_SCRIPT,
        settings={
            "COMMAND": f"bash {_task_path(measure)}",
            "CHECKS": f"bash {_task_path(checks)}" if checks else "",
            "REPORTED": metric.reported_name,
            "IS_MARKED": True,
        },
        editable=editable,
        files={**files, **scripts},
        holdout=held_out,
        metric=figure,
        unit=metric.unit,
        direction=metric.direction,
        limit_s=_LIMIT_S,
        toolchains=toolchains_of((), scripts.values()),
        description=f"## The session's own words\n\n{prompt.strip()}" if prompt.strip() else "",
        trust=_TRUST,
        notes=(f"the script may take {_LIMIT_S} s: limit_s in task.toml",),
    ).draft()


def _working_folder(folder: Path) -> Path:
    """Return the session's working folder, which its configuration may name.

    Raises ConfigurationError if it is not a folder, or is outside the session's folder.
    """
    path = _session_file(folder, "config")
    if path is None:
        return folder
    try:
        value = json.loads(read_text(path))
    except ValueError as error:
        raise ConfigurationError(f"{path}: not JSON: {error}", "fix the file") from error
    named = text_in(value, "workingDir") if isinstance(value, dict) else ""
    if not named:
        return folder
    # A session may work anywhere, but only the folder that the user named is imported.
    check_inside(folder, named)
    root = folder / named
    if not root.is_dir():
        raise ConfigurationError(f"{path}: workingDir {named!r} is not a folder", "name a folder")
    return root


def _session_file(root: Path, kind: str) -> FolderFile | None:
    """Return a session's file, if it exists; flat files count only without a folder `.auto`."""
    current, flat = _NAMES[kind]
    find_file(root, _FOLDER)  # raises for a link that leads out of the folder
    return find_file(root, f"{_FOLDER}/{current}" if (root / _FOLDER).is_dir() else flat)


def _task_path(file: FolderFile) -> str:
    is_hidden = file.inside.startswith(f"{_FOLDER}/")
    return f"{_VISIBLE}/{file.name}" if is_hidden else file.inside


def _metric(folder: Path, root: Path, prompt: str) -> _Metric:
    """Return the metric from the last configuration in the log, else from the prompt."""
    entry = _last_configured(_session_file(root, "log"))
    found = _PRIMARY.search(prompt)
    if name := text_in(entry, "metricName"):
        unit = text_in(entry, "metricUnit")
        is_higher = entry.get("bestDirection") == "higher"
    elif found:
        name, note = found[1], found[2] or ""
        unit = note.split(",")[0].strip() if "," in note else ""
        is_higher = "higher" in note.lower()
    else:
        raise SYSTEM.missing(
            folder, "neither log.jsonl nor prompt.md's **Primary** says which metric is measured"
        )
    return _Metric(name, unit or name, "max" if is_higher else "min")


def _last_configured(log: FolderFile | None) -> Mapping[str, object]:
    entry: Mapping[str, object] = {}
    for line in read_text(log).split("\n") if log else ():
        try:
            value = json.loads(line)
        except ValueError:
            continue  # a line that was cut off
        if isinstance(value, dict) and value.get("type") == "config":
            entry = value
    return entry


def _in_scope(root: Path, prompt: str) -> dict[str, FolderFile]:
    """Return the existing files that the prompt's section `Files in Scope` names.

    Raises ConfigurationError if there are none or too many.
    """
    section = _SCOPE.search(prompt)
    section_text = section[1] if section else ""
    words = [
        *re.findall(r"`([^`\n]+)`", section_text),
        *re.findall(r"[\w./+-]+\.\w+", section_text),
    ]
    names = list(dict.fromkeys(word.removeprefix("./") for word in words))
    there = {
        name: file
        for name in names
        if not name.startswith(_FOLDER) and (root / name).exists()
        if (file := find_file(root, name)) is not None
    }
    if not 1 <= len(there) <= MOST_EDITABLE:
        raise SYSTEM.missing(
            root,
            f"prompt.md's section `Files in Scope` names {len(there)} existing files,"
            f" and a task has 1 to {MOST_EDITABLE}",
        )
    return there


def _title(prompt: str) -> str:
    found = re.search(r"^# *(?:Autoresearch: *)?([^\n]+)", prompt, re.MULTILINE)
    return found[1].strip() if found else ""


# Histories


def read_history(data: bytes) -> ImportedLog:
    """Return the runs of a log.jsonl; no rows if there are none.

    Its lines are

    - {type: "config", metricName, bestDirection}, which begins a segment, or replaces the last
      segment if that has no run yet;
    - {run, commit, metric, status, description, …}, a run;
    - {type: "hook"}, which gives no row.
    """
    book, segments = RowReader(), [Segment(metric="metric", direction="min")]
    is_used = False
    for raw, text in lines_of(data):
        value = object_in(text)
        if not text.strip() or (value is not None and value.get("type") == "hook"):
            book.append_raw(raw)
        elif value is not None and value.get("type") == "config":
            book.append_raw(raw)
            segment = _configured(value, segments[-1])
            segments = [*(segments if is_used else segments[:-1]), segment]
            is_used = False
        elif value is not None and "metric" in value and value.get("type", "run") == "run":
            is_used = True
            book.rows.append(
                ImportedRow(
                    label=shown_value(value.get("commit", "")),
                    metric=shown_value(value["metric"]),
                    status=shown_value(value.get("status", "")),
                    description=shown_value(value.get("description", "")),
                    raw=raw,
                    segment=len(segments) - 1,
                )
            )
        else:
            book.append_text(raw, text, segment=len(segments) - 1)
    return book.log("pi-autoresearch", segments)


def _configured(value: dict[str, object], before: Segment) -> Segment:
    """Return the segment that a configuration begins; missing fields are copied from `before`."""
    names: dict[object, Direction] = {"higher": "max", "lower": "min"}
    wanted = value.get("bestDirection")
    return Segment(
        metric=shown_value(value.get("metricName", before.metric)),
        direction=names.get(wanted, before.direction) if isinstance(wanted, str) else "min",
    )


IMPORTER: Final = Importer(
    task=TaskReader(
        summary="Import a session of pi-autoresearch, with its measure.sh, as a self-scored task.",
        read=read_task,
        options=(
            Option(
                name="holdout",
                kind=Path,
                help="A folder of files that replace the files of the same names when a candidate"
                " is judged.",
            ),
        ),
    ),
    history=HistoryReader(
        summary="""Import pi-autoresearch's log.jsonl (or autoresearch.jsonl), each segment with
        its metric.

        Unreadable lines, such as a truncated last line, are stored as text and counted.""",
        read=read_history,
        hint="its runs are JSON lines with run, metric and status",
        has_commits=True,
    ),
)
