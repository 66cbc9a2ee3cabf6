"""What the sandboxed pipeline costs beside a plain process, in one run.

The plain process is what anybody would write: import torch, train, score the public split, with
no sandbox, no secret split and no audit. Both are measured in turns, so that a machine whose
speed drifts does not decide; the figure is the ratio of the medians.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from tests.trainer.counting import counted
from tests.trainer.runners import prepare_all
from trainer.language_model.data import TaskData
from trainer.measuring.outcome import RunOutcome
from trainer.runner import Runner
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

ROUNDS = 5
RUNS_A_ROUND = 4
PLAIN = Path(__file__).parent / "plain.py"


def run_pipeline(_: Path) -> dict[str, object]:
    """Return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        task = load_task("tiny", data_dir=root)
        data = prepare_all(task, data_dir=root, progress=lambda _what, _share: None)
        return asyncio.run(_measure(task, data, root))


async def _measure(task: Task, data: TaskData, root: Path) -> dict[str, object]:
    runner = Runner(
        task,
        data,
        audit_key=b"a test's key",
    )
    plain_s: list[float] = []
    pipeline_s: list[float] = []
    shares: list[float] = []
    try:
        await runner.calibrate(0)
        for turn in range(ROUNDS):
            plain_s.append(_plain(task, data, root, seed=turn))
            print(f"  plain process   {plain_s[-1]:.2f} s", file=sys.stderr)
            took_s, share = await _pipeline(runner, task, first_seed=1 + turn * RUNS_A_ROUND)
            pipeline_s.append(took_s)
            shares.append(share)
            print(f"  pipeline a run  {took_s:.2f} s, {share:.0%} of it counted", file=sys.stderr)
    finally:
        await runner.close()
    return {
        "plain_process_s": round(median(plain_s), 2),
        "pipeline_per_run_s": round(median(pipeline_s), 2),
        "ratio": round(median(pipeline_s) / median(plain_s), 2),
        "runs_per_hour": round(3600 / median(pipeline_s)),
        "counted_share": round(median(shares), 3),
        "turns": [[round(a, 2), round(b, 2)] for a, b in zip(plain_s, pipeline_s, strict=True)],
    }


def _plain(task: Task, data: TaskData, root: Path, *, seed: int) -> float:
    folder = root / "plain"
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_bytes(task.source["train.py"])
    (folder / "prepare.py").write_bytes(PLAIN.read_bytes())
    np.savez(
        folder / "data.npz",
        tokens=data.training_tokens(seed, task.manifest.budget.amount + 1),
        rows=data.public_rows,
        byte_counts=data.byte_counts,
    )
    started_s = time.monotonic()
    subprocess.run(
        [sys.executable, "train.py", str(seed)], cwd=folder, check=True, stdout=subprocess.DEVNULL
    )
    return time.monotonic() - started_s


def _is_fourth(number: int, _public: float, _secret: float) -> bool:
    return number % 4 == 0


async def _pipeline(runner: Runner, task: Task, *, first_seed: int) -> tuple[float, float]:
    """Seconds a run at steady state, training of one beside the scoring of the one before, and the
    share of the time in which one trained.

    Most runs of a night are screens, of which those that fail on their claim are not audited:
    three in four here.
    """
    started_s = time.monotonic()
    scoring: list[asyncio.Task[RunOutcome]] = []
    for number in range(RUNS_A_ROUND):
        trained = asyncio.Event()
        run = runner.run(
            task.source,
            first_seed + number,
            needs_audit=partial(_is_fourth, number),
            on_trained=trained.set,
        )
        scoring.append(asyncio.create_task(run))
        await trained.wait()
    outcomes = await asyncio.gather(*scoring)
    for outcome in outcomes:
        if outcome.status != "ok":
            raise SystemExit(f"a run of the baseline failed: {outcome.reason}")
    took_s = (time.monotonic() - started_s) / RUNS_A_ROUND
    found = counted(stage for outcome in outcomes for stage in outcome.stages)
    assert found is not None
    return took_s, found.share
