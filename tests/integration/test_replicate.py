"""`arnode task replicate`: real runs of two findings, interrupted and killed on the way."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.home.home import Home
from tests.integration.nodes import (
    COMMAND,
    PATIENCE_S,
    TASK_FLAGS,
    arnode,
    arnode_json,
    environment,
    fault_of,
)

CATALOGUE = """
[[finding]]
name = "own-rates"
move = "own-rates"
source = "somebody \\u001b[31m"
claimed = "not quantified"

[[finding]]
name = "broken"
title = "A slip"
idea = "None."
source = "somebody else"
claimed = "−0.1 bits per byte"

[[finding.edit]]
search = "LAYERS = 2"
replace = "LAYERS = lamps"

[[finding]]
name = "reaching"
title = "Reads what it should not"
idea = "None."
source = "a stranger"
claimed = "not quantified"

[[finding.edit]]
search = "LAYERS = 2"
replace = "LAYERS = len(open('/etc/passwd').read())"
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    path = tmp_path / "catalogue.toml"
    path.write_text(CATALOGUE)
    return path


def kept_lines(home: Path) -> list[bytes]:
    (path,) = Home(home).replications.iterdir()
    return path.read_bytes().splitlines()


def ended_by(home: Path, catalogue: Path, number: signal.Signals, when: str) -> tuple[int, str]:
    """Run it, send a signal once it has said something, and return its exit code and output."""
    words = (*COMMAND, "task", "replicate", str(catalogue), *TASK_FLAGS)
    with subprocess.Popen(
        words,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if when in line:
                break
        os.kill(process.pid, number)
        out, rest = process.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in rest, said
    return process.returncode, out


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_what_was_measured_before_an_interrupt_and_a_kill_is_not_measured_again(
    home: Path, catalogue: Path
) -> None:
    words = ("task", "replicate", str(catalogue), *TASK_FLAGS)
    code, table = ended_by(home, catalogue, signal.SIGINT, "to judge: at most")
    assert code == 130
    assert "own-rates" in table
    assert "open" in table
    assert "\x1b" not in table
    before = kept_lines(home)
    assert 2 <= len(before) <= 4  # the salt, the current run and the one scored at the same time

    code, table = ended_by(home, catalogue, signal.SIGKILL, "to judge: at most")
    assert (code, table) == (-signal.SIGKILL, "")
    after = kept_lines(home)
    assert after[: len(before)] == before
    assert len(after) > len(before)

    document = arnode_json(home, *words)
    lines = kept_lines(home)
    assert lines[: len(after)] == after
    runs = [json.loads(line) for line in lines[1:]]
    assert len({(one["tree"], one["run"]["seed"]) for one in runs}) == len(runs)
    assert document["runs_now"] == len(lines) - len(after)
    assert document["runs"] <= len(runs)
    own, broken, reaching = document["findings"]
    assert (own["name"], own["verdict"]) == ("own-rates", "confirmed")
    assert own["lower"] > 0  # how far above is the luck of a key that was made now
    assert own["gain"] > 0.05
    bases = {one["run"]["seed"] for one in runs if one["tree"] == document["base"]}
    assert {pair["seed"] for pair in own["pairs"]} <= bases
    assert broken["verdict"] == "unrunnable"
    assert "NameError" in broken["reason"]
    assert (reaching["verdict"], reaching["runs"]) == ("unrunnable", 0)
    assert "more than arithmetic" in reaching["reason"]

    again = arnode_json(home, *words)
    assert (again["runs_now"], again["findings"]) == (0, document["findings"])
    output = arnode(home, *words, "--only", "broken").stdout
    assert "NameError" in output
    assert output.splitlines()[-1].startswith("1 finding: 1 unrunnable; 0 runs in ")
    assert not Home(home).key.exists()  # nothing was signed


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (lambda path: (str(path.parent / "nowhere.toml"),), 2, "nowhere.toml"),
        (lambda path: (str(path), "--only", "own-rate"), 2, "own-rates"),
        (lambda path: (str(path), "--task", "tinny"), 2, "tiny"),
        (lambda path: (str(path), "--pairs", "1"), 2, "--pairs"),
        (lambda path: (_with(path, "source", "sauce"),), 6, "finding[1].source is missing"),
        (lambda path: (_with(path, "LAYERS = 2", "LAYERS = 9"),), 6, "exactly once"),
        (lambda path: (_with(path, "[[", "[["[:1]),), 6, "not TOML"),
    ],
)
def test_a_word_or_file_that_cannot_be_meant_is_answered_with_what_can(
    tmp_path: Path, catalogue: Path, words: Callable[[Path], Any], code: int, said: str
) -> None:
    assert said in fault_of(tmp_path / "empty", "task", "replicate", *words(catalogue), code=code)


def _with(path: Path, old: str, new: str) -> str:
    path.write_text(path.read_text().replace(old, new))
    return str(path)
