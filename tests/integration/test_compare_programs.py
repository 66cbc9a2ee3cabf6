"""Two programs compared by real blocks of real nodes, with proposals from a scripted model."""

import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from node.home.home import Home
from tests.agent.scripted import replacing
from tests.conftest import UNHURRIED_TASK
from tests.integration.nodes import (
    COMMAND,
    PATIENCE_S,
    UNHURRIED_FLAGS,
    arnode,
    arnode_json,
    environment,
    fault_of,
)
from tests.llm_server import LlmServer, says
from tests.remote.programs import programs_in
from tests.tasks.sums import TASK, write_sums

AGENT = ("--agent", "small")


async def reply(server: LlmServer, request: web.Request) -> web.StreamResponse:
    """Halve OFF if the prompt says to be bold, else raise it."""
    reported = str(server.questions[-1]["messages"])
    found = re.search(r"OFF = (\d+)", reported)
    assert found is not None
    is_bold = "Be bold." in reported
    off = int(found[1]) // 2 if is_bold else int(found[1]) + len(server.questions)
    change, title = (found[0], f"OFF = {off}"), "Off by half" if is_bold else "Off by more"
    return await says(replacing(change, title=title, path="solve.py"))(server, request)


@pytest.fixture
def task(tmp_path: Path) -> tuple[str, str]:
    """Return the flag of a task whose hyperparameters only make it worse and last long enough."""
    text = TASK.replace("low = 0\nhigh = 8", "low = 8\nhigh = 64")
    write_sums(tmp_path / "sums", solve=(UNHURRIED_TASK / "solve.py").read_text(), task=text)
    return "--task", str(tmp_path / "sums")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    (tmp_path / "bold.md").write_text("Be bold.")
    (tmp_path / "timid.md").write_text("Be timid.")
    return tmp_path


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_blocks_alternate_and_what_they_brought_is_measured(
    tmp_path: Path, texts: Path, task: tuple[str, str]
) -> None:
    home = tmp_path / "home"
    words = ("agent", "compare", str(texts / "bold.md"), str(texts / "timid.md"), *task)
    spans = ("--for", "4m", "--block", "2m", "--runs", "1")
    with LlmServer(reply) as server:
        # Blocks end by experiments: how many fit into seconds depends on who else is here.
        env = {"ARNODE_LLM_URL": server.url, "ARNODE_MAX_EXPERIMENTS": "2"}
        done = arnode(home, *words, *AGENT, *spans, code=5, env=env)
        asked = [str(question["messages"]) for question in server.questions]
    assert "at most 1 pairs of blocks of 2 min; a result needs at least" in done.stderr
    assert "pair 1: bold.md" in done.stderr
    assert "no result yet" in done.stdout
    reported = [("Be bold." in one, "Be timid." in one) for one in asked]
    assert set(reported) == {(True, False), (False, True)}
    assert not any("Off by half" in one for one in asked if "Be timid." in one)
    again = arnode_json(home, *words, *AGENT, *spans, code=5)  # of the kept pair: nobody is asked
    (pair,) = again["pairs"]
    bold, timid = again["programs"]["a"], again["programs"]["b"]
    assert (bold["name"], timid["name"]) == ("bold.md", "timid.md")
    assert pair["a"]["gain"] == 0 or pair["a"]["tree"] != again["head"]
    assert pair["b"]["gain"] == 0 or pair["b"]["tree"] != again["head"]
    assert bold["gain_an_hour"] == pytest.approx(pair["a"]["gain"] * 3600 / 120)
    assert (again["verdict"], again["lower"], again["upper"]) == ("open", None, None)
    assert arnode_json(home, "log")["experiments"] == []  # nothing was recorded here


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_kill_in_a_block_leaves_nothing_behind_and_the_command_goes_on(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    words = ("agent", "compare", "search", "search", *UNHURRIED_FLAGS)
    spans = ("--for", "26s", "--block", "12s")
    begun = subprocess.Popen([*COMMAND, *words, *spans], env=environment(home))
    _await(lambda: any(Home(home).comparisons.glob("*/0*/node.sock")))
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    _await(lambda: not any(programs_in(home, "")))
    again = arnode_json(home, *words, *spans, code=5)
    assert len(again["pairs"]) == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("none", "search"), "there is no proposer to compare"),
        (("auto", "search"), "`auto` can be any proposer"),
        (("claud", "search"), "'claud' is not a proposer"),
        (("bold.md", "timid.md"), "the built-in search reads no instructions"),
        (("mild.md", "timid.md"), "there is no file mild.md"),
        (("search", "small#mild"), "there is no file"),
        (("search", "search", "--for", "1m", "--block", "40s"), "do not fit into"),
        (("search", "search", "--task", "tinny"), "there is no task 'tinny'"),
    ],
)
def test_what_cannot_be_compared_is_reported(
    tmp_path: Path,
    texts: Path,
    words: tuple[str, ...],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(texts)
    task = () if "--task" in words else UNHURRIED_FLAGS
    code = 6 if "#" in words[1] else 2  # a setting's text is missing, as at a start
    assert expected in fault_of(tmp_path / "home", "agent", "compare", *words, *task, code=code)


def _await(happens: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < end_s
        time.sleep(0.2)
