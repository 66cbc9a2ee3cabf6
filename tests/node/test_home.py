"""A home is private, and one node's at a time."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from node.home.home import Home
from protocol.errors import ConfigurationError


def test_the_environment_names_the_home(tmp_path: Path) -> None:
    assert Home.locate({"ARNODE_HOME": str(tmp_path / "x")}).root == tmp_path / "x"
    assert Home.locate({}).root.name == "arnode"
    assert Home.locate({"ARNODE_HOME": ""}).root.is_absolute()


def test_a_new_home_is_private(home: Home) -> None:
    home.prepare()
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700
    home.prepare()


def test_an_empty_open_folder_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    Home(folder).prepare()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_an_open_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigurationError, match="contains other files"):
        Home(tmp_path).prepare()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_file_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigurationError, match="not a folder"):
            Home(root).prepare()


def test_a_second_node_is_shown_who_holds_the_home(home: Home) -> None:
    with home.lock(), pytest.raises(ConfigurationError) as caught, home.lock():
        pass
    assert f"pid {os.getpid()}" in caught.value.message
    assert "arnode stop" in caught.value.hint
    with home.lock():
        pass


def test_another_home_is_another_lock(home: Home, tmp_path: Path) -> None:
    with home.lock(), Home(tmp_path / "second").lock():
        assert home.lock_holder() == os.getpid()


def test_the_lock_dies_with_its_process_even_if_its_children_live_on(home: Home) -> None:
    program = (
        "import os, subprocess, sys\n"
        "from pathlib import Path\n"
        "from node.home.home import Home\n"
        "with Home(Path(sys.argv[1])).lock():\n"
        "    child = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL)\n"
        "    print(child.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(home.root)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    try:
        assert done.returncode == -9
        with home.lock():
            pass
    finally:
        os.kill(int(done.stdout), 9)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("file", "it is a file"),
        ("file/below", "file is a file"),
        ("file/below/more", "file is a file"),
        ("a" * 300, "file name too long"),
    ],
)
def test_a_home_that_cannot_be_is_named_whatever_is_asked_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, said: str
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ARNODE_HOME", str(tmp_path / place))
    for use in (Home.here, Home.locate(os.environ).prepare):
        with pytest.raises(ConfigurationError) as caught:
            use()
        assert said in caught.value.message
        assert "ARNODE_HOME" in caught.value.hint


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOENT, errno.ELOOP])
def test_a_home_that_the_system_refuses_to_make_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ConfigurationError) as caught:
        Home(tmp_path / "home").prepare()
    assert os.strerror(number).lower() in caught.value.message
    assert "ARNODE_HOME" in caught.value.hint
