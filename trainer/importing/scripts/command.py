"""Runs a command that prints a number, then checks if there are any, and prints one line."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping

from trainer.importing.scripts.reporting import begin, fail, finish, numbers_of, python_on_path

COMMAND = "sh measure.sh"
CHECKS = ""
METRIC = "seconds"
TOLD = "seconds"  # as the command calls it
GUARDS: tuple[str, ...] = ()
DIVISOR = 1.0
IS_MARKED = False  # whether figures stand in lines of `METRIC name=value` alone
_FOR_A_SHELL = re.compile(r"[|&;<>()$`*?~{}\[\]\n]")
_NUMBER = r"[-+]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


def main() -> None:
    seed = begin()
    python_on_path()
    output = _run(COMMAND, seed)
    told = _marked(output) if IS_MARKED else {**_tabled(output), **_named(output)}
    if TOLD in told:
        told[METRIC] = told[TOLD]
    if CHECKS:
        _run(CHECKS, seed)
    finish(told, metric=METRIC, guards=GUARDS, divisor=DIVISOR)


def _run(command: str, seed: int) -> str:
    ended = subprocess.run(
        _arguments(command),
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "ARNODE_INSTANCE_SEED": str(seed)},
        check=False,
    )
    output = ended.stdout.decode(errors="replace")
    print(output, flush=True)
    if ended.returncode:
        fail(f"`{command}` ended with exit code {ended.returncode}")
    return output


def _arguments(command: str) -> list[str]:
    """Return how a command is called: without a shell where it asks for nothing of one."""
    words = shlex.split(command)
    if _FOR_A_SHELL.search(command) or words[0] not in ("python", "python3"):
        return ["sh", "-c", command]
    return [sys.executable, *words[1:]]


def _marked(output: str) -> dict[str, float]:
    """Return figures of lines `METRIC name=value`; of a name's several the last counts."""
    found = re.findall(r"^METRIC\s+([\w.µ]+)=(\S+)\s*$", output, flags=re.MULTILINE)
    return _safe({name: value for name, value in found if not value.lower().startswith("0x")})


def _named(output: str) -> dict[str, float]:
    """Return the figure of the last line that names it, else the last line that is a number."""
    name = re.escape(TOLD)
    lines = re.findall(
        rf"(?<!\w){name}\"?\s*[:=]?\s*({_NUMBER})(?!\w)", output, flags=re.IGNORECASE
    )
    if not lines:
        lines = re.findall(rf"^\s*({_NUMBER})\s*$", output, flags=re.MULTILINE)
    return _safe({TOLD: re.sub("[_,]", "", lines[-1])}) if lines else {}


def _tabled(output: str) -> dict[str, float]:
    """Return the figures of the last line that is a JSON table."""
    for line in reversed(output.splitlines()):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            return numbers_of(value)
    return {}


def _safe(texts: Mapping[str, str]) -> dict[str, float]:
    numbers: dict[object, object] = {}
    for name, text in texts.items():
        try:
            numbers[name] = float(text)
        except ValueError:
            continue
    return numbers_of(numbers)


if __name__ == "__main__":
    main()
