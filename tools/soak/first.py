"""From `start` to the first counted run, with the processor in a card's place: seconds by step.

The node is a program of its own and its data come over a line of 100 Mbit/s, from a mirror on
loopback whose shards are as large as the real ones. What differs from a card: the model is of toy
size, so fewer rows are scored, and `tiny` has no processor to itself meanwhile.
"""

import hashlib
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

_SHARD_BYTES: Final = 100_000_000  # what nanochat speaks of
_MBIT_S: Final = 100.0
_MOST_S: Final = 900.0
_SHARDS: Final = (
    "shard_00000.parquet", "shard_06542.parquet", "shard_06540.parquet", "shard_06541.parquet",
)  # fmt: skip
_TASK: Final = ROOT / "trainer" / "tasks" / "nanochat"
_ROWS: Final = 32  # of 2048 tokens: a processor scores no thousand of them in its two minutes
# What the node says when a step is over, one after the other.
_STEPS: Final = {
    "proving begins": r"proves itself",
    "card": r" card: .*\(\d+ s\)$",
    "abilities": r" abilities: .*\(\d+ s\)$",
    "size": r" size: .*\(\d+ s\)$",
    "whole runs": r" whole runs: .*\(\d+ s\)$",
    "task open": r" task mirrored on ",
    "first counted run": r" baseline measured",
}

Figures = Mapping[str, object]


def run_first(folder: Path) -> Figures:
    """Start a node in a home of nothing, and say when each step was over."""
    write_shards(folder / "mirror", _SHARDS, _SHARD_BYTES)
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    with _mirrored(folder / "mirror") as hub:
        task = _task_of(hub, folder / "mirrored")
        seconds = dict(_ended(home, task))
    return {
        "holds": list(seconds)[-1:] == ["first counted run"] and max(seconds.values()) <= _MOST_S,
        "megabytes": round(
            sum((folder / "mirror" / name).stat().st_size for name in _SHARDS) / 1e6
        ),
        "mbit_s": _MBIT_S,
        "seconds": {name: round(seconds_, 1) for name, seconds_ in seconds.items()},
    }


@contextmanager
def _mirrored(folder: Path) -> Iterator[Hub]:
    with served(folder) as hub:
        hub.mbit_s = _MBIT_S
        for name in _SHARDS:
            hub.announced[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        yield hub


def _task_of(hub: Hub, folder: Path) -> Path:
    """Write nanochat's task with another place for its data, and only what a first run needs."""
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


def _ended(home: Path, task: Path) -> Iterator[tuple[str, float]]:
    """Yield each step and how many seconds after the start it was over."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ARNODE_")}
    environment = {**kept, "ARNODE_HOME": str(home), "ARNODE_MDNS": "0", "NO_COLOR": "1"}
    command = dying([sys.executable, "-m", "tools.soak.first_start", str(task)])
    began_s, awaited = time.monotonic(), list(_STEPS)
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True,
    ) as node:  # fmt: skip
        assert node.stderr is not None
        for line in node.stderr:
            passed_s = time.monotonic() - began_s
            print(f"{passed_s:7.1f} s  {line.rstrip()}", file=sys.stderr, flush=True)
            if awaited and re.search(_STEPS[awaited[0]], line):
                yield awaited.pop(0), passed_s
            if not awaited or passed_s > 2 * _MOST_S:
                node.terminate()
