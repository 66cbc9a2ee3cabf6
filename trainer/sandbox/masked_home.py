"""A sandbox for the node's helper processes: they can read installed files, and write nothing.

The network process, the model's worker, the inspector and other helpers need files, and some need a
network. They do not need the signing key, writable files or Unix sockets of this machine.
`with_masked_home` shows them empty folders in place of the node's home, `/tmp`, `/var/tmp` and
`/run`. Tier full does that with mounts. In every tier `python masked_home.py RESTRICTIONS COMMAND…`
then restricts itself as far as the kernel can (capabilities, Landlock, a system-call filter) before
it becomes the command.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

# Other programs keep sockets, pipes and log-ins there.
_SHARED: Final = (Path("/tmp"), Path("/var/tmp"), Path("/run"))  # noqa: S108 -- emptied, not used
_NAME_SERVERS: Final = Path("/etc/resolv.conf")  # often a link into /run
_NULL: Final = Path("/dev/null")
_ROOT: Final = Path(__file__).resolve().parents[2]


def with_masked_home(
    command: Sequence[str], *, hidden: Sequence[Path], is_networked: bool
) -> list[str]:
    """Return the command that runs `command` without access to the `hidden` folders.

    It can write no file. Raises SafetyError if there is no sandbox.
    """
    from protocol.errors import SafetyError
    from trainer.host.interpreter import python_command
    from trainer.sandbox.seccomp import networked_program
    from trainer.sandbox.tier import probe_tier

    tier = probe_tier()
    if tier.name == "none":
        raise SafetyError(f"no sandbox: {tier.detail}", tier.hint)
    is_full = tier.name == "full"
    networked_program(is_confined=not is_full, is_networked=is_networked)  # raises without a table
    closed = [path.resolve() for path in hidden if path.exists()]
    emptied = sorted({path.resolve() for path in _SHARED if path.is_dir()})
    shown = sorted(set(_needed(emptied, closed)))
    restrictions = {
        "closed": [*map(str, closed)],
        "emptied": [*map(str, emptied)],
        "shown": [*map(str, shown)],
        "is_networked": is_networked,
        "is_full": is_full,
    }
    inner = [*python_command("-S", "-B"), __file__, json.dumps(restrictions), *command]
    if not is_full:
        return inner
    return [*_bubblewrap(closed, emptied, shown, is_networked=is_networked), *inner]


def _needed(emptied: Sequence[Path], closed: Sequence[Path]) -> Iterator[Path]:
    """Yield the paths in emptied folders that a program needs: installed files, name servers."""
    servers = _NAME_SERVERS.resolve()
    named = [*map(Path, (sys.prefix, sys.base_prefix, *sys.path)), _ROOT, *_links(sys.executable)]
    named += [servers if servers.parent in emptied else servers.parent]
    for path in named:
        is_within = any(folder in path.parents for folder in emptied)
        if is_within and path.exists() and not any(path.is_relative_to(one) for one in closed):
            yield path


def _links(program: str) -> Iterator[Path]:
    """Yield a program's path and the symbolic links that it leads through."""
    path = Path(program)
    yield path
    while path.is_symlink():
        path = Path(os.path.normpath(path.parent / path.readlink()))
        yield path


def _bubblewrap(
    closed: Iterable[Path], emptied: Iterable[Path], shown: Iterable[Path], *, is_networked: bool
) -> list[str]:
    arguments = ["bwrap", "--unshare-all", *(["--share-net"] if is_networked else [])]
    arguments += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    # If the node runs as root, so does the helper, and root may write to /proc/sys.
    arguments += ["--ro-bind", "/", "/", "--proc", "/proc", "--remount-ro", "/proc"]
    arguments += ["--dev", "/dev", "--remount-ro", "/dev"]
    for path in emptied:
        arguments += ["--size", "4096", "--tmpfs", str(path)]
    for path in shown:
        arguments += ["--ro-bind", str(path), str(path)]
    for path in closed:
        arguments += ["--size", "4096", "--tmpfs", str(path)]
    for path in (*closed, *emptied):
        arguments += ["--remount-ro", str(path)]
    return [*arguments, "--"]


def main() -> None:
    """Give up every right that the restrictions do not allow, and become the command."""
    restrictions, *command = sys.argv[1:]
    _restrict_self(**json.loads(restrictions))
    os.execvp(command[0], command)  # noqa: S606


def _restrict_self(
    *, closed: list[str], emptied: list[str], shown: list[str], is_networked: bool, is_full: bool
) -> None:
    from trainer.sandbox.inside.landlock import landlock_abi
    from trainer.sandbox.inside.restrictions import (
        forbid_new_privileges,
        keep_capabilities,
        load_filter,
    )
    from trainer.sandbox.landlock import DEVICE, READ, everything_but, restrict_self
    from trainer.sandbox.seccomp import networked_program, unaltered_program

    keep_capabilities()
    forbid_new_privileges()
    abi = landlock_abi()
    if is_full and abi:  # mounts hide the folders, but leave named pipes writable
        restrict_self({Path("/"): READ, _NULL: DEVICE}, is_networked=is_networked)
    elif not is_full:
        hidden = [*map(Path, closed)]
        rules = everything_but([*hidden, *map(Path, emptied)], access=READ) | {_NULL: DEVICE}
        for path in map(Path, shown):
            rules |= everything_but(hidden, beneath=path, access=READ)
        restrict_self(rules, is_networked=is_networked)
        load_filter(unaltered_program(abi))
    load_filter(networked_program(is_confined=not is_full, is_networked=is_networked))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
