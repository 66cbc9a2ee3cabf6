"""Where a program's files are found, wherever beneath the home somebody installed it."""

from collections.abc import Callable
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


def where(home: Path) -> str:
    return f"{home}/.local/bin:/usr/bin:/bin"


def found(home: Path, *words: str) -> Installed:
    return installed(words, home=home, search_path=where(home))


def there(
    home: Path, program: Path | str, *paths: Path, links: tuple[tuple[Path, Path], ...] = ()
) -> Installed:
    return Installed(program=str(program), search_path=where(home), paths=paths, links=links)


def test_what_belongs_to_the_system_is_not_listed(home: Path) -> None:
    assert found(home, "sh") == there(home, "/usr/bin/sh")


def test_a_single_file_is_all_that_is_shown_of_a_folder_for_everybody(home: Path) -> None:
    own = program(home / ".local" / "bin" / "agent")
    assert found(home, "agent") == there(home, own, own)


def test_links_are_followed_and_remembered(home: Path) -> None:
    version = program(home / ".local" / "share" / "claude" / "versions" / "2.1")
    name = link(home / ".local" / "bin" / "claude", "../share/claude/versions/2.1")
    to = Path("../share/claude/versions/2.1")
    assert found(home, "claude") == there(home, name, version, links=((name, to),))


def test_a_package_of_node_comes_with_its_interpreter(home: Path) -> None:
    version = home / ".nvm" / "versions" / "node" / "v22"
    node = program(version / "bin" / "node")
    program(version / "lib" / "node_modules" / "codex" / "cli.js", "#!/usr/bin/env -S node\n")
    link(version / "bin" / "codex", "../lib/node_modules/codex/cli.js")
    path = f"{version}/bin:/usr/bin"
    package = installed(["codex"], home=home, search_path=path)
    assert package.program == str(version / "bin" / "codex")
    assert set(package.paths) == {version, version / "lib" / "node_modules"}
    assert package.links == ()  # inside of what is shown
    assert installed(["node"], home=home, search_path=path).program == str(node)


def test_an_environment_is_shown_as_a_whole_with_the_python_it_links_to(home: Path) -> None:
    base = home / ".local" / "share" / "uv" / "python" / "3.12"
    program(base / "bin" / "python3.12")
    tool = home / ".local" / "share" / "uv" / "tools" / "aider"
    program(tool / "bin" / "aider", f"#!{tool}/bin/python\n")
    link(tool / "bin" / "python", base / "bin" / "python3.12")
    (tool / "pyvenv.cfg").touch()
    link(home / ".local" / "bin" / "aider", tool / "bin" / "aider")
    aider = found(home, "aider")
    assert set(aider.paths) == {tool, base}
    assert dict(aider.links) == {home / ".local" / "bin" / "aider": tool / "bin" / "aider"}


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


# -- shims: what stands first in PATH is no program -------------------------------------------


def manager(path: Path, answers: str) -> Path:
    """A version manager that knows what stands behind its shims."""
    return program(path, f"#!/bin/sh\n[ $1 = which ] || exit 9\n{answers}\n")


def pyenv(home: Path) -> tuple[Path, Path]:
    real = program(home / ".pyenv" / "versions" / "3.12.1" / "bin" / "aider")
    asked = manager(home / ".pyenv" / "libexec" / "pyenv", f"echo {real.parent}/$2")
    text = (
        f'#!/usr/bin/env bash\nset -e\nprogram="${{0##*/}}"\nexec "{asked}" exec "$program" "$@"\n'
    )
    return program(home / ".pyenv" / "shims" / "aider", text), real


def asdf(home: Path) -> tuple[Path, Path]:
    real = program(home / ".asdf" / "installs" / "nodejs" / "22.1.0" / "bin" / "aider")
    manager(home / ".local" / "bin" / "asdf", f"echo {real}")
    text = '#!/usr/bin/env bash\n# asdf-plugin: nodejs 22.1.0\nexec asdf exec "aider" "$@"\n'
    return program(home / ".asdf" / "shims" / "aider", text), real


def mise(home: Path) -> tuple[Path, Path]:
    real = program(
        home / ".local" / "share" / "mise" / "installs" / "aider" / "1" / "bin" / "aider"
    )
    asked = manager(home / ".local" / "bin" / "mise", f"echo {real}")
    return link(home / ".local" / "share" / "mise" / "shims" / "aider", asked), real


def volta(home: Path) -> tuple[Path, Path]:
    real = program(home / ".volta" / "tools" / "image" / "packages" / "a" / "bin" / "aider")
    manager(home / ".volta" / "bin" / "volta", f"echo {real}")
    program(home / ".volta" / "bin" / "volta-shim")
    return link(home / ".volta" / "bin" / "aider", "volta-shim"), real


@pytest.mark.parametrize("make", [pyenv, asdf, mise, volta])
def test_behind_a_shim_is_the_program(
    home: Path, make: Callable[[Path], tuple[Path, Path]]
) -> None:
    shim, real = make(home)
    path = f"{shim.parent}:{where(home)}"
    shown = installed(["aider"], home=home, search_path=path)
    assert shown.program == str(real)
    assert shown.search_path == f"{real.parent}:{path}"
    assert any(one == real or one in real.parents for one in shown.paths)
    assert not any(one in shim.parents for one in shown.paths)


def test_an_interpreter_behind_a_shim_is_found_before_it(home: Path) -> None:
    node = program(home / ".volta" / "tools" / "image" / "node" / "22.1.0" / "bin" / "node")
    manager(home / ".volta" / "bin" / "volta", f"echo {node}")
    program(home / ".volta" / "bin" / "volta-shim")
    link(home / ".volta" / "bin" / "node", "volta-shim")
    script = program(home / ".local" / "bin" / "agent", "#!/usr/bin/env node\n")
    path = f"{home}/.volta/bin:{where(home)}"
    shown = installed(["agent"], home=home, search_path=path)
    assert (shown.program, shown.search_path) == (str(script), f"{node.parent}:{path}")
    assert node.parent.parent in shown.paths


def test_a_shim_without_a_program_is_said_in_its_managers_words(home: Path) -> None:
    shim, _ = pyenv(home)
    manager(home / ".pyenv" / "libexec" / "pyenv", "echo pyenv: aider: no such >&2; exit 127")
    with pytest.raises(ConfigurationError, match="pyenv knows no program behind it: pyenv: aider"):
        installed(["aider"], home=home, search_path=f"{shim.parent}:{where(home)}")
