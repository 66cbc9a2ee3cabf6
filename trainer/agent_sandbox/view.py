"""The files that a program in an agent sandbox can access, as mounts or as Landlock rules.

The system and the program's installation are read-only. The user's home directory contains only the
named paths: `shown` can be read, `kept` can be read and written. The program works in a worktree
and has a private `/tmp`. The node's home is never accessible, even if it was named.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import ConfigurationError
from trainer.agent_sandbox.installed import SYSTEM, Installation, is_in_any
from trainer.sandbox.landlock import DEVICE, READ, WRITE, Access, everything_but

_TEMPORARY = Path("/tmp")  # noqa: S108 -- the agent sandbox's own
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- likewise
_PROC = Path("/proc")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full")
_RANDOM = ("/dev/random", "/dev/urandom")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The accessible paths, absolute on the host.

    `shown` and `kept` lie below `home`. Only their paths may be symbolic links.
    """

    home: Path
    worktree: Path
    hidden: tuple[Path, ...]
    installed: Installation
    shown: tuple[Path, ...]
    kept: tuple[Path, ...]

    @property
    def in_memory(self) -> tuple[Path, ...]:
        """The folders that tier full keeps in memory. `home` may be inside the first, `/tmp`."""
        return (_TEMPORARY, _SHARED_MEMORY, self.home)


def nameable(path: Path, *, home: Path, hidden: Iterable[Path]) -> Path:
    """Return the absolute path of a file or folder of the user's home that may be shown or kept.

    `home` must be a path without links. Raises ConfigurationError for a path outside the home, or
    one that would give access to the whole home or to a hidden folder.
    """
    name = Path(os.path.normpath(path))
    real = name.resolve()
    fault = ""
    if not is_in_any(name, [home]) or name == home:
        fault = "is not a folder in your home"
    elif real == home or real in home.parents:
        fault = "leads to your whole home"
    if fault:
        raise ConfigurationError(
            f"{path} {fault}, so no command may use it", "name folders beneath `~/`, one by one"
        )
    for secret in (folder.resolve() for folder in hidden):
        if is_in_any(real, [secret]) or is_in_any(secret, [real]):
            raise ConfigurationError(
                f"{path} is, holds or is inside the node's home {secret}, so no command may use it",
                "name another folder, or move ARNODE_HOME",
            )
    return name


def bubblewrap_arguments(view: View, scratch_bytes: int) -> list[str]:
    """Return bubblewrap's arguments for the mounts and namespaces of tier full."""
    arguments = [
        "--unshare-all", "--share-net", "--unshare-user", "--disable-userns", "--die-with-parent",
        "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox",
    ]  # fmt: skip
    # In an agent sandbox of root's node, root inside is also root to the kernel, which owns
    # /proc/sys. So /proc is read-only. Process 1 is the agent sandbox's own.
    arguments += ["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]
    for path in SYSTEM:
        arguments += ["--ro-bind-try", str(path), str(path)]
    for folder in view.in_memory:
        arguments += ["--size", str(scratch_bytes), "--tmpfs", str(folder)]
    for path in view.installed.paths:
        arguments += ["--ro-bind", str(path), str(path)]
    for link, target in view.installed.links:
        if link not in view.in_memory:
            arguments += ["--symlink", str(target), str(link)]
    for path in sorted(view.kept):
        arguments += ["--bind", str(path.resolve()), str(path)]
    for path in sorted(view.shown):
        arguments += ["--ro-bind", str(path.resolve()), str(path)]
    for folder in (path.resolve() for path in view.hidden if path.exists()):
        if is_in_any(folder, (*SYSTEM, *view.installed.paths)):
            arguments += ["--tmpfs", str(folder)]
    arguments += ["--bind", str(view.worktree), str(view.worktree)]
    # `/` and `/dev` are writable without limit unless they are made read-only last.
    return [*arguments, "--chdir", str(view.worktree), "--remount-ro", "/dev", "--remount-ro", "/"]


def landlock_rules(view: View, *, home: Path, temporary: Path) -> dict[Path, Access]:
    """Return the rules for the tiers without namespaces, with links in their paths resolved.

    `home` and `temporary` are the agent sandbox's own folders.
    """
    rules = dict.fromkeys((_PROC, *map(Path, _RANDOM)), READ)
    for path in filter(Path.exists, SYSTEM):
        closed = (*view.hidden, view.home)
        rules |= everything_but(closed, beneath=path.resolve(), access=READ)
    for path in view.installed.paths:
        rules |= everything_but(view.hidden, beneath=path, access=READ)
    rules |= dict.fromkeys((path.resolve() for path in view.shown), READ)
    kept = [path.resolve() for path in view.kept]
    rules |= dict.fromkeys((view.worktree, home, temporary, *kept), WRITE)
    return rules | dict.fromkeys(map(Path, _DEVICES), DEVICE)


def link_into(home: Path, view: View) -> None:
    """Link the shown and kept paths into the sandbox's own home, at the same relative paths."""
    named: Sequence[Path] = sorted({*view.shown, *view.kept})
    for path in named:
        if not any(parent in named for parent in path.parents):
            link = home / path.relative_to(view.home)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
