"""What a program in a workshop sees of the machine, as bubblewrap's mounts or as Landlock's rules.

Read-only: the system and the program's own installation. The user's home is empty but for what
was named: `shown` to be read, `kept` to be read and written. A worktree to work in, a private
`/tmp`. The node's home is in none of it, whatever was named.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import ConfigurationError
from trainer.sandbox.landlock import DEVICE, READ, WRITE, Access, everything_but
from trainer.workshop.installed import SYSTEM, Installation, is_in_any

_TEMPORARY = Path("/tmp")  # noqa: S108 -- the workshop's own
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- likewise
_PROC = Path("/proc")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full")
_RANDOM = ("/dev/random", "/dev/urandom")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Full names on the host. Of them only `shown` and `kept`, beneath `home`, may be links."""

    home: Path
    worktree: Path
    hidden: tuple[Path, ...]
    installed: Installation
    shown: tuple[Path, ...]
    kept: tuple[Path, ...]

    @property
    def in_memory(self) -> tuple[Path, ...]:
        """Folders in memory, where there are namespaces; the home may lie in the first."""
        return (_TEMPORARY, _SHARED_MEMORY, self.home)


def nameable(path: Path, *, home: Path, hidden: Iterable[Path]) -> Path:
    """Return a folder or file of the home that may be shown or kept, by its full name.

    `home` is no link and has none on the way.
    Raises ConfigurationError for one that lies elsewhere, or would open more than itself.
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
            f"{path} {fault}, so no command is given it", "name folders beneath `~/`, one by one"
        )
    for secret in (folder.resolve() for folder in hidden):
        if is_in_any(real, [secret]) or is_in_any(secret, [real]):
            raise ConfigurationError(
                f"{path} is, holds or lies in the node's home {secret}, so no command is given it",
                "name another folder, or move ARNODE_HOME",
            )
    return name


def bubblewrap_arguments(view: View, scratch_bytes: int) -> list[str]:
    """Return the mounts and namespaces of tier full."""
    arguments = [
        "--unshare-all", "--share-net", "--unshare-user", "--disable-userns", "--die-with-parent",
        "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox",
    ]  # fmt: skip
    # Root's workshop is root to the kernel, which owns /proc/sys; and process 1 is its own.
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
    # `/` and `/dev` are writable and unbounded unless they are sealed last.
    return [*arguments, "--chdir", str(view.worktree), "--remount-ro", "/dev", "--remount-ro", "/"]


def landlock_rules(view: View, *, home: Path, temporary: Path) -> dict[Path, Access]:
    """Return the rules of the tiers without namespaces: real names, for lack of mounts.

    `home` and `temporary` are its own.
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
    """Lay links to what is shown and kept where a program looks for it, in a home of its own."""
    named: Sequence[Path] = sorted({*view.shown, *view.kept})
    for path in named:
        if not any(parent in named for parent in path.parents):
            link = home / path.relative_to(view.home)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
