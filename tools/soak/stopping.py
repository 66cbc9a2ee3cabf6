"""The savings and costs of early stopping, by replaying sessions of a node that stops nothing.

Each call records one more session with full loss curves in tools/soak/recorded/, and evaluates all
recorded sessions. Screens are replayed in order, with forecasts from the runs before. A stopped
screen saves the rest of its training. A kept patch among the stopped screens is lost. There are too
few of them to measure a loss of one in a hundred. So kept patches are tested many more times: one
run of the patch, with another seed, against forecasts from a random half of the other runs. It
holds if in at least three sessions with 200 screens a third of the time is saved and at most one
kept patch in a hundred is lost, by the upper end of a 95 % interval.
"""

import json
import lzma
import os
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final

from node.home.home import Home
from node.line.early_stop import finished_runs
from node.line.experiment import ExperimentStep
from node.line.job_kinds import KINDS
from node.line.loss_forecast import MISSED, SHARES, FinishedRun, LossForecast
from node.line.noise import known_noise
from node.store.jobs import Line
from node.store.store import Store
from protocol.rule import DEFAULT
from protocol.units import NANO
from tools.dying import dying
from trainer.measuring.loss_curve import LossPoint

_SESSIONS: Final = 3
_SCREENS: Final = 200
RECORDED: Final = Path(__file__).parent / "recorded"
_SAVED: Final = 0.35
_LOST: Final = 0.01
_RESAMPLED: Final = 1000
_BOUNDS: Final = (0.002, MISSED, 0.01, 0.02, 0.05, 0.1, 0.2)  # the curve, with the chosen bound

Figures = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A recorded screen, the score that it needed to pass, and whether the patch was kept."""

    run: FinishedRun
    needed: float
    is_kept: bool
    ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A recorded session. `sd` is the noise as known at its end, `ms` the time of all runs."""

    screens: tuple[Screen, ...]
    runs: tuple[FinishedRun, ...]
    sd: float
    ms: int


def run_stopping(home: Path, *, task: str = "tiny-long", minutes: float = 55) -> Figures:
    """Record one more session, and evaluate all sessions of this task."""
    path = next_session(task)
    place = home / path.stem  # an interrupted session resumes
    if not (place / "done").exists():
        _record(place, task, minutes)
    keep_session(read_session(place), path)
    sessions = [kept_session(path) for path in sorted(RECORDED.glob(f"{task}-*.json.xz"))]
    return {"task": task, **stopping_of(sessions)}


def next_session(task: str) -> Path:
    """Return the file for the next session of a task."""
    number = len([*RECORDED.glob(f"{task}-*.json.xz")])
    return RECORDED / f"{task}-{number:02}.json.xz"


def stopping_of(sessions: Sequence[Session]) -> Figures:
    """Return the figures of what early stopping would have saved and lost in these sessions."""
    screens = [len(one.screens) for one in sessions]
    kept = sum(screen.is_kept for one in sessions for screen in one.screens)
    is_enough = len(sessions) >= _SESSIONS and sum(screens) >= _SCREENS and kept > 0
    curve = {missed: _at_bound(sessions, missed) for missed in _BOUNDS}
    chosen = curve[MISSED]
    return {
        "holds": is_enough and chosen.saved >= _SAVED and chosen.lost_upper <= _LOST,
        "device_hours": [round(one.ms / 3_600_000, 2) for one in sessions],
        "screens": screens,
        "kept": kept,
        "chosen": MISSED,
        "by_chance_to_miss": {str(missed): asdict(point) for missed, point in curve.items()},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """The shares of screen time and of all run time that a bound saves, and its losses.

    Losses are counted among the kept patches in order, and among the repeated tests of them.
    """

    saved_of_screens: float
    saved: float
    kept_and_lost: int
    lost: str
    lost_upper: float


def _at_bound(sessions: Sequence[Session], missed: float) -> _Point:
    replayed = [_replayed(one, missed) for one in sessions]
    lost = sum(_lost(one, missed) for one in sessions)
    resampled = _RESAMPLED * sum(any(one.is_kept for one in each.screens) for each in sessions)
    saved_ms = sum(one[0] for one in replayed)
    return _Point(
        saved_of_screens=round(saved_ms / sum(one[1] for one in replayed), 3),
        saved=round(saved_ms / sum(one.ms for one in sessions), 3),
        kept_and_lost=sum(one[2] for one in replayed),
        lost=f"{lost} of {resampled}",
        lost_upper=round(upper_bound(lost, resampled) if resampled else 1.0, 5),
    )


def read_session(place: Path) -> Session:
    """Read a session from a node's home."""
    with Store.open_read_only(Home(place)) as store:
        (line,) = store.jobs.lines()
        manifest = store.records.manifest(line.task)
        assert manifest is not None
        sd = known_noise(store, line.key, manifest.noise_floor_nano).sd
        runs = finished_runs(store, line.key, manifest.metric.sign)
        screens = _screens(store, line, runs, manifest.metric.sign, sd)
        ended = [
            run.run
            for job in store.jobs.closed_jobs(line.key, *KINDS)
            for run in store.jobs.runs_of(job.id)
        ]
    return Session(
        screens=tuple(screens),
        runs=tuple(runs),
        sd=sd,
        ms=sum(run.ms for run in ended if run is not None),
    )


def keep_session(session: Session, path: Path) -> None:
    """Write a session to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "sd": session.sd,
        "ms": session.ms,
        "runs": [_run_document(run) for run in session.runs],
        "screens": [
            {"run": _run_document(one.run), "needed": one.needed, "kept": one.is_kept, "ms": one.ms}
            for one in session.screens
        ],
    }
    path.write_bytes(lzma.compress(json.dumps(document).encode()))


def kept_session(path: Path) -> Session:
    """Read a session from a file."""
    document = json.loads(lzma.decompress(path.read_bytes()))
    return Session(
        sd=document["sd"],
        ms=document["ms"],
        runs=tuple(_run_of(run) for run in document["runs"]),
        screens=tuple(
            Screen(run=_run_of(one["run"]), needed=one["needed"], is_kept=one["kept"], ms=one["ms"])
            for one in document["screens"]
        ),
    )


def _run_document(run: FinishedRun) -> dict[str, Any]:
    points = [[point.step, point.loss_nano] for point in run.points]
    trees = {"tree": run.tree.hex()[:16], "base": run.base.hex()[:16]}  # long enough to be unique
    return {"job": run.job, **trees, "steps": run.steps, "metric": run.metric, "points": points}


def _run_of(document: Mapping[str, Any]) -> FinishedRun:
    return FinishedRun(
        job=document["job"],
        tree=bytes.fromhex(document["tree"]),
        base=bytes.fromhex(document["base"]),
        points=tuple(LossPoint(step=step, loss_nano=loss) for step, loss in document["points"]),
        steps=document["steps"],
        metric=document["metric"],
    )


def upper_bound(lost: int, count: int, confidence: float = 0.95) -> float:
    """Return the upper end of a share's one-sided Wilson interval with continuity correction."""
    z = NormalDist().inv_cdf(confidence)
    share = min(1.0, (lost + 0.5) / count)
    spread: float = z * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    return min(1.0, (share + z * z / (2 * count) + spread) / (1 + z * z / count))


def _record(place: Path, task: str, minutes: float) -> None:
    Home(place).prepare()
    # Waiting for a quiet machine would not improve the curves.
    own = {"ARNODE_HOME": str(place), "ARNODE_STOP_EARLY": "false", "ARNODE_QUIET_MINUTES": "0"}
    command = [sys.executable, "-m", "node", "start", "--task", task, "--network", "none"]
    command += ["--for", f"{round(60 * minutes)}s"]
    subprocess.run(dying(command), env={**os.environ, **own}, stdin=subprocess.DEVNULL, check=True)
    (place / "done").touch()


def _screens(
    store: Store, line: Line, runs: Sequence[FinishedRun], sign: int, sd: float
) -> list[Screen]:
    found = []
    first_runs = {run.job: run for run in reversed(runs)}
    for job in store.jobs.closed_jobs(line.key, ExperimentStep):
        first = store.jobs.runs_of(job.id)[0].run
        if first is None or first.metric_nano is None or job.id not in first_runs:
            continue
        level = sign * job.step.known_level_nano / NANO
        found.append(
            Screen(
                run=first_runs[job.id],
                needed=level - DEFAULT.screen_sd * sd,
                is_kept=job.step.decision == "kept",
                ms=first.ms,
            )
        )
    return found


def _replayed(session: Session, missed: float) -> tuple[float, float, int]:
    """Return the saved milliseconds, the total, and the number of lost kept patches."""
    saved = whole = 0.0
    lost = 0
    stopped: set[int] = set()  # stopped runs do not improve later forecasts
    for screen in session.screens:
        number = screen.run.job
        before = [run for run in session.runs if run.job < number and run.job not in stopped]
        loss_forecast = LossForecast(before, screen.run.base, session.sd, missed=missed)
        share = _stopped_at(loss_forecast, screen)
        whole += screen.ms
        if share is not None:
            stopped.add(number)
            saved += (1 - share) * screen.ms
            lost += screen.is_kept
    return saved, whole, lost


def _stopped_at(loss_forecast: LossForecast, screen: Screen) -> float | None:
    """Return the share of its training at which a screen is stopped, or None if it is not."""
    for share in SHARES:
        found = loss_forecast.least(shown(screen.run, share), screen.run.steps)
        if found is not None and found[0] > screen.needed:
            return found[1]
    return None


def shown(run: FinishedRun, share: float) -> list[LossPoint]:
    """Return the loss points that a run had printed at this share of its training."""
    return [one for one in run.points if one.step <= (share + 0.02) * run.steps]


def _lost(session: Session, missed: float) -> int:
    """Return how many repeated tests of kept patches would be stopped."""
    chance = random.Random(1)
    kept = {screen.run.tree: screen for screen in session.screens if screen.is_kept}
    every = [run for run in session.runs if run.tree in kept]
    if not every:
        return 0
    drawn = (chance.choice(every) for _ in range(_RESAMPLED))
    return sum(_is_lost(kept[one.tree], one, session, missed, chance) for one in drawn)


def _is_lost(
    screen: Screen, drawn: FinishedRun, session: Session, missed: float, chance: random.Random
) -> bool:
    others = [run for run in session.runs if run.tree != drawn.tree]
    known = [run for run in others if run.tree == screen.run.base]
    changes = [run for run in others if run.tree != screen.run.base]
    half = chance.sample(changes, len(changes) // 2)
    rebased = replace(drawn, base=screen.run.base)
    again = Screen(run=rebased, needed=screen.needed, is_kept=True, ms=screen.ms)
    loss_forecast = LossForecast([*known, *half], screen.run.base, session.sd, missed=missed)
    return _stopped_at(loss_forecast, again) is not None
