"""How arnode starts a Python of its own: isolated, whatever the current folder holds.

Python looks for modules in the current folder first when it is given `-m` or `-c`, and in the
folders of `PYTHONPATH`, whose relative entries mean the current folder too. A `torch.py` there
would run with the user's rights, outside of every sandbox. Everything that starts a Python of
arnode's takes its command from here (`tests/test_child_pythons.py`). What runs inside a sandbox has
commands of its own.
"""

import sys
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[2]
# Nothing that is imported goes away: to look for garbage meanwhile is a sixth of the work.
_START: Final = (
    "import gc, sys; gc.disable(); sys.path.insert(0, sys.argv.pop(1)); "
    "from {} import main; gc.freeze(); gc.enable(); main()"
)


def python_command(*flags: str) -> list[str]:
    """Return the command of an isolated Python; a script, `-c` or `-m` follows.

    `-I` leaves out the current folder, the script's folder, the user's packages and all `PYTHON…`
    variables.
    """
    return [sys.executable, "-I", *flags]


def program_command(module: str, *, flags: tuple[str, ...] = ("-B",)) -> list[str]:
    """Return the command that runs a module's `main`, wherever it is started; arguments follow.

    The module comes from the same installation as this one, also if that is not on Python's path.
    """
    return [*python_command(*flags), "-c", _START.format(module), str(_ROOT)]
