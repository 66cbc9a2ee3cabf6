"""Runs a command that prints a number, then any checks, and prints the figures as JSON."""

import json
import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

from trainer.importing.scripts.reporting import begin, fail, finish, numbers_of, python_on_path

COMMAND = "sh measure.sh"
CHECKS = ""
METRIC = "seconds"
REPORTED = "seconds"  # the name that the command prints for the metric
UNIT = ""  # other units of time (or size) are converted to this one; empty: no conversion
GUARDS: tuple[str, ...] = ()
DIVISOR = 1.0
IS_MARKED = False  # True to read figures only from lines of text `METRIC name=value`

_SECONDS = {
    "ns": 1e-9, "nanoseconds": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "usec": 1e-6,
    "microseconds": 1e-6, "ms": 1e-3, "msec": 1e-3, "milliseconds": 1e-3, "s": 1.0, "sec": 1.0,
    "secs": 1.0, "second": 1.0, "seconds": 1.0, "min": 60.0, "mins": 60.0, "minute": 60.0,
    "minutes": 60.0, "h": 3600.0, "hr": 3600.0, "hrs": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "day": 86400.0, "days": 86400.0,
}  # fmt: skip
_BYTES = {
    "B": 1.0, "bytes": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
    "byte": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40,
}  # fmt: skip
_UNITS = {
    **{name: ("time", size) for name, size in _SECONDS.items()},
    **{name: ("size", size) for name, size in _BYTES.items()},
    **dict.fromkeys(("%", "percent"), ("percent", 1.0)),
    **dict.fromkeys(("x", "X", "×"), ("factor", 1.0)),
}
_THOUSANDS = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}

_FOR_A_SHELL = re.compile(r"[|&;<>()$`*?~{}\[\]\n]")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_COMMAS = r"\d{1,3}(?:,\d{3})+\.\d+|\d{1,3}(?:,\d{3}){2,}"  # not 1,234: it may mean 1.234
_NUMBER = rf"[-+]?(?:{_COMMAS}|\d+(?:_\d+)*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_UNIT = "|".join(sorted((*_UNITS, *_THOUSANDS), key=len, reverse=True))
_FIGURE = re.compile(rf"({_NUMBER})(?: ?({_UNIT})(?![\w/%]))?")
# A unit that is the numerator of a rate: `12.5 ms/step`, `5 KB/s`.
_RATE = re.compile(rf" ?(?:{_UNIT}) ?/")
_END = re.compile(r"$|\.?(?=$|\s)|[\s,;|)\]}\"']")
# A second number, which makes the figure ambiguous: `0.4 0.5`, `0.4 ± 0.1`, `0.4 -> 0.3`.
_ANOTHER = re.compile(r"(?:\W|(?:to|of|vs|or|and|then|from|versus)\b)*\d")
_ALONE = re.compile(rf"{_FIGURE.pattern}|[-+]?(?:nan|inf\w*|none|null)", re.IGNORECASE)
# Words that programs print instead of a number, or the beginnings of these words.
_NO_NUMBERS = (
    "nan", "inf", "none", "null", "fail", "error", "n/a", "undefined", "timeout", "timed out",
    "crash", "diverge", "invalid",
)  # fmt: skip


def main() -> None:
    seed = begin()
    python_on_path()
    output = _run(COMMAND, seed)
    figures = _marked(output) if IS_MARKED else {**_tabled(output), **_named(output)}
    if REPORTED not in figures:
        line = _marked_line(output) if IS_MARKED else last_line(output)
        fail(
            f"no line of the output reports {REPORTED}"
            if line is None
            else f"cannot read {REPORTED} from {line.strip()[:200]!r}"
        )
    figures[METRIC] = figures[REPORTED]
    if CHECKS:
        _run(CHECKS, seed)
    finish(figures, metric=METRIC, guards=GUARDS, divisor=DIVISOR)


def _run(command: str, seed: int) -> str:
    ended = subprocess.run(
        arguments(command),
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "ARNODE_INSTANCE_SEED": str(seed)},
        check=False,
    )
    output = ended.stdout.decode(errors="replace")
    print(output, flush=True)
    if ended.returncode:
        fail(f"`{command}` failed with exit code {ended.returncode}")
    return output


def arguments(command: str) -> list[str]:
    """Return the arguments that run a command, with a shell only if the command needs it."""
    words = shlex.split(command)
    if _FOR_A_SHELL.search(command) or words[0] not in ("python", "python3"):
        return ["sh", "-c", command]
    return [sys.executable, *words[1:]]


def _marked(output: str) -> dict[str, float]:
    """Return the figures in lines of text `METRIC name=value`, the last one for each name."""
    found = dict(re.findall(r"^METRIC\s+([\w.µ]+)=(.*)$", output, flags=re.MULTILINE))
    numbers: dict[object, object] = {}
    for name, text in found.items():
        if re.fullmatch(_NUMBER, text.strip()) and "," not in text:
            numbers[name] = float(text)
    return numbers_of(numbers)


def _marked_line(output: str) -> str | None:
    """Return the last line of text `METRIC name=value` that names the figure."""
    lines = re.findall(rf"^METRIC\s+{re.escape(REPORTED)}=.*$", output, flags=re.MULTILINE)
    return lines[-1] if lines else None


def _named(output: str) -> dict[str, float]:
    """Return the figure from the last line that names it, empty without exactly one figure."""
    line = last_line(output)
    figures = set() if line is None else set(_figures(line))
    figure = figures.pop() if len(figures) == 1 else None
    return {} if figure is None else {REPORTED: figure}


def _tabled(output: str) -> dict[str, float]:
    """Return the other figures from the last line that is a JSON object."""
    for line in reversed(output.splitlines()):
        table = _table(line)
        if table is not None:
            return {name: value for name, value in numbers_of(table).items() if name != REPORTED}
    return {}


def last_line(output: str) -> str | None:
    """Return the last line of the output that names the figure.

    If no line does, return the last line that consists only of a number or of a word such as "nan".
    """
    lines = re.split(r"[\r\n]+", _COLOURS.sub("", output))
    naming = [line for line in lines if any(True for _ in _texts(line))]
    alone = [line for line in lines if _ALONE.fullmatch(line.strip())]
    return next(reversed(naming or alone), None)


def figure_in(output: str) -> float | None:
    """Return the figure in an output, None if it cannot be read."""
    return {**_tabled(output), **_named(output)}.get(REPORTED)


def unit_in(output: str) -> str:
    """Return the unit of the figure in an output, "" without a known unit."""
    line = last_line(output)
    if line is None or _table(line) is not None:
        return ""
    texts = list(_texts(line)) or [line.strip()]
    found = _FIGURE.match(texts[-1])
    return found[2] if found and found[2] in _UNITS else ""


def is_unit(text: str) -> bool:
    """Return True if figures can be converted from and to this unit."""
    return text in _UNITS


def in_unit(number: float, unit: str | None, wanted: str) -> float | None:
    """Convert a figure to the unit `wanted`; return None if the units measure different quantities.

    Without a unit, or without a wanted unit, the figure is returned unchanged.
    """
    if not unit or not wanted or unit == wanted:
        return number
    (kind, size), (wanted_kind, divisor) = (_UNITS.get(one, ("", 1.0)) for one in (unit, wanted))
    return number * size / divisor if kind and kind == wanted_kind else None


def _figures(line: str) -> Iterator[float | None]:
    """Yield the figures in a line of text, None for a figure that cannot be read."""
    table = _table(line)
    if table is not None and REPORTED in table:
        yield numbers_of({REPORTED: table[REPORTED]}).get(REPORTED)
        return
    for text in list(_texts(line)) or [line.strip()]:
        yield _figure(text)


def _texts(line: str) -> Iterator[str]:
    """Yield the text after each mention of the figure's name in a line of text."""
    words = "|".join(_NO_NUMBERS)
    # The name may be quoted or marked: `"score": 1`, `{'score': nan}`, `**score**: 1`.
    behind = rf"[\"'`*]{{0,3}}(?:\s*[:=]\s*|\s+is\s+|\s+(?=[-+.\d]|(?:{words})))"
    for found in re.finditer(rf"(?<!\w){re.escape(REPORTED)}{behind}", line, flags=re.IGNORECASE):
        yield line[found.end() :]


def _figure(text: str) -> float | None:
    """Return the number at the start of a text, converted to `UNIT`; None if it is ambiguous."""
    found = _FIGURE.match(text)
    if found is None or _RATE.match(text, found.end(1)):
        return None
    if not _END.match(text, found.end()) or _ANOTHER.match(text, found.end()):
        return None
    number, unit = float(re.sub("[_,]", "", found[1])), found[2]
    if not number and re.match(r"\D*[0._]*[1-9]", found[1]):
        return None  # a number that is too small for a float
    if unit in _THOUSANDS:
        number, unit = number * _THOUSANDS[unit], None
    number_here = in_unit(number, unit, UNIT)
    return number_here if number_here is not None and math.isfinite(number_here) else None


def _table(line: str) -> dict[object, object] | None:
    """Return the JSON object in a line of text, None for any other line."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


if __name__ == "__main__":
    main()
