"""An unattended night of a real node by its command line. Its result is then measured again.

It holds if the verified head is at least `NEEDED_SD` noise standard deviations better than the
baseline, if the gain on eight fresh seeds is inside the interval that the node published, and if
store, journal and table are intact. Memory, descriptors and disk use are sampled.
"""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from node.home.home import Home
from node.store.store import Store
from protocol.record_kinds import AdoptBody, ResultBody
from protocol.runs import Run
from protocol.statistics import student_t_quantile
from tools.dying import dying
from tools.soak.vitals import Sample, figures_of, watch

NEEDED_SD = 5.0
FRESH_SEEDS = 8
_STARTED = "started-at"


def run_night(home: Path, *, minutes: float, text: Path | None = None) -> dict[str, object]:
    """Let a node work for `minutes` (or the rest after an interruption) and check its work."""
    root = home / "node"
    home.mkdir(parents=True, exist_ok=True)
    mark = home / _STARTED
    if not mark.exists():
        mark.write_text(str(time.time()))
    left_s = minutes * 60 - (time.time() - float(mark.read_text()))
    task = ["--text", str(text)] if text else []
    samples: list[Sample] = []
    if left_s > 1:
        samples = _work(root, *task, "--for", f"{int(left_s)}s")
    status = json.loads(_arnode(root, "status", "--json"))["lines"][0]
    fresh = {
        name: json.loads(
            _arnode(root, "run", *task, "--source", name, "--seeds", str(FRESH_SEEDS), "--json")
        )
        for name in ("baseline", "head")
    }
    return {**_figures(root, minutes, status, fresh), **figures_of(samples)}


def _work(root: Path, *words: str) -> list[Sample]:
    """Run a node to its end. Raises CalledProcessError if it fails."""
    command = [sys.executable, "-m", "node", "start", *words]
    with subprocess.Popen(dying(command), env=_environment(root)) as node:
        samples = watch(node, root)
    if node.returncode:
        raise subprocess.CalledProcessError(node.returncode, command)
    return samples


def _figures(
    root: Path, minutes: float, status: dict[str, Any], fresh: dict[str, Any]
) -> dict[str, object]:
    # Compare on the public split, since each command draws its own secret split.
    public = {name: [run["metric"] for run in fresh[name]["runs"]] for name in fresh}
    gain = fmean(public["baseline"]) - fmean(public["head"])
    noise_sd = stdev(public["baseline"])
    published = _published_interval(root)
    table = _read_table(next((root / "journal").glob("*/results.tsv")))
    fsck = json.loads(_arnode(root, "home", "fsck", "--json"))
    gain_sd = gain / status["noise_sd"]
    return {
        "holds": bool(
            gain_sd >= NEEDED_SD
            and published
            and published[0] <= gain <= published[1]
            and fsck["ok"]
            and len(table) > 1
        ),
        "minutes": minutes,
        "task": status["task"]["name"],
        "experiments": status["experiments"],
        "checkpoints": status["verification"],
        "journal_rows": len(table),
        "fsck_ok": fsck["ok"],
        "noise_sd": round(status["noise_sd"], 5),
        "fresh_noise_sd": round(noise_sd, 5),
        "baseline": round(fmean(public["baseline"]), 4),
        "head": round(fmean(public["head"]), 4),
        "gain": round(gain, 4),
        "gain_sd": round(gain_sd, 1),
        "published_interval": published and [round(bound, 4) for bound in published],
        "floor": fresh["head"]["floor"],
    }


def _published_interval(root: Path) -> tuple[float, float] | None:
    """Return the 95 % interval of the head's gain over the baseline, from the head's record."""
    with Store.open_read_only(Home(root)) as store:
        adopted = [r.body for r in store.records.listed("adopt") if isinstance(r.body, AdoptBody)]
        if not adopted or adopted[-1].evidence is None:
            return None
        body = store.records.get(adopted[-1].evidence).body
    assert isinstance(body, ResultBody)
    has_anchor = any(run.role == "anchor" for run in body.runs)
    anchors = _by_seed(body.runs, "anchor" if has_anchor else "base")
    candidates = _by_seed(body.runs, "candidate")
    gains = [anchors[seed] - candidates[seed] for seed in anchors if seed in candidates]
    reach = student_t_quantile(0.975, len(gains) - 1) * stdev(gains) / len(gains) ** 0.5
    return fmean(gains) - reach, fmean(gains) + reach


def _by_seed(runs: tuple[Run, ...], role: str) -> dict[int, float]:
    return {
        run.seed: run.metric_nano / 1e9
        for run in runs
        if run.role == role and run.metric_nano is not None
    }


def _read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _arnode(root: Path, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "node", *arguments],
        env=_environment(root),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def _environment(root: Path) -> dict[str, str]:
    return {**os.environ, "ARNODE_HOME": str(root)}
