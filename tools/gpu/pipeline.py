"""Measurements of the time between counted runs, the card's use, and the sandbox's overhead.

The overhead is that of a script in the sandbox compared with a plain process.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean, median
from typing import Final

import numpy as np

from protocol.errors import ArnodeError
from protocol.source import Source
from tests.trainer.counting import counted
from tools.gpu.measuring import Figures, Report, Session, figures_of, rates_of, seconds_in
from tools.gpu.progress import with_progress
from tools.gpu.sources import ours, replaced, shape_of_ours, with_constants
from trainer.measuring.outcome import RunOutcome
from trainer.measuring.timeline import Stage

_PLAIN: Final = Path(__file__).parent / "plain.py"
_PLAIN_TIMEOUT_S: Final = 300
_LEAST_IN_A_ROW: Final = 2  # a single run has no counted share
_STAGES: Final = (
    ("train", ("spawn", "import", "build", "train", "export")),
    ("score", ("spawn", "import", "load", "score")),
    ("audit", ("spawn", "import", "load", "score")),
)


async def run_pipeline(session: Session, report: Report, *, experiments: int, steps: int) -> None:
    """Fill in the report: experiments in a row, then fixed steps inside and outside a sandbox."""
    report.figures["calibration"] = figures_of(await session.begin(1))
    outcomes = await _experiments(session, report, experiments)
    found = counted(stage for outcome in outcomes for stage in outcome.stages)
    report.figures["experiments"] = [
        {**figures_of(outcome), "stages_s": stages_of(outcome.stages)} for outcome in outcomes
    ]
    report.figures["counted_share"] = None if found is None else round(found.share, 4)
    report.figures["gaps_s"] = [] if found is None else [gap / 1000 for gap in found.gaps_ms]
    machine, manifest = session.machine, session.task.manifest
    if machine.memory_gib is not None:
        shape = shape_of_ours(
            machine.memory_gib, vocabulary=manifest.vocabulary_size, context=manifest.context
        )
        report.figures["rates"] = rates_of(outcomes, shape, machine.peak_flops)
    else:
        report.skipped.append("MFU: no card")
    if not session.has_time_for(2):
        report.skipped.append("sandbox overhead: no time is left")
        return
    report.figures["sandbox"] = await _overhead(session, steps, rounds=max(1, experiments - 1))


async def _experiments(session: Session, report: Report, count: int) -> list[RunOutcome]:
    """Run edits of our script as a node does: each starts once the one before has trained.

    Each has its own tree, so that no run finds code that another one compiled.
    """
    runs: list[asyncio.Task[RunOutcome]] = []
    try:
        for number in range(1, count + 1):
            if number > _LEAST_IN_A_ROW and not session.has_time_for():
                report.skipped.append(f"experiments {number} to {count}: no time is left")
                break
            trained = asyncio.Event()
            source = with_constants(ours(), {"MATRIX_LR": f"{0.04 + number / 1000:.3f}"})
            run = session.run_alongside(
                f"experiment {number}", source, number, on_trained=trained.set
            )
            runs.append(asyncio.create_task(run))
            await trained.wait()
        return await asyncio.gather(*runs)
    finally:
        for task in runs:
            task.cancel()
        await asyncio.gather(*runs, return_exceptions=True)


def stages_of(stages: tuple[Stage, ...]) -> dict[str, dict[str, float]]:
    """Return the seconds of each stage of each part."""
    return {
        part: {name: seconds_in(stages, part, name) for name in names} for part, names in _STAGES
    }


async def _overhead(session: Session, steps: int, *, rounds: int) -> Figures:
    """Run the same steps in the sandbox and in a plain process, in turn."""
    text = replaced(ours()["train.py"].decode(), "while progress < 1:", f"while step < {steps}:")
    source = ours().replacing("train.py", text.encode())
    inside: list[dict[str, float]] = []
    outside: list[dict[str, float]] = []
    for seed in range(1, rounds + 1):
        if inside and not session.has_time_for(2):
            break
        outcome = await session.run(f"{steps} steps in a sandbox", source, seed, audited=False)
        if outcome.status != "ok":
            raise ArnodeError(
                f"{steps} steps in a sandbox ended as {outcome.status}: {outcome.reason}"
            )
        inside.append(stages_of(outcome.stages)["train"])
        outside.append(
            await with_progress(
                f"{steps} steps in a plain process",
                asyncio.to_thread(_plain, session, source, seed),
            )
        )
    within, without = (median(run["train"] for run in runs) for runs in (inside, outside))
    return {
        "steps": steps,
        "inside_s": inside,
        "outside_s": outside,
        "training_ratio": round(within / without, 4),
        "spawn_s": round(fmean(run["spawn"] for run in inside), 3),
    }


def _plain(session: Session, source: Source, seed: int) -> dict[str, float]:
    """Run the script with a stand-in for the harness, with caches as empty as a sandbox's."""
    manifest = session.task.manifest
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "train.py").write_bytes(source["train.py"])
        (folder / "prepare.py").write_bytes(_PLAIN.read_bytes())
        np.save(folder / "tokens.npy", np.concatenate(session.data.training_parts))
        (folder / "job.json").write_text(
            json.dumps(
                {
                    "seed": seed,
                    "context": manifest.context,
                    "seconds": manifest.budget.amount,
                    "vocabulary": manifest.vocabulary_size,
                    "card": session.card_facts,
                }
            )
        )
        caches = {
            "TORCHINDUCTOR_CACHE_DIR": f"{name}/inductor",
            "TRITON_CACHE_DIR": f"{name}/triton",
        }
        if not session.machine.is_card or not session.card_facts.get(
            "compiled", 1
        ):  # as in a sandbox
            caches["TORCHDYNAMO_DISABLE"] = "1"
        started_s = time.monotonic()
        ran = subprocess.run(
            [sys.executable, "train.py"],
            cwd=folder,
            env={**os.environ, **caches},
            capture_output=True,
            text=True,
            timeout=_PLAIN_TIMEOUT_S,
            check=False,
        )
        whole_s = time.monotonic() - started_s
        figures = folder / "figures.json"
        if not figures.exists():
            said = ran.stderr.strip().rpartition("\n")[2]
            raise ArnodeError(f"our script failed in a plain process: {said}")
        return {"whole": round(whole_s, 3), **json.loads(figures.read_text())}
