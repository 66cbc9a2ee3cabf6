"""Reads what other tools wrote about their experiments: results.tsv, log.jsonl, at-home records.

All of it is somebody's unsigned word. Each row keeps its text as it came, so that it can be given
back without loss; the figures are read only to be shown. A crash is written as a metric of 0
there, which never counts.

    autoresearch     TSV: commit, metric, memory_gb, status, description
    pi-autoresearch  JSON lines: {type: "config", metricName, bestDirection}, then {run, commit,
                     metric, status, description, …}
    at-home          JSON, a list of it, or lines of it: {agent_id, val_bpb, memory_gb, status,
                     commit, description, train_py, …}
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from protocol.errors import UsageError

Form: TypeAlias = Literal["autoresearch", "pi-autoresearch", "at-home"]

FORMS: tuple[Form, ...] = ("autoresearch", "pi-autoresearch", "at-home")
MAX_LOG_BYTES = 64 << 20
_COLUMNS = 5
_MAX_SHOWN = 600
_LINE = re.compile(r"[^\n]*\n|[^\n]+")  # splitlines would also split at what a description holds


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRow:
    """One experiment as another tool wrote it; `label` is its commit or agent's name for it."""

    label: str
    metric: str
    memory_gb: str
    status: str
    description: str
    raw: str
    source: bytes | None = None

    @property
    def value(self) -> float | None:
        """The metric as a number; None for a crash, whatever stands there."""
        number = _number(self.metric)
        return None if self.status == "crash" or number == 0 else number


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignLog:
    """What one file holds. `header` is the text before the first row, as it came."""

    form: Form
    metric: str
    direction: Literal["min", "max"]
    header: str
    rows: tuple[ForeignRow, ...]

    @property
    def text(self) -> str:
        """The file as it came."""
        return self.header + "".join(row.raw for row in self.rows)


def read_log(form: Form, data: bytes, name: str) -> ForeignLog:
    """Return what a file of this form holds; raises UsageError naming the line that is wrong."""
    if len(data) > MAX_LOG_BYTES:
        raise UsageError(f"{name} is larger than {MAX_LOG_BYTES >> 20} MB", "import a part of it")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as bad:
        raise UsageError(f"{name} is not UTF-8 at byte {bad.start}", "save it as UTF-8") from bad
    match form:
        case "autoresearch":
            log = _read_table(text, name)
        case "pi-autoresearch":
            log = _read_lines(text, name)
        case "at-home":
            log = _read_records(text, name)
    if not log.rows:
        raise UsageError(f"{name} holds no experiment", f"give a file that {form} wrote")
    return log


def _read_table(text: str, name: str) -> ForeignLog:
    lines = _LINE.findall(text)
    columns = lines[0].rstrip("\r\n").split("\t") if lines else []
    if len(columns) != _COLUMNS or columns[0] != "commit" or columns[3] != "status":
        raise UsageError(
            f"{name} is not autoresearch's results.tsv",
            "its first line is: commit, the metric, memory_gb, status, description (tabs between)",
        )
    book = _Book(header=lines[0])
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            book.append_text(line)
            continue
        fields = line.rstrip("\r\n").split("\t", _COLUMNS - 1)
        if len(fields) != _COLUMNS or _number(fields[1]) is None:
            raise UsageError(
                f"{name}, line {number}: not commit, number, memory_gb, status, description",
                "mend or remove that line",
            )
        commit, metric, memory, status, description = fields
        book.rows.append(
            ForeignRow(
                label=commit,
                metric=metric,
                memory_gb=memory,
                status=status.strip(),
                description=description,
                raw=line,
            )
        )
    # Fewer bits per byte, a smaller loss: autoresearch minimises.
    return ForeignLog(
        form="autoresearch",
        metric=columns[1],
        direction="min",
        header=book.header,
        rows=tuple(book.rows),
    )


def _read_lines(text: str, name: str) -> ForeignLog:
    metric, direction = "metric", "min"
    book = _Book()
    for number, line, value in _json_lines(text, name):
        if value is None:
            book.append_text(line)
            continue
        if value.get("type") == "config":
            metric = str(value.get("metricName", metric))
            direction = "max" if value.get("bestDirection") == "higher" else "min"
            book.append_text(line)
            continue
        if "metric" not in value or "status" not in value:
            raise UsageError(
                f"{name}, line {number}: neither a configuration nor a run",
                "a run has metric and status",
            )
        book.rows.append(
            ForeignRow(
                label=str(value.get("commit", "")),
                metric=_shown(value["metric"]),
                memory_gb="",
                status=str(value["status"]),
                description=str(value.get("description", ""))[:_MAX_SHOWN],
                raw=line,
            )
        )
    return ForeignLog(
        form="pi-autoresearch",
        metric=metric,
        direction="max" if direction == "max" else "min",
        header=book.header,
        rows=tuple(book.rows),
    )


def _read_records(text: str, name: str) -> ForeignLog:
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        found = [(line, value) for _, line, value in _json_lines(text, name) if value is not None]
    else:
        some = whole if isinstance(whole, list) else [whole]
        if not all(isinstance(one, dict) for one in some):
            raise UsageError(f"{name} is not at-home records", "each is a JSON object")
        found = [(json.dumps(one) + "\n", one) for one in some]
    rows: list[ForeignRow] = []
    for raw, value in found:
        if "val_bpb" not in value or "status" not in value:
            raise UsageError(
                f"{name}: record {len(rows) + 1} has no val_bpb or no status",
                "give records of at-home's results",
            )
        source = value.get("train_py")
        label = f"{value.get('agent_id', '')} {value.get('commit') or ''}".strip()
        rows.append(
            ForeignRow(
                label=label,
                metric=_shown(value["val_bpb"]),
                memory_gb=_shown(value.get("memory_gb", "")),
                status=str(value["status"]),
                description=str(value.get("description", ""))[:_MAX_SHOWN],
                raw=raw,
                source=source.encode("utf-8", "replace") if isinstance(source, str) else None,
            )
        )
    return ForeignLog(
        form="at-home", metric="val_bpb", direction="min", header="", rows=tuple(rows)
    )


def _json_lines(text: str, name: str) -> Iterator[tuple[int, str, dict[str, object] | None]]:
    """Yield number, text and object of each line; None for the object of a blank one."""
    for number, line in enumerate(_LINE.findall(text), 1):
        if not line.strip():
            yield number, line, None
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise UsageError(
                f"{name}, line {number}: not a JSON object", "mend or remove that line"
            )
        yield number, line, value


@dataclass
class _Book:
    """Rows as they are read; text between them belongs to the row before, or to the header."""

    header: str = ""
    rows: list[ForeignRow] = field(default_factory=list)

    def append_text(self, text: str) -> None:
        if self.rows:
            self.rows[-1] = replace(self.rows[-1], raw=self.rows[-1].raw + text)
        else:
            self.header += text


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
