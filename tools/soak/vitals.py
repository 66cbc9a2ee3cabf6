"""Samples of a running node's memory, descriptors and disk use."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

_INTERVAL_S = 15.0
_WARM_UP = 0.1  # share of a session in which caches and imports fill
_WINDOW = 0.2  # share of a session over which its start and its end are averaged
_MINUTES_OF_ANY_WORTH = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sample of a node's process and home. `elapsed_s` is since the session's start."""

    elapsed_s: float
    memory_kib: int
    descriptors: int
    disk_kib: int
    experiments: int
    counted_share: float


def watch(process: "subprocess.Popen[bytes]", root: Path) -> list[Sample]:
    """Sample a node until it ends."""
    samples: list[Sample] = []
    started_s = time.monotonic()
    while process.poll() is None:
        if sample := _look(process.pid, root, time.monotonic() - started_s):
            samples.append(sample)
        try:
            process.wait(_INTERVAL_S)
        except subprocess.TimeoutExpired:
            continue
    return samples


def figures_of(samples: Sequence[Sample]) -> dict[str, object]:
    """Summarize samples: the growth from the session's start, after warm-up, to its end."""
    last_s = samples[-1].elapsed_s if samples else 0.0
    if last_s < _MINUTES_OF_ANY_WORTH * 60:
        return {}
    begin_s = _WARM_UP * last_s
    early = [s for s in samples if begin_s <= s.elapsed_s <= begin_s + _WINDOW * last_s]
    late = [s for s in samples if s.elapsed_s >= (1 - _WINDOW) * last_s]
    experiments = late[-1].experiments - early[0].experiments
    disk_kib = late[-1].disk_kib - early[0].disk_kib
    return {
        "counted_share": late[-1].counted_share,
        "memory_mb": round(fmean(s.memory_kib for s in late) / 1024, 1),
        "memory_growth": round(
            _growth([s.memory_kib for s in early], [s.memory_kib for s in late]), 4
        ),
        "descriptor_growth": round(
            _growth([s.descriptors for s in early], [s.descriptors for s in late]), 4
        ),
        "disk_mb_per_1000_experiments": round(disk_kib / 1024 * 1000 / max(1, experiments), 1),
    }


def _growth(early: Sequence[int], late: Sequence[int]) -> float:
    return fmean(late) / fmean(early) - 1


def _look(pid: int, root: Path, elapsed_s: float) -> Sample | None:
    """Return a sample, or None if the node is not up yet or has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return None
    said = subprocess.run(
        [sys.executable, "-m", "node", "status", "--json"],
        env={**os.environ, "ARNODE_HOME": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    document = json.loads(said.stdout) if said.returncode == 0 else {}
    if not document.get("running") or not document["lines"]:
        return None
    (line,) = document["lines"]
    return Sample(
        elapsed_s=elapsed_s,
        memory_kib=next(
            int(entry.split()[1]) for entry in status.splitlines() if entry.startswith("VmRSS:")
        ),
        descriptors=descriptors,
        disk_kib=_disk_kib(root),
        experiments=line["experiments"]["total"],
        counted_share=line["counted_share"],
    )


def _disk_kib(root: Path) -> int:
    """Return the home's disk use as `du` counts it, without the task's prepared data."""
    blocks = 0
    for path in root.rglob("*"):
        if path.is_relative_to(root / "data"):
            continue
        try:
            blocks += path.lstat().st_blocks
        except FileNotFoundError:
            continue  # the file was renamed or packed meanwhile
    return blocks // 2
