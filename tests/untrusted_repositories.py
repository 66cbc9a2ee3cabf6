"""Repositories whose files try to make git run a command, which would create the file `MARK`."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

MARK: Final = "PWNED"
SUBJECT: Final = "raise the rate"
SOURCE: Final = b"RATE = 1\n"
HOOKS: Final = (
    "post-checkout", "post-index-change", "post-merge", "pre-auto-gc", "pre-push",
    "reference-transaction", "update",
)  # fmt: skip
# `@RUN@` creates the mark. If objects are missing, git may fetch them from the promisor `origin`.
CONFIGURATIONS: Final = {
    "fsmonitor": '[core]\n\tfsmonitor = "@RUN@"\n',
    "pager": '[core]\n\tpager = "@RUN@"\n[pager]\n\tcat-file = true\n\trev-list = true\n',
    "editor": '[core]\n\teditor = "@RUN@"\n[sequence]\n\teditor = "@RUN@"\n',
    "diff.external": '[diff]\n\texternal = "@RUN@"\n',
    "textconv": '[diff "x"]\n\ttextconv = "@RUN@"\n',
    "filter.clean": '[filter "x"]\n\tclean = "@RUN@"\n\tsmudge = "@RUN@"\n\trequired = true\n',
    "filter.process": '[filter "x"]\n\tprocess = "@RUN@"\n\trequired = true\n',
    "hooksPath": "[core]\n\thooksPath = @HOOKS@\n",
    "gpg": '[gpg]\n\tprogram = "@RUN@"\n[log]\n\tshowSignature = true\n',
    "alternateRefs": '[core]\n\talternateRefsCommand = "@RUN@"\n',
    "alias": '[alias]\n\trev-list = "!@RUN@"\n\tcat-file = "!@RUN@"\n\tfetch = "!@RUN@"\n',
    "include": "[include]\n\tpath = @MORE@\n",
    "includeIf": '[includeIf "gitdir:/"]\n\tpath = @MORE@\n',
    "insteadOf": '[protocol "ext"]\n\tallow = always\n'
    '[url "ext::sh -c @QUIETLY@ "]\n\tinsteadOf = /\n',
    "fetch: uploadpack": '[remote "origin"]\n\turl = @HERE@/.git\n\tuploadpack = "@RUN@"\n',
    "fetch: ext": '[protocol "ext"]\n\tallow = always\n'
    '[remote "origin"]\n\turl = "ext::sh -c @QUIETLY@ "\n',
    "fetch: ssh": '[core]\n\tsshCommand = "@RUN@"\n'
    '[remote "origin"]\n\turl = "ssh://nobody@localhost/x"\n',
    "fetch: gitProxy": "[core]\n\tgitProxy = @PROXY@\n"
    '[remote "origin"]\n\turl = "git://localhost/x"\n',
    "fetch: vcs": '[remote "origin"]\n\tvcs = x\n\turl = "x::y"\n',
    "fetch: credential": '[remote "origin"]\n\turl = "http://localhost:1/x"\n'
    '[credential]\n\thelper = "!@RUN@"\n',
}  # fmt: skip


def git(folder: Path, *words: str) -> str:
    """Run git as a user without a configuration."""
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{
            f"GIT_{who}_{what}": "a@b"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }
    done = subprocess.run(
        ["git", "-C", str(folder), *words], check=True, capture_output=True, text=True,
        env=environment,
    )  # fmt: skip
    return done.stdout.strip()


def repository(folder: Path, *, branch: str = "main") -> Path:
    """Make a repository with one commit of train.py."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", branch)
    (folder / "train.py").write_bytes(SOURCE)
    git(folder, "add", "train.py")
    git(folder, "commit", "-q", "-m", f"{SUBJECT}\n\nmore")
    return folder


def hostile(folder: Path, name: str) -> Path:
    """Make a repository with one of the configurations and a missing object, which git may fetch.

    Hooks, attributes and programs are included with every configuration.
    """
    repository(folder)
    (folder / "hooks").mkdir()
    program = f"#!/bin/sh\ntouch {folder / MARK}\n"
    for hook in (*HOOKS, "proxy"):
        for path in (folder / "hooks" / hook, folder / ".git" / "hooks" / hook):
            path.parent.mkdir(exist_ok=True)
            path.write_text(program)
            path.chmod(0o755)
    (folder / ".git" / "info").mkdir(exist_ok=True)
    (folder / ".git" / "info" / "attributes").write_text("* diff=x filter=x\n")
    run = f"touch {folder / MARK}; false"
    (folder / "more").write_text(f'[core]\n\tfsmonitor = "{run}"\n' + _PROMISOR)
    words = {
        "@RUN@": run, "@QUIETLY@": f"touch% {folder / MARK}", "@HERE@": str(folder),
        "@HOOKS@": str(folder / "hooks"), "@PROXY@": str(folder / "hooks" / "proxy"),
        "@MORE@": str(folder / "more"),
    }  # fmt: skip
    text = CONFIGURATIONS[name]
    for word, meant in words.items():
        text = text.replace(word, meant)
    is_fetching = name.startswith("fetch")
    if is_fetching:
        text += _PROMISOR
        _lose(folder, git(folder, "rev-parse", "HEAD:train.py"))
    format_ = f"[core]\n\trepositoryformatversion = {int(is_fetching)}\n"
    (folder / ".git" / "config").write_text(format_ + text)
    return folder


_PROMISOR: Final = '[extensions]\n\tpartialClone = origin\n[remote "origin"]\n\tpromisor = true\n'


def _lose(folder: Path, blob: str) -> None:
    (folder / ".git" / "objects" / blob[:2] / blob[2:]).unlink()


def by_plain_git(folder: Path) -> None:
    """Read train.py with plain git, which shows the effect of a configuration here."""
    subprocess.run(
        ["git", "-C", str(folder), "cat-file", "blob", "HEAD:train.py"],
        capture_output=True, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
    )  # fmt: skip


def _link(link: Path, target: Path) -> None:
    link.symlink_to(target)


def _file_for(folder: Path, secret: Path) -> None:
    (folder / ".git").rename(folder.with_name("old"))
    (folder / ".git").write_text(f"gitdir: {secret / '.git'}\n")


def _link_for(folder: Path, secret: Path) -> None:
    (folder / ".git").rename(folder.with_name("old"))
    _link(folder / ".git", secret / ".git")


def _worktree_for(folder: Path, secret: Path) -> None:
    """Make a linked work tree of the secret repository, which names another folder."""
    git(secret, "worktree", "add", "-q", str(secret.with_name("real")))
    (folder / ".git").rename(folder.with_name("old"))
    (folder / ".git").write_text(f"gitdir: {secret / '.git' / 'worktrees' / 'real'}\n")


def _folder_link(name: str) -> Callable[[Path, Path], None]:
    def change(folder: Path, secret: Path) -> None:
        (folder / ".git" / name).rename(folder.with_name("old"))
        _link(folder / ".git" / name, secret / ".git" / name)

    return change


def _alternates(folder: Path, secret: Path) -> None:
    (folder / ".git" / "objects" / "info").mkdir(exist_ok=True)
    text = f"{secret / '.git' / 'objects'}\n"
    (folder / ".git" / "objects" / "info" / "alternates").write_text(text)
    _points_at(folder, secret)


def _points_at(folder: Path, secret: Path) -> None:
    head = git(secret, "rev-parse", "HEAD")
    (folder / ".git" / "refs" / "heads" / "main").write_text(f"{head}\n")


# Each makes the repository lead to another one, whose train.py the user did not name.
LEADING: Final[dict[str, Callable[[Path, Path], None]]] = {
    "gitdir": _file_for,
    "link": _link_for,
    "worktree": _worktree_for,
    "objects": _folder_link("objects"),
    "refs": _folder_link("refs"),
    "alternates": _alternates,
}


def _commondir(folder: Path, secret: Path) -> None:
    _points_at(folder, secret)
    (folder / ".git" / "commondir").write_text(f"{secret / '.git'}\n")


def _core_worktree(folder: Path, secret: Path) -> None:
    _points_at(folder, secret)
    git(folder, "config", "core.worktree", str(secret))


def _object_link(folder: Path, secret: Path) -> None:
    _points_at(folder, secret)
    for path in (secret / ".git" / "objects").glob("??"):
        if not (folder / ".git" / "objects" / path.name).exists():
            _link(folder / ".git" / "objects" / path.name, path)


def _ref_link(folder: Path, secret: Path) -> None:
    main = folder / ".git" / "refs" / "heads" / "main"
    main.unlink()
    _link(main, secret / ".git" / "refs" / "heads" / "main")


# These have no effect, since their targets do not exist where git runs.
IGNORED: Final[dict[str, Callable[[Path, Path], None]]] = {
    "commondir": _commondir,
    "core.worktree": _core_worktree,
    "links to objects": _object_link,
    "a link to a ref": _ref_link,
}
