"""Access to a git repository that somebody else may have made, or that another user owns.

This is the only module that uses git on a folder other than a journal. Git runs in
`trainer.sandbox.narrow`, without network and without any other program. It sees only the
repository's git folder. It never reads that repository's configuration, hooks or work tree. Instead
it uses a temporary git folder with a short configuration and links to the objects and refs. So git
runs, fetches and includes nothing that the repository's `config` names, and follows nothing that
leads out of the repository (alternates, `gitdir:`, links).
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError, SafetyError
from trainer.host.folder_files import FolderFile, check_inside, find_file, outside, read_plain
from trainer.host.system_packages import install_hint
from trainer.sandbox.narrow import Narrow, narrowed

TIMEOUT_S: Final = 60
_MOST_OUTPUT: Final = 256 << 20
_MOST_WRITTEN: Final = 4 << 30
_LINE_BYTES: Final = 4096
_PROGRAMS: Final = "/usr/bin:/usr/local/bin:/bin"
_ELF: Final = b"\x7fELF"
_READ: Final = ("objects", "refs", "packed-refs", "shallow")
_WRITTEN: Final = ("logs", "worktrees")  # for a fetch: it logs new branches and checks work trees
_SIZED: Final = re.compile(rb"([0-9a-f]+) (\w+) (\d+)")
_CONFIGURATION: Final = """\
[core]
	repositoryformatversion = 0
	bare = {is_bare}
	hooksPath = /dev/null
	fsmonitor = false
	packedGitLimit = 512m
	packedGitWindowSize = 64m
[gc]
	auto = 0
[pack]
	threads = 1
"""
_ENVIRONMENT: Final = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_COMMITTER_EMAIL": "arnode@arnode.invalid",
    "GIT_COMMITTER_NAME": "arnode",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_VALUE_0": "*",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "HOME": "/",
    "LC_ALL": "C",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UntrustedRepository:
    """A repository on this disk. `git_dir` is its shared git folder, `head_dir` the one with HEAD.

    `prefix` is the path of the requested folder inside the work tree.
    """

    git_dir: Path
    head_dir: Path
    prefix: str
    is_bare: bool

    @classmethod
    def around(cls, folder: Path) -> "UntrustedRepository | None":
        """Return the repository that contains a folder; None if there is none.

        Raises OSError, and ConfigurationError if its git folder leads elsewhere.
        """
        folder = folder.resolve()
        for at in (folder, *folder.parents):
            entry = at / ".git"
            if os.path.lexists(entry):
                prefix = "" if at == folder else f"{folder.relative_to(at).as_posix()}/"
                check_inside(at, ".git")
                if entry.is_dir():
                    return cls._checked(entry, entry, prefix=prefix)
                common, own = _worktree(entry)
                return cls._checked(common, own, prefix=prefix)
            if all((at / one).is_dir() for one in ("objects", "refs")) and (at / "HEAD").is_file():
                return cls._checked(at, at, prefix="", is_bare=True)
        return None

    @classmethod
    def _checked(
        cls, git_dir: Path, head_dir: Path, *, prefix: str, is_bare: bool = False
    ) -> "UntrustedRepository":
        for name in (*_READ, *_WRITTEN):
            check_inside(git_dir, name)
        borrowed = find_file(git_dir, "objects/info/alternates")
        if borrowed is not None and borrowed.beginning(limit_bytes=1):
            raise ConfigurationError(
                f"{borrowed}: the repository borrows objects from elsewhere",
                "copy them into it with `git repack -a -d`, then remove that file",
            )
        return cls(git_dir=git_dir, head_dir=head_dir, prefix=prefix, is_bare=is_bare)

    def commits(self, branch: str, *, most: int) -> list[str] | None:
        """Return a branch's commits, newest first; None if there is no such branch.

        Raises SafetyError without a sandbox, ConfigurationError if git cannot be used.
        """
        said = self._read(
            "rev-list", f"--max-count={most}", "--end-of-options", f"{branch}^{{commit}}", "--"
        )
        return None if said is None else said.decode().split()

    def blobs(self, names: Sequence[str], *, limit_bytes: int) -> dict[str, bytes]:
        """Return the files that names such as `HEAD:train.py` refer to, by name.

        Files that are missing or larger than `limit_bytes` are left out. Raises as `commits`.
        """
        return self._objects(names, kind=b"blob", limit_bytes=limit_bytes)

    def subject(self, name: str, *, limit_bytes: int) -> str:
        """Return the first paragraph of a commit's message in one line.

        Return an empty text if the commit is missing or larger than `limit_bytes`. Raises as
        `commits`.
        """
        name = f"{name}^{{commit}}"
        found = self._objects([name], kind=b"commit", limit_bytes=limit_bytes)
        message = found.get(name, b"").partition(b"\n\n")[2]
        return " ".join(message.strip().split(b"\n\n")[0].decode("utf-8", "replace").split())

    def fetch(self, bundle: Path, refspec: str) -> str | None:
        """Fetch a refspec from a bundle that this node made; return git's last line if that fails.

        Raises as `commits`.
        """
        words = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
        code, _, said = self._git("fetch", *words, str(bundle), refspec, shown=(bundle,))
        if code == 0:
            return None
        return (said.decode(errors="replace").strip().splitlines() or ["git failed"])[-1]

    def _objects(self, names: Sequence[str], *, kind: bytes, limit_bytes: int) -> dict[str, bytes]:
        asked = [name for name in dict.fromkeys(names) if "\n" not in name]
        sizes = self._read("cat-file", "--batch-check", given=asked)
        wanted = [
            (name, int(size[3]))
            for name, line in zip(asked, (sizes or b"").splitlines(), strict=False)
            if (size := _SIZED.fullmatch(line)) and size[2] == kind and int(size[3]) <= limit_bytes
        ]
        if not wanted:
            return {}
        said = self._read("cat-file", "--batch", given=[name for name, _ in wanted]) or b""
        found, at = {}, 0
        for name, size_bytes in wanted:
            at = said.index(b"\n", at) + 1
            found[name] = said[at : at + size_bytes]
            at += size_bytes + 1
        return found

    def _read(self, *words: str, given: Sequence[str] = ()) -> bytes | None:
        code, output, _ = self._git(*words, given=given)
        return output if code == 0 else None

    def _git(
        self, *words: str, given: Sequence[str] = (), shown: Sequence[Path] = ()
    ) -> tuple[int, bytes, bytes]:
        """Run git in its sandbox; return its exit code, its output and its errors."""
        writes = bool(shown)
        git = _program()
        with self._view(writes=writes) as view, tempfile.TemporaryFile() as said:
            folders = [str(self.git_dir), str(view)]
            narrow = Narrow(
                command=[git, *words],
                environment={
                    **_ENVIRONMENT,
                    "GIT_DIR": str(view),
                    "GIT_EXEC_PATH": str(Path(git).parent),  # where git looks for its programs
                    "PATH": str(Path(git).parent),
                    **({"GIT_ALLOW_PROTOCOL": "file"} if writes else {}),
                },
                shown=[*map(str, shown), *([] if writes else folders)],
                writable=folders if writes else [],
                is_alone=not writes,
                file_bytes=_MOST_WRITTEN if writes else _MOST_OUTPUT,
            )
            try:
                done = subprocess.run(
                    _without_none(narrow, self.git_dir),
                    input="".join(f"{one}\n" for one in given).encode(),
                    stdout=said,
                    stderr=subprocess.PIPE,
                    timeout=TIMEOUT_S,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise ConfigurationError(
                    f"{self.git_dir}: git did not read the repository within {TIMEOUT_S} s",
                    "look for special files in it, such as pipes, or import a clone of it",
                ) from error
            said.seek(0)
            return done.returncode, said.read(), done.stderr

    @contextmanager
    def _view(self, *, writes: bool) -> Iterator[Path]:
        """Make a temporary git folder that links to this repository's objects and refs."""
        with tempfile.TemporaryDirectory(prefix="arnode-git-") as name:
            view = Path(name).resolve()
            config = _CONFIGURATION.format(is_bare="true" if self.is_bare else "false")
            (view / "config").write_text(config)
            head = FolderFile(self.git_dir if writes else self.head_dir, "HEAD")
            try:
                (view / "HEAD").write_bytes(head.beginning(limit_bytes=_LINE_BYTES))
            except OSError as error:
                raise ConfigurationError(
                    f"{head}: cannot be read ({error.strerror})", "import a clone of it"
                ) from error
            for one in (*_READ, *(_WRITTEN if writes else ())):
                if (self.git_dir / one).exists():
                    (view / one).symlink_to(self.git_dir / one)
            yield view


def _worktree(entry: Path) -> tuple[Path, Path]:
    """Return the shared git folder of a linked work tree, and the work tree's own git folder.

    A file `.git` may name any folder. It is trusted only if that folder names the file too, as
    after `git worktree add`. A hostile folder cannot fake that, because it cannot write into
    another repository.
    """
    own = Path(_line(entry).removeprefix("gitdir:").strip())
    own = Path(os.path.realpath(entry.parent / own))
    common = own.parent.parent
    try:
        is_mutual = (
            own.parent.name == "worktrees"
            and Path(os.path.realpath(own / _line(own / "gitdir"))) == entry
            and Path(os.path.realpath(own / _line(own / "commondir"))) == common
        )
    except OSError:
        is_mutual = False
    if not is_mutual:
        raise outside(entry.parent, entry.name, own)
    return common, own


def _line(path: Path) -> str:
    return read_plain(path, limit_bytes=_LINE_BYTES).decode("utf-8", "replace").strip()


def _without_none(narrow: Narrow, place: Path) -> list[str]:
    try:
        return narrowed(narrow)
    except SafetyError as error:
        raise SafetyError(
            f"cannot read {place}, because git needs a sandbox: {error.message}", error.hint
        ) from error


def _program() -> str:
    """Return the git program itself, not a script of that name.

    Raises ConfigurationError if it is not installed.
    """
    for path in (_PROGRAMS, None):
        found = shutil.which("git", path=path)
        if found is not None:
            program = Path(found).resolve()
            with program.open("rb") as file:
                if file.read(len(_ELF)) == _ELF and program.name == "git":
                    return str(program)
    raise ConfigurationError(
        "git is not installed, so no repository can be read",
        install_hint("git"),
    )
