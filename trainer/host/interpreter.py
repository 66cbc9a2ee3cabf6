"""Commands that start a Python that is isolated from the current folder.

With `-m` or `-c` Python looks for modules in the current folder first. It also looks in the folders
of `PYTHONPATH`, where a relative entry means the current folder too. A `torch.py` there would run
with the user's rights, outside every sandbox. So all of arnode's code that starts a Python uses
these commands (`tests/test_child_pythons.py`). Only programs inside a sandbox use other commands.
"""

import sys
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[2]
# Imported modules stay alive; garbage collection during imports would take a sixth of the time.
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
    """Return the command that runs a module's `main` from any folder; arguments follow.

    The module comes from the same installation as this one, even if that is not on Python's path.
    """
    return [*python_command(*flags), "-c", _START.format(module), str(_ROOT)]
