"""The `arnode` command, which is also the module `node`.

Before any other import it removes the current folder from Python's path. Files there, such as a
`torch.py`, are data and never arnode's code. So this module imports only what Python itself has
already imported.
"""

import os
import sys

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main() -> None:
    """Run the command line and exit."""
    try:
        leave_current_folder()
        _run()
    except KeyboardInterrupt:  # before the command line could report it, or after it ended
        os.write(2, b"arnode: interrupted\n")
        sys.exit(130)


def _run() -> None:
    from node.commands.signals import install_signal_handlers, remove_signal_handlers

    try:
        install_signal_handlers()
        from node.commands.cli import main as run

        run()
    finally:
        remove_signal_handlers()


def leave_current_folder() -> None:
    """Remove the current folder from Python's path, unless arnode itself is there.

    Python's option `-m` puts the current folder first. A relative entry of `PYTHONPATH` leads into
    it, and an empty entry means the folder itself. These entries are removed from the environment
    as well, so that child processes do not inherit them.
    """
    given = os.environ.get("PYTHONPATH")
    entries = given.split(os.pathsep) if given else []
    absolute = [entry for entry in entries if os.path.isabs(entry)]
    if given is not None:
        os.environ["PYTHONPATH"] = os.pathsep.join(absolute)  # empty has the same effect as unset
    try:
        here = os.getcwd()
    except FileNotFoundError:  # the folder was deleted
        return
    if not sys.flags.safe_path and sys.path[:1] == [here] and here != _ROOT:
        del sys.path[0]
    relative = {os.path.normpath(os.path.join(here, entry)) for entry in entries} - {_ROOT}
    relative -= {*map(os.path.normpath, absolute)}
    sys.path[:] = [path for path in sys.path if path not in relative]


if __name__ == "__main__":
    main()
