"""The seconds from `start` to the first counted run, by step, with the CPU in place of a card.

The node is a separate process. It downloads its data at 100 Mbit/s from a mirror on loopback whose
shards have the real size. Differences from a card: the model is toy-sized, so fewer rows are
scored, and `tiny` does not have the CPU to itself meanwhile.
"""

import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.trainer.hub import Hub, served
from tools.dying import dying
from tools.paths import ROOT
from tools.soak.mirror import write_shards

_SHARD_BYTES: Final = 100_000_000  # the size that nanochat states
_MBIT_S: Final = 100.0
_MOST_S: Final = 900.0
_SHARDS: Final = (
    "shard_00000.parquet", "shard_06542.parquet", "shard_06540.parquet", "shard_06541.parquet",
)  # fmt: skip
_TASK: Final = ROOT / "trainer" / "tasks" / "nanochat"
_ROWS: Final = 32  # of 2048 tokens; a CPU cannot score a thousand within its two minutes
# The node's messages at the end of each step, in order.
_STEPS: Final = {
    "proving begins": r"proves itself",
    "card": r" card: .*\(\d+ s\)$",
    "abilities": r" abilities: .*\(\d+ s\)$",
    "size": r" size: .*\(\d+ s\)$",
    "whole runs": r" whole runs: .*\(\d+ s\)$",
    "task open": r" task mirrored on ",
    "two runs": r" baseline measured .*\[([0-9a-f]+)\]",
}

Figures = Mapping[str, object]


def run_first(folder: Path) -> Figures:
    """Start a node on an empty home, and return when each step ended."""
    write_shards(folder / "mirror", _SHARDS, _SHARD_BYTES)
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    with _mirrored(folder / "mirror") as hub:
        task = _task_of(hub, folder / "mirrored")
        began_s = time.time()
        steps = list(_ended(home, task))
    seconds = {name: passed_s for name, passed_s, _ in steps}
    if "two runs" in seconds:
        record = steps[-1][2]
        seconds |= {name: at_s - began_s for name, at_s in _first_run(home, record).items()}
    return {
        "holds": seconds.get("first counted run", math.inf) <= _MOST_S,
        "megabytes": round(
            sum((folder / "mirror" / name).stat().st_size for name in _SHARDS) / 1e6
        ),
        "mbit_s": _MBIT_S,
        "seconds": {name: round(passed_s, 1) for name, passed_s in seconds.items()},
    }


@contextmanager
def _mirrored(folder: Path) -> Iterator[Hub]:
    with served(folder) as hub:
        hub.mbit_s = _MBIT_S
        for name in _SHARDS:
            hub.announced[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        yield hub


def _task_of(hub: Hub, folder: Path) -> Path:
    """Write nanochat's task with the mirror as its data source, reduced to a first run's needs."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(_TASK, folder)
    manifest = (folder / "task.toml").read_text()
    for old, new in {
        r'^name = "nanochat"$': 'name = "mirrored"',
        r"^url = .*$": f'url = "{hub.url}"',
        r"^needs_card = true$": "",
        r"^rows = \d+$": f"rows = {_ROWS}",
        r"^training = \[[^]]*\]$": f'training = ["{_SHARDS[0]}"]',
    }.items():
        manifest, count = re.subn(old, new, manifest, flags=re.MULTILINE)
        if count != 1:
            raise ValueError(f"{_TASK}/task.toml has no line {old}")
    (folder / "task.toml").write_text(manifest)
    return folder


def _ended(home: Path, task: Path) -> Iterator[tuple[str, float, str]]:
    """Yield each step, the seconds from the start to its end, and the record that it made."""
    command = dying([sys.executable, "-m", "tools.soak.first_start", str(task)])
    began_s, awaited = time.monotonic(), list(_STEPS)
    with subprocess.Popen(
        command, cwd=ROOT, env=_environment(home), text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as node:  # fmt: skip
        assert node.stderr is not None
        for line in node.stderr:
            passed_s = time.monotonic() - began_s
            print(f"{passed_s:7.1f} s  {line.rstrip()}", file=sys.stderr, flush=True)
            if awaited and (found := re.search(_STEPS[awaited[0]], line)):
                yield awaited.pop(0), passed_s, "".join(found.groups())
            if not awaited or passed_s > 2 * _MOST_S:
                node.kill()


def _first_run(home: Path, record: str) -> dict[str, float]:
    """Return when each stage of a record's first run ended, in seconds since 1970."""
    shown = subprocess.run(
        [sys.executable, "-m", "node", "show", record, "--json"],
        env=_environment(home), cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    run = min(json.loads(shown.stdout)["timeline"], key=lambda run: run["began_ms"])
    ended = {
        (one["sandbox"], one["stage"]): (run["began_ms"] + one["at_ms"] + one["ms"]) / 1000
        for one in run["stages"]
    }
    return {
        "built": ended["train", "build"],
        "trained": ended["train", "train"],
        "scored": ended["score", "score"],
        "first counted run": max(ended.values()),
    }


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ARNODE_")}
    return {**kept, "ARNODE_HOME": str(home), "ARNODE_MDNS": "0", "NO_COLOR": "1"}
