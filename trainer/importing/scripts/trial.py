"""Runs a command once. Reports its output, the files that it opened and those it did not find."""

import os
import re
import subprocess
import time
from pathlib import Path
from typing import NoReturn

from trainer.importing.scripts.command import arguments, figure_in, last_line, unit_in
from trainer.importing.scripts.reporting import begin, hand_over, python_on_path

COMMAND = "sh measure.sh"

_TICK_S = 0.05  # longer than a tick of the kernel's clock for access times
_TAIL_CHARACTERS = 4000
_MOST_NAMES = 64
# Messages of interpreters and tools about a file that they do not find.
_MISSING = re.compile(
    r"No such file or directory: ['\"](?P<python>[^'\"\n]+)['\"]"
    r"|can't open file ['\"](?P<script>[^'\"\n]+)['\"]"
    r"|No module named ['\"](?P<module>[\w.]+)['\"]"
    r"|ENOENT: no such file or directory, \w+ ['\"](?P<node>[^'\"\n]+)['\"]"
    r"|(?:^|\s|['\"])(?P<tool>[\w./+-]+)['\"]?: (?:No such file or directory|not found)"
    r"|[Cc]annot open (?:file )?['\"]?(?P<open>[\w./+-]+)",
    re.MULTILINE,
)


def main() -> NoReturn:
    seed = begin()
    given = {path: path.stat().st_atime_ns for path in _files()}
    python_on_path()
    probe = _probe()
    time.sleep(_TICK_S)
    began_s = time.monotonic()
    ended = subprocess.run(
        arguments(COMMAND),
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "ARNODE_INSTANCE_SEED": str(seed)},
        check=False,
    )
    seconds = time.monotonic() - began_s
    output, errors = ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace")
    hand_over(
        {
            "exit": ended.returncode,
            "seconds": seconds,
            "figure": figure_in(output),
            "unit": unit_in(output),
            "line": (last_line(output) or "").strip()[:200],
            "opened": _opened(given) if _is_noticed(probe) else None,
            "is_on_stderr": figure_in(errors) is not None,
            "missing": _missing(f"{output}\n{errors}"),
            "tail": f"{output}\n{errors}".strip()[-_TAIL_CHARACTERS:],
        }
    )


def _files() -> list[Path]:
    return [Path(at, name) for at, _, names in os.walk(".") for name in names]


def _opened(given: dict[Path, int]) -> list[str]:
    """Return the files that any process has read, by their changed access times."""
    return sorted(
        path.as_posix()
        for path, before_ns in given.items()
        if path.exists() and path.stat().st_atime_ns != before_ns
    )


def _probe() -> Path:
    probe = Path(".arnode-probe")
    probe.write_text("read me")
    return probe


def _is_noticed(probe: Path) -> bool:
    """Return True if this file system updates access times; it may be mounted without them."""
    before_ns = probe.stat().st_atime_ns
    probe.read_text()
    return probe.stat().st_atime_ns != before_ns


def _missing(said: str) -> list[str]:
    names = [name for found in _MISSING.finditer(said) for name in found.groups() if name]
    return list(dict.fromkeys(names))[:_MOST_NAMES]


if __name__ == "__main__":
    main()
