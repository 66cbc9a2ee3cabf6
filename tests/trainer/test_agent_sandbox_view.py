"""The parts of a home that a command may be given, and its view of them in both sandboxes."""

from pathlib import Path

import pytest

from protocol.errors import ConfigurationError
from trainer.agent_sandbox.installed import Installation
from trainer.agent_sandbox.view import (
    View,
    bubblewrap_arguments,
    landlock_rules,
    link_into,
    nameable,
)
from trainer.sandbox.landlock import READ, WRITE


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / ".local" / "share" / "arnode" / "journal").mkdir(parents=True)
    (tmp_path / "home" / ".claude").mkdir()
    return tmp_path / "home"


def named(home: Path, path: Path) -> Path:
    return nameable(path, home=home, hidden=[home / ".local" / "share" / "arnode"])


def test_a_folder_of_the_home_may_be_named_there_or_not(home: Path) -> None:
    assert named(home, home / ".claude") == home / ".claude"
    assert named(home, home / ".none") == home / ".none"
    assert named(home, home / "x" / ".." / ".claude") == home / ".claude"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/", "not a folder in your home"),
        (".", "not a folder in your home"),
        ("..", "not a folder in your home"),
        (".claude/..", "not a folder in your home"),
        (".claude/../..", "not a folder in your home"),
        ("/etc", "not a folder in your home"),
        (".local/share/arnode", "inside the node's home"),
        (".local/share/arnode/journal", "inside the node's home"),
        (".local", "inside the node's home"),
        ("to-root", "leads to your whole home"),
        ("to-home", "leads to your whole home"),
        ("to-node/journal", "inside the node's home"),
    ],
)
def test_what_would_open_more_is_refused(home: Path, path: str, reason: str) -> None:
    (home / "to-root").symlink_to("/")
    (home / "to-home").symlink_to(home)
    (home / "to-node").symlink_to(home / ".local" / "share" / "arnode")
    with pytest.raises(ConfigurationError) as refused:
        named(home, home / path)
    assert reason in refused.value.message
    assert refused.value.hint


@pytest.fixture
def view(home: Path, tmp_path: Path) -> View:
    shared = tmp_path / "dotfiles"
    shared.mkdir()
    (home / ".tool").symlink_to(shared)
    (home / ".claude" / "settings.json").touch()
    program = tmp_path / "app"
    (program / "bin").mkdir(parents=True)
    (program / "data" / "node").mkdir(parents=True)
    return View(
        home=home,
        worktree=tmp_path / "work",
        hidden=(program / "data" / "node",),
        installed=Installation(program=str(program / "bin" / "x"), paths=(program,), links=()),
        shown=(home / ".claude" / "settings.json",),
        kept=(home / ".tool", home / ".claude"),
    )


def test_mounts_go_from_the_general_to_the_particular(view: View) -> None:
    """A later mount covers an earlier one: an emptied folder hides all of the home below it."""
    words = bubblewrap_arguments(view, 4096)
    (app,) = view.installed.paths
    settings, work = str(view.shown[0]), str(view.worktree)

    def at(*mount: str) -> int:
        return next(
            place for place in range(len(words)) if words[place : place + len(mount)] == list(mount)
        )

    places = [
        at("--ro-bind-try", "/usr", "/usr"),
        at("--size", "4096", "--tmpfs", str(view.home)),
        at("--ro-bind", str(app), str(app)),
        at("--bind", str(view.home / ".claude"), str(view.home / ".claude")),
        at("--bind", str(view.kept[0].resolve()), str(view.home / ".tool")),
        at("--ro-bind", settings, settings),
        at("--tmpfs", str(app / "data" / "node")),
        at("--bind", work, work),
        at("--remount-ro", "/"),
    ]
    assert places == sorted(places)


def test_rules_leave_out_what_is_hidden(view: View, tmp_path: Path) -> None:
    rules = landlock_rules(view, home=tmp_path / "h", temporary=tmp_path / "t")
    app = tmp_path / "app"
    assert rules[app / "bin"] == READ
    assert not {app, app / "data", app / "data" / "node"} & rules.keys()
    assert rules[tmp_path / "dotfiles"] == WRITE
    assert view.home not in rules


def test_without_mounts_links_stand_in_a_home_of_its_own(view: View, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    link_into(own, view)
    assert (own / ".tool").resolve() == tmp_path / "dotfiles"
    assert (own / ".claude" / "settings.json").exists()
    assert sorted(path.name for path in own.iterdir()) == [".claude", ".tool"]
