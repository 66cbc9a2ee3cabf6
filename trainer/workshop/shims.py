"""What stands behind a version manager's shim: pyenv, nodenv, asdf, volta and mise put one first.

A shim looks for its manager, which is not in a workshop, and ends with 127. The manager is asked
here, outside, which program it would start; the user runs it whenever the shim is run.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError

_ASK_S: Final = 20.0
_SCRIPT_BYTES: Final = 4_096
_MANAGERS: Final = ("pyenv", "nodenv", "rbenv", "asdf", "mise", "rtx")
_STARTS: Final = re.compile(rf'exec\s+"?((?:[^\s"]*/)?(?:{"|".join(_MANAGERS)}))"?\s+(?:exec|x)\b')
_VOLTA: Final = "volta-shim"
# Where it keeps what, and which version is wanted. None of them holds a key.
_OWN: Final = ("PYENV_", "NODENV_", "RBENV_", "ASDF_", "MISE_", "RTX_", "VOLTA_", "XDG_")


def behind(program: Path, *, home: Path, search_path: str) -> Path:
    """Return the program that a shim starts, any other program as it is.

    Raises ConfigurationError where the shim's manager knows none.
    """
    asking = _asking(program, search_path)
    if asking is None:
        return program
    manager = asking[0].name
    own = {name: value for name, value in os.environ.items() if name.startswith(_OWN)}
    try:
        done = subprocess.run(
            [*asking, "which", program.name],
            env={**own, "HOME": str(home), "PATH": search_path},
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ASK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise _unknown(program, manager, type(fault).__name__) from fault
    lines = done.stdout.strip().splitlines()
    found = Path(lines[-1].strip()) if lines else Path()
    if done.returncode or not found.is_absolute() or not os.access(found, os.X_OK):
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[0]
        raise _unknown(program, manager, said)
    return found


def _asking(program: Path, search_path: str) -> tuple[Path, ...] | None:
    """Return how a shim's manager is started, None of what is no shim."""
    target = program.resolve()
    if target.name == _VOLTA:
        return _found(str(target.with_name("volta")), search_path)
    if program.is_symlink():
        return (target,) if target.name in _MANAGERS and program.name != target.name else None
    try:
        with program.open("rb") as stream:
            text = stream.read(_SCRIPT_BYTES)
    except OSError:
        return None
    if not text.startswith(b"#!"):
        return None
    start = _STARTS.search(text.decode("utf-8", "replace"))
    return _found(start[1], search_path) if start else None


def _found(name: str, search_path: str) -> tuple[Path, ...]:
    found = shutil.which(name, path=search_path) or shutil.which(Path(name).name, path=search_path)
    return (Path(found or name),)


def _unknown(program: Path, manager: str, said: str) -> ConfigurationError:
    return ConfigurationError(
        f"`{program}` is a shim, and {manager} knows no program behind it: {said}",
        f"choose a version of it (`{manager} which {program.name}` is to name it), or give the "
        "program's full name in `agent_command`",
    )
