"""A journal's git repository, isolated from the user's git setup. Only this module runs git on it.

Global and system configuration, hooks, and the caller's variables (such as `GIT_DIR` set by a hook
that runs arnode) have no effect. Objects are written in this process; one `git update-ref` moves
all refs.
"""

import secrets
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from git.cmd import Git
from git.exc import GitCommandError, GitCommandNotFound

from node.store.git_objects import GitObject
from protocol.errors import ArnodeError, ConfigurationError

_SETTINGS = {
    "safe.directory": "*",
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "gc.autoDetach": "false",
}


class Repository:
    """A repository with a checked-out `main`."""

    def __init__(self, path: Path) -> None:
        # Not `git.Repo`: its constructor reads the caller's GIT_* variables.
        self._git = Git(path)
        self._git.update_environment(**_environment(path))
        self._path = path
        self._objects = path / ".git" / "objects"

    @classmethod
    def create(cls, path: Path, *, ignored: Iterable[str]) -> "Repository":
        """Create an empty repository that ignores files with the `ignored` names."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        git = Git(path)
        git.update_environment(**_environment(path))
        with _explaining_git(path):
            git.init("--quiet", "--template=", "--initial-branch=main")
        folder = path / ".git" / "info"
        folder.mkdir(exist_ok=True)
        (folder / "exclude").write_text("".join(f"{name}\n" for name in ignored))
        return cls(path)

    def refs(self) -> dict[str, str]:
        """Return every ref and the commit that it points to."""
        with _explaining_git(self._path):
            lines = self._git.for_each_ref("--format=%(refname) %(objectname)").splitlines()
        return dict(line.split(" ") for line in lines)

    def write(self, objects: Iterable[GitObject]) -> None:
        """Write the objects that do not exist yet."""
        for item in objects:
            path = self._objects / item.name[:2] / item.name[2:]
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                # Renaming leaves a complete file after a kill. A power cut can lose the file;
                # then it is written again from the store.
                temporary = path.with_name(f"tmp_obj_{secrets.token_hex(8)}")
                temporary.write_bytes(zlib.compress(item.framed, 1))
                temporary.replace(path)

    def move(self, *steps: Mapping[str, str]) -> None:
        """Point refs at commits. Each mapping is a transaction, complete before the next begins."""
        lines: list[str] = []
        for step in steps:
            if step:
                updates = (f"update {ref} {commit}" for ref, commit in step.items())
                lines += ["start", *updates, "commit"]
        if lines:
            with tempfile.TemporaryFile() as stream:
                stream.write("".join(f"{line}\n" for line in lines).encode())
                stream.seek(0)
                with _explaining_git(self._path):
                    self._git.update_ref("--stdin", istream=stream)

    def take_index_from(self, ref: str) -> None:
        """Set the index to `ref`, so that `git status` compares with it."""
        with _explaining_git(self._path):
            self._git.read_tree(ref)
            self._git.update_index("-q", "--refresh", with_exceptions=False)

    def pack(self) -> None:
        """Pack all refs, and the objects if there are many, to keep git fast on a long history."""
        with _explaining_git(self._path):
            self._git.pack_refs("--all")
            self._git.gc("--auto", "--quiet")

    def write_bundle(self, path: Path, ref: str) -> None:
        """Write a ref and its whole history into one file that git can fetch from."""
        with _explaining_git(self._path):
            self._git.bundle("create", "--quiet", str(path), ref)

    def faults(self) -> list[str]:
        """Return the faults that `git fsck` finds."""
        try:
            found = self._git.fsck("--no-dangling", "--no-progress")
        except GitCommandError as fault:
            return [line.strip() for line in str(fault.stderr).splitlines() if line.strip()]
        return [line for line in str(found).splitlines() if line]


def remove_stale_locks(path: Path) -> None:
    """Delete the lock files of a killed git. The caller must hold the home's lock."""
    folder = path / ".git"
    for lock in [*folder.glob("*.lock"), *(folder / "refs").rglob("*.lock")]:
        lock.unlink(missing_ok=True)


@contextmanager
def _explaining_git(path: Path) -> Iterator[None]:
    try:
        yield
    except GitCommandNotFound as fault:
        raise ConfigurationError(
            "git is not installed", "install git; see `arnode doctor`"
        ) from fault
    except GitCommandError as fault:
        output = str(fault.stderr).strip().splitlines()
        raise ArnodeError(
            f"git failed in the journal {path}: {output[-1].strip() if output else fault.status}",
            "run `arnode home fsck`, then `arnode home fsck --rebuild`; records are not touched",
        ) from fault


def _environment(path: Path) -> dict[str, str]:
    folder = path / ".git"
    variables = {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_DIR": str(folder),
        "GIT_WORK_TREE": str(path),
        "GIT_INDEX_FILE": str(folder / "index"),
        "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
        "GIT_COMMITTER_NAME": "arnode",
        "GIT_COMMITTER_EMAIL": "arnode@arnode.invalid",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": str(len(_SETTINGS)),
        "LC_ALL": "C",
    }
    for number, (name, value) in enumerate(_SETTINGS.items()):
        variables[f"GIT_CONFIG_KEY_{number}"] = name
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables
