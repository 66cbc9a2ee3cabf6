"""Where a program's files are found, wherever beneath the home somebody installed it."""

from pathlib import Path

import pytest

from protocol.errors import ConfigurationError
from trainer.workshop.installed import Installed, find_program, installed


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".local" / "bin").mkdir(parents=True)
    (tmp_path / ".local" / "share" / "keyrings").mkdir(parents=True)
    return tmp_path


def program(path: Path, text: str = "\x7fELF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def link(path: Path, target: Path | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


def found(home: Path, *words: str) -> Installed:
    return installed(words, home=home, search_path=f"{home}/.local/bin:/usr/bin:/bin")


def test_what_belongs_to_the_system_is_not_listed(home: Path) -> None:
    assert found(home, "sh") == Installed(program="/usr/bin/sh", paths=(), links=())


def test_a_single_file_is_all_that_is_shown_of_a_folder_for_everybody(home: Path) -> None:
    own = program(home / ".local" / "bin" / "agent")
    assert found(home, "agent") == Installed(program=str(own), paths=(own,), links=())


def test_links_are_followed_and_remembered(home: Path) -> None:
    version = program(home / ".local" / "share" / "claude" / "versions" / "2.1")
    name = link(home / ".local" / "bin" / "claude", "../share/claude/versions/2.1")
    assert found(home, "claude") == Installed(
        program=str(name), paths=(version,), links=((name, Path("../share/claude/versions/2.1")),)
    )


def test_a_package_of_node_comes_with_its_interpreter(home: Path) -> None:
    version = home / ".nvm" / "versions" / "node" / "v22"
    node = program(version / "bin" / "node")
    program(version / "lib" / "node_modules" / "codex" / "cli.js", "#!/usr/bin/env -S node\n")
    link(version / "bin" / "codex", "../lib/node_modules/codex/cli.js")
    path = f"{version}/bin:/usr/bin"
    there = installed(["codex"], home=home, search_path=path)
    assert there.program == str(version / "bin" / "codex")
    assert set(there.paths) == {version, version / "lib" / "node_modules"}
    assert there.links == ()  # inside of what is shown
    assert installed(["node"], home=home, search_path=path).program == str(node)


def test_an_environment_is_shown_as_a_whole_with_the_python_it_links_to(home: Path) -> None:
    base = home / ".local" / "share" / "uv" / "python" / "3.12"
    program(base / "bin" / "python3.12")
    tool = home / ".local" / "share" / "uv" / "tools" / "aider"
    program(tool / "bin" / "aider", f"#!{tool}/bin/python\n")
    link(tool / "bin" / "python", base / "bin" / "python3.12")
    (tool / "pyvenv.cfg").touch()
    link(home / ".local" / "bin" / "aider", tool / "bin" / "aider")
    there = found(home, "aider")
    assert set(there.paths) == {tool, base}
    assert dict(there.links) == {home / ".local" / "bin" / "aider": tool / "bin" / "aider"}


def test_an_environment_right_beneath_the_home_is_known_by_its_mark(home: Path) -> None:
    venv = home / "venv"
    tool = program(venv / "bin" / "tool", "#!/bin/sh\n")
    assert found(home, str(tool)).paths == (tool,)
    (venv / "pyvenv.cfg").touch()
    assert found(home, str(tool)).paths == (venv,)


def test_a_home_is_never_shown_for_a_program_in_its_bin(home: Path) -> None:
    (home / "pyvenv.cfg").touch()
    tool = program(home / "bin" / "tool")
    assert found(home, "~/bin/tool").paths == (tool,)


def test_scripts_that_the_command_names_belong_to_it_and_nothing_else_does(home: Path) -> None:
    script = home / "agents" / "mine.py"
    script.parent.mkdir()
    script.touch()
    words = [
        "sh",
        str(script),
        str(script.parent),
        "--file",
        "mine.py",
        "x" * 5000,
        "/" + "y" * 300,
    ]
    assert found(home, *words).paths == (script,)


def test_links_in_a_circle_end(home: Path) -> None:
    link(home / ".local" / "bin" / "one", "two")
    link(home / ".local" / "bin" / "two", "one")
    tool = program(home / "tool", f"#!{home}/.local/bin/one\n")
    assert tool in found(home, str(tool)).paths


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("no-such-agent", "the program `no-such-agent` was not found", "install it"),
        ("./agent", "depends on where the node was started", "full name"),
        ("~/closed", "`~/closed` may not be executed", "chmod"),
    ],
)
def test_what_is_missing_is_said_with_the_mend(
    home: Path, word: str, message: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "closed").touch()
    program(home / "agent")
    monkeypatch.chdir(home)
    with pytest.raises(ConfigurationError) as refused:
        find_program(word, home=home, search_path="/usr/bin")
    assert message in refused.value.message
    assert hint in refused.value.hint
