"""Files in the current folder are never imported, whatever command is run there."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from node.demo.cast import Cast
from node.home.home import Home
from tests.integration.nodes import PATIENCE_S, UNHURRIED_FLAGS, environment
from tests.traps import Traps

ISOLATED = (sys.executable, "-I", "-m", "node")
PLAIN = (sys.executable, "-m", "node")


@pytest.fixture
def traps(tmp_path: Path) -> Traps:
    folder = tmp_path / "here"
    folder.mkdir()
    return Traps(folder)


def run(
    command: tuple[str, ...], traps: Traps, home: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=traps.folder,
        env=environment(home, variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_a_trap_is_stepped_into_by_a_python_that_is_not_isolated(tmp_path: Path) -> None:
    traps = Traps(tmp_path)
    done = run((sys.executable, "-c", "import html"), traps, tmp_path)
    assert done.returncode == 1
    assert traps.imported.startswith("html ")


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("doctor",), ("task", "list")])
def test_a_command_imports_nothing_from_there(
    traps: Traps, tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = run((*ISOLATED, *words), traps, tmp_path / "home")
    assert traps.imported == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (None, ("task", "list")),
        *((path, ("--help",)) for path in ("", ".", ":/nowhere", "/nowhere::", "sub:")),
    ],
)
def test_a_plain_start_leaves_the_current_folder(
    tmp_path: Path, path: str | None, words: tuple[str, ...]
) -> None:
    """Python itself finds `node` in the current folder and what it needs before that."""
    folder = tmp_path / "sub"
    folder.mkdir()
    early = ("node", "site", "sitecustomize", "usercustomize", "typing", "pathlib")
    traps, below = (Traps(place, without=early) for place in (tmp_path, folder))
    variables = {} if path is None else {"PYTHONPATH": path}
    done = run((*PLAIN, *words), traps, tmp_path / "home", **variables)
    assert traps.imported == below.imported == ""
    assert "Traceback" not in done.stderr


LEFT = """
import os, sys
from node.__main__ import leave_current_folder
leave_current_folder()
print(os.environ.get("PYTHONPATH"), "/nowhere" in sys.path, os.getcwd() in sys.path)
"""


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("/nowhere", "/nowhere True False"),
        (":/nowhere:.", "/nowhere True False"),
        (".", " False False"),
    ],
)
def test_children_get_no_relative_entry(
    traps: Traps, tmp_path: Path, given: str, left: str
) -> None:
    for module in traps.folder.glob("*.py"):
        module.unlink()  # this Python is one of the user's, and finds them
    done = run((sys.executable, "-P", "-c", LEFT), traps, tmp_path, PYTHONPATH=given)
    assert done.stdout.rstrip("\n") == left, done.stderr


def test_the_path_of_a_folder_that_is_gone_is_left_alone(tmp_path: Path) -> None:
    code = f"import os; os.rmdir(os.getcwd()); {LEFT.replace('os.getcwd()', repr(str(tmp_path)))}"
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=gone, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


async def _started(cast: Cast, name: str, module: str, *words: str) -> str:
    actor = await cast.start(name, module, words, os.environ)
    await actor.process.wait()
    return actor.log.read_text()


@pytest.mark.parametrize("variables", [{}, {"PYTHONPATH": "."}, {"PYTHONPATH": ""}])
def test_the_demo_starts_nodes_that_import_nothing_from_there(
    traps: Traps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]
) -> None:
    async def test() -> tuple[str, str]:
        cast = Cast(tmp_path, is_temporary=False)
        try:
            said = await _started(cast, "one", "node.commands.cli", "--version")
            return said, await _started(cast, "other", "node.demo.liar", "no invite")
        finally:
            await cast.aclose()

    monkeypatch.chdir(traps.folder)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    version, liar = asyncio.run(test())
    assert traps.imported == ""
    assert version.startswith("arnode ")
    assert "trap" not in liar


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_compare_programs_starts_nodes_that_import_nothing_from_there(
    traps: Traps, home: Path
) -> None:
    spans = ("--for", "10m", "--block", "5m")
    words = ("agent", "compare", "search", "search", *UNHURRIED_FLAGS, *spans)
    begun = subprocess.Popen(
        [*ISOLATED, *words], env=environment(home), cwd=traps.folder, stderr=subprocess.PIPE
    )
    try:
        end_s = time.monotonic() + PATIENCE_S
        while not any(Home(home).comparisons.glob("*/0*/node.sock")):
            assert begun.poll() is None, begun.communicate()[1].decode()
            assert time.monotonic() < end_s
            time.sleep(0.05)
    finally:
        begun.terminate()
        begun.communicate()
    assert traps.imported == ""
