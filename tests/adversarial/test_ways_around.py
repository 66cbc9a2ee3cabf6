"""The capability lint marks every known way around it, and the ways are real ones."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.source.capabilities import findings
from protocol.source import Source

WAYS: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "ways_around.toml").read_text("utf-8")
)["way"]
# Runs every source in a folder of its own and says of each whether it reached something.
RUN = """
import json, os, sys, warnings
import torch
warnings.simplefilter("ignore")
told, sys.stdout = sys.stdout, sys.stderr
for number, source in enumerate(json.load(sys.stdin)):
    os.mkdir(str(number))
    os.chdir(str(number))
    names, fault = {"__name__": "train"}, ""
    try:
        exec(compile(source, "train.py", "exec"), names)
    except BaseException as error:
        fault = f"{type(error).__name__}: {error}"
    reached = bool(os.listdir()) or bool(names.get("REACHED"))
    print(json.dumps([reached, fault]), file=told, flush=True)
    os.chdir("..")
"""


@pytest.mark.parametrize("way", WAYS, ids=[way["name"] for way in WAYS])
def test_a_way_around_is_marked(way: dict[str, Any]) -> None:
    assert findings(Source.of({"train.py": way["source"].encode()}))


@pytest.mark.soak
def test_there_are_many_and_they_reach_what_they_say(tmp_path: Path) -> None:
    real = [way for way in WAYS if way.get("real", True)]
    assert len(WAYS) >= 100
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps([way["source"] for way in real]),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    document = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(document) == len(real)
    idle = {
        way["name"]: fault
        for way, (reached, fault) in zip(real, document, strict=True)
        if not reached
    }
    assert idle == {}
