"""The `arnode` command, also when Python is given `-m node`.

It leaves the current folder before it imports anything that the folder could hold: what lies
there, a `torch.py` for example, is data to arnode and never its code. So this module imports only
what Python itself has imported before it.
"""

import os
import sys

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main() -> None:
    """Run the command line and exit."""
    leave_current_folder()
    from node.commands.cli import main as run

    run()


def leave_current_folder() -> None:
    """Take the current folder out of Python's path, unless arnode itself lies there.

    `-m` puts it first, and relative entries of `PYTHONPATH` lead into it; an empty entry is
    the folder itself. They go from the environment as well, so that no child process has them.
    """
    given = os.environ.get("PYTHONPATH")
    entries = given.split(os.pathsep) if given else []
    absolute = [entry for entry in entries if os.path.isabs(entry)]
    if given is not None:
        os.environ["PYTHONPATH"] = os.pathsep.join(absolute)  # empty is as good as not set
    try:
        here = os.getcwd()
    except FileNotFoundError:  # the folder is gone, and what was in it
        return
    if not sys.flags.safe_path and sys.path[:1] == [here] and here != _ROOT:
        del sys.path[0]
    relative = {os.path.normpath(os.path.join(here, entry)) for entry in entries} - {_ROOT}
    relative -= {*map(os.path.normpath, absolute)}
    sys.path[:] = [path for path in sys.path if path not in relative]


if __name__ == "__main__":
    main()
