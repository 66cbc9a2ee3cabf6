"""A program's files are found wherever it is installed below the home."""

from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.errors import ConfigurationError
from trainer.agent_sandbox.installed import Installation, find_program, installation


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


def found(home: Path, *words: str) -> Installation:
    return installation(words, home=home, search_path=where(home))


def there(
    home: Path, program: Path | str, *paths: Path, links: tuple[tuple[Path, Path], ...] = ()
) -> Installation:
    return Installation(program=str(program), paths=paths, links=links)


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
    package = installation(["codex"], home=home, search_path=path)
    assert package.program == str(version / "bin" / "codex")
    assert set(package.paths) == {version, version / "lib" / "node_modules"}
    assert package.links == ()  # inside a shown folder
    assert installation(["node"], home=home, search_path=path).program == str(node)


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
        ("./agent", "depends on where the node was started", "full path"),
        ("~/closed", "`~/closed` may not be executed", "chmod"),
    ],
)
def test_what_is_missing_is_said_with_the_fix(
    home: Path, word: str, message: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "closed").touch()
    program(home / "agent")
    monkeypatch.chdir(home)
    with pytest.raises(ConfigurationError) as refused:
        find_program(word, home=home, search_path="/usr/bin")
    assert message in refused.value.message
    assert hint in refused.value.hint


# -- shims: the file first in PATH is not the program -----------------------------------------


def pyenv(home: Path) -> Path:
    text = (
        '#!/usr/bin/env bash\nset -e\nprogram="${0##*/}"\n'
        f'exec "{home}/.pyenv/libexec/pyenv" exec "$program" "$@"\n'
    )
    return program(home / ".pyenv" / "shims" / "aider", text)


def asdf(home: Path) -> Path:
    text = '#!/usr/bin/env bash\n# asdf-plugin: nodejs 22.1.0\nexec asdf exec "aider" "$@"\n'
    return program(home / ".asdf" / "shims" / "aider", text)


def mise(home: Path) -> Path:
    manager = program(home / ".local" / "bin" / "mise")
    return link(home / ".local" / "share" / "mise" / "shims" / "aider", manager)


def volta(home: Path) -> Path:
    program(home / ".volta" / "bin" / "volta-shim")
    return link(home / ".volta" / "bin" / "aider", "volta-shim")


def refused(home: Path, name: str, path: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        installation([name], home=home, search_path=path)
    return caught.value


@pytest.mark.parametrize("make", [pyenv, asdf, mise, volta])
def test_a_shim_is_refused_with_what_prints_the_folder_to_put_first(
    home: Path, make: Callable[[Path], Path]
) -> None:
    shim, manager = make(home), make.__name__
    fault = refused(home, "aider", f"{shim.parent}:{where(home)}")
    assert fault.message.startswith(f"`{shim}` is a shim of {manager}, ")
    assert f"`{manager} which aider` prints" in fault.hint
    assert "first in PATH" in fault.hint
    assert "`agent_command`" in fault.hint


@pytest.mark.parametrize("make", [pyenv, asdf, mise, volta])
def test_what_a_shim_asks_for_is_found(home: Path, make: Callable[[Path], Path]) -> None:
    shim = make(home)
    real = program(home / ".tools" / "aider" / "1" / "bin" / "aider")
    path = f"{real.parent}:{shim.parent}:{where(home)}"
    own = installation(["aider"], home=home, search_path=path)
    assert own == Installation(program=str(real), paths=(real.parent.parent,), links=())


def test_a_link_to_a_shim_is_one(home: Path) -> None:
    shim = pyenv(home)
    own = link(home / ".local" / "bin" / "aider", shim)
    assert refused(home, "aider", where(home)).message.startswith(f"`{own}` is a shim of pyenv")


def test_an_interpreter_that_is_a_shim_is_refused_by_its_name(home: Path) -> None:
    program(home / ".volta" / "bin" / "volta-shim")
    shim = link(home / ".volta" / "bin" / "node", "volta-shim")
    program(home / ".local" / "bin" / "agent", "#!/usr/bin/env node\n")
    fault = refused(home, "agent", f"{shim.parent}:{where(home)}")
    assert fault.message.startswith(f"`{shim}` is a shim of volta, ")
    assert "`volta which node` prints" in fault.hint


def test_a_manager_itself_is_no_shim(home: Path) -> None:
    own = program(home / ".local" / "bin" / "mise")
    assert found(home, "mise") == there(home, own, own)
