"""Programs of the node's own that run as processes beside it, knowing nothing of it."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import node

_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from {} import main; main()"
BARE: Final = {"PATH": os.defpath}  # their environment


def program_command(module: str, *, flags: Sequence[str] = ("-I", "-B")) -> list[str]:
    """Return the command that runs a module's `main`, wherever it is started; arguments follow."""
    root = Path(node.__file__).resolve().parents[1]
    return [sys.executable, *flags, "-c", _START.format(module), str(root)]
