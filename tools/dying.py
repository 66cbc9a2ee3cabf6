"""Helper processes of a long test that end with it, even by a kill: `python dying.py COMMAND…`."""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_SET_DEATH_SIGNAL = 1  # prctl(2)


def dying(command: Sequence[str]) -> list[str]:
    """Return a command that Linux kills when the process that started it ends."""
    return [sys.executable, "-I", "-S", __file__, *command]


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606
