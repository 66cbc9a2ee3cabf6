"""`kill -9` at random moments: the store, journal and key stay intact and the loop continues.

`run_kills` repeatedly starts a real node, kills it, a process of its run, or both after a random
time, and checks everything that is left. The last start is left alone until it makes progress.
Promotion trials are due after seconds. Every so often a kill waits for one, since few nodes that
live for seconds would reach it.
"""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from node.home.home import Home
from node.line.baseline import BaselineStep
from node.line.branch import BranchStep
from node.line.experiment import ExperimentStep
from node.line.job_kinds import KINDS
from node.line.promotion_trial import PromotionTrial
from node.line.reference_runs import ReferenceRunStep
from node.maintenance.fsck import examine
from node.store.blobs import Blobs
from node.store.jobs import Job, LineKey, PlannedRun
from node.store.journal import Journal
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.record_kinds import ResultBody, TaskBody
from protocol.records import Record
from tools.dying import dying
from tools.paths import TASKS
from trainer.host.device import processor
from trainer.host.processes import family_of

SHORT = TASKS / "short"
# From before the first run is planned until after several experiments.
_SHORTEST_S, _LONGEST_S = 0.5, 12.0
_NEEDED_EXPERIMENTS = 2
_PROMOTION_TRIAL_HOURS = "0.003"
_AIMED_S = 4.0  # the runs of a promotion trial take longer than this
_SETTLE_S = 1.5  # from the kill of a run to the kill of the node
_END_TIMEOUT_S = 600.0
_RECORDED = (BaselineStep, ExperimentStep, PromotionTrial, BranchStep)
_AIM_TIMEOUT_S = 180.0

RunKey = tuple[int, int]
Target = Literal["core", "run", "both"]
TARGETS: tuple[Target, ...] = ("core", "run", "both")


@dataclass(kw_only=True)
class Remains:
    """The parts of a killed node's store that later rounds are compared with."""

    records: Sequence[bytes] = field(default_factory=list)
    runs: dict[RunKey, PlannedRun] = field(default_factory=dict)
    under_way: list[str] = field(default_factory=list)


def run_kills(
    home: Path,
    rounds: int,
    seed: int,
    *,
    task: Path = SHORT,
    longest_s: float = _LONGEST_S,
    aim_every: int = 0,
) -> dict[str, object]:
    """Kill a node `rounds` times on this home; return the figures. `holds` sums them up.

    Every `aim_every`th kill (0: none) waits for a run of a promotion trial.
    """
    chance = random.Random(seed)
    place = Home(home)
    problems: list[str] = []
    remains = Remains()
    keys: set[str] = set()
    journals_behind = repeated = 0
    hit: Counter[str] = Counter()
    for number in range(1, rounds + 1):
        target = TARGETS[number % len(TARGETS)]
        is_aimed = aim_every > 0 and number % aim_every == 0
        seconds = chance.uniform(_SHORTEST_S, _AIMED_S if is_aimed else longest_s)
        ended = _kill_after(home, task, seconds, target, chance, is_aimed=is_aimed)
        hit[f"{target} killed"] += not ended
        hit["ended with an error"] += ended
        found, is_behind = _problems_in(place)
        journals_behind += is_behind
        problems += [f"kill {number}: {problem}" for problem in found]
        left = _remains_of(place)
        problems += [f"kill {number}: {problem}" for problem in _lost(remains, left)]
        repeated += _repeated(remains, left)
        hit.update(left.under_way)
        print(f"  kill {number} of {rounds}: {target}", file=sys.stderr, flush=True)
        remains = left
        if place.key.exists():
            keys.add(hashlib.sha256(place.key.read_bytes()).hexdigest())
    before = _experiments(place)
    started_s = time.monotonic()
    code = _run_to_its_end(home, task)
    found, is_behind = _problems_in(place)
    found += ["the journal stayed behind"] * is_behind
    left = _remains_of(place)
    problems += [f"at the end: {problem}" for problem in [*found, *_lost(remains, left)]]
    repeated += _repeated(remains, left)
    progress = _experiments(place) - before
    return {
        "kills": rounds,
        "hit": dict(sorted(hit.items())),
        "problems": problems,
        "journals_behind": journals_behind,
        "runs_repeated_with_their_seed": repeated,
        "records": len(left.records),
        "experiments": before + progress,
        "experiments_after_the_last_kill": progress,
        "last_exit_code": code,
        "seconds_to_go_on": round(time.monotonic() - started_s, 1),
        "keys": len(keys),
        "holds": not problems and code == 0 and progress >= _NEEDED_EXPERIMENTS and len(keys) == 1,
    }


def _start(home: Path, task: Path, *words: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        dying([sys.executable, "-m", "node", "start", "--task", str(task), *words]),
        env={
            **os.environ,
            "ARNODE_HOME": str(home),
            "ARNODE_PROMOTION_TRIAL_HOURS": _PROMOTION_TRIAL_HOURS,
            "ARNODE_QUIET_MINUTES": "0",  # the machine may never become quiet
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _run_to_its_end(home: Path, task: Path) -> int:
    process = _start(home, task, "--max-experiments", str(_NEEDED_EXPERIMENTS))
    try:
        return process.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        log = Home(home).log.read_text().splitlines()
        raise ArnodeError(
            f"the node had not ended after {_END_TIMEOUT_S:.0f} s", "\n".join(log[-20:])
        ) from None
    finally:
        process.kill()
        process.wait()


def _kill_after(
    home: Path,
    task: Path,
    seconds: float,
    target: Target,
    chance: random.Random,
    *,
    is_aimed: bool,
) -> bool:
    """Start a node and kill the target `seconds` after the node's socket appears.

    The node is killed in any case. With `is_aimed` the time starts with a promotion trial.

    Return True if the node ended by itself. That is an error exit if it lost a run of its baseline
    (an aimed node lives long enough to notice an earlier loss).
    """
    process = _start(home, task)
    socket = Home(home).socket
    socket.unlink(missing_ok=True)  # left behind by the last, killed node
    try:
        while not socket.exists():
            if process.poll() is not None:
                raise ArnodeError(f"the node ended with {process.returncode}", "see its node.log")
            time.sleep(0.05)
        if is_aimed:
            _wait_for_promotion_trial(Home(home), process)
            if process.poll() is not None:
                return True
        time.sleep(seconds)
        if process.poll() is not None:
            raise ArnodeError(f"the node ended with {process.returncode}", "see its node.log")
        family = family_of(process.pid)[1:]
        if target == "run" and family:
            _kill(chance.choice(family))
            time.sleep(_SETTLE_S)
        elif target == "both":
            process.kill()
            for pid in family:
                _kill(pid)
        return target == "run" and process.poll() is not None
    finally:
        process.kill()
        process.wait()


def _wait_for_promotion_trial(home: Home, process: "subprocess.Popen[bytes]") -> None:
    """Wait for an open promotion trial, or until none can be expected any more."""
    give_up_s = time.monotonic() + _AIM_TIMEOUT_S
    while time.monotonic() < give_up_s and process.poll() is None:
        with Store.open_read_only(home) as store:
            jobs = [
                job for line in _lines(store) for job in store.jobs.open_jobs(line, PromotionTrial)
            ]
        if jobs:
            return
        time.sleep(0.2)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _problems_in(home: Home) -> tuple[list[str], bool]:
    """Return the problems found, and True if only the journal waits for the next start."""
    problems: list[str] = []
    with Store.open_read_only(home) as store:
        own = store.records.own()  # reading fails for a record with a wrong signature
        problems += _chain_problems(own)
        problems += _half_experiments(store, own)
        problems += _reused_evidence(own)
        lines = _lines(store)
    is_behind = _catch_up(home, lines)
    return problems + examine(home), is_behind


def _catch_up(home: Home, lines: list[LineKey]) -> bool:
    """Update the journal as every start does first: add the commits that a kill prevented."""
    with home.lock(), Store.open(home) as store:
        written = [Journal(home, store, Blobs(home.blobs), line).catch_up() for line in lines]
    return any(written)


def _chain_problems(own: list[Record]) -> list[str]:
    expected: bytes | None = None
    for number, record in enumerate(own):
        if (record.seq, record.prev) != (number, expected):
            return [f"own record {record.seq} is not number {number} of the chain"]
        expected = record.id
    return []


def _half_experiments(store: Store, own: list[Record]) -> list[str]:
    """Return results without a patch, and jobs whose end does not match their record."""
    problems: list[str] = []
    results = [record.body for record in own if isinstance(record.body, ResultBody)]
    problems += [
        "a result lacks its patch"
        for body in results
        if body.patch is not None and store.records.patch(body.patch) is None
    ]
    recorded = {run.seed for body in results for run in body.runs}
    for line in _lines(store):
        for job in store.jobs.closed_jobs(line, *_RECORDED):
            if not _seeds(store, job) <= recorded:
                problems.append(f"{job.step.KIND} {job.id} is closed and not recorded")
        for job in store.jobs.open_jobs(line, *KINDS):
            if _seeds(store, job) & recorded:
                problems.append(f"{job.step.KIND} {job.id} is recorded and not closed")
    return problems


def _reused_evidence(own: list[Record]) -> list[str]:
    """Return runs that are counted in two results."""
    counted = Counter(
        (run.role, run.seed)
        for record in own
        if isinstance(record.body, ResultBody)
        for run in record.body.runs
    )
    return [f"{role} run {seed} counts twice" for (role, seed), n in counted.items() if n > 1]


def _seeds(store: Store, job: Job[Any]) -> set[int]:
    """Return the seeds of a job's ended runs, which its result must name."""
    return {run.seed for run in store.jobs.runs_of(job.id) if run.outcome is not None}


def _remains_of(home: Home) -> Remains:
    with Store.open_read_only(home) as store:
        own = [record.id for record in store.records.own()]
        runs = {
            (job.id, run.ordinal): run
            for line in _lines(store)
            for job in _all_jobs(store, line)
            for run in store.jobs.runs_of(job.id)
        }
        kinds = {job.id: job.step.KIND for line in _lines(store) for job in _all_jobs(store, line)}
    under_way = [
        f"{kinds[job_id]} {run.role} {run.ordinal if run.role == 'candidate' else ''}".strip()
        for (job_id, _), run in runs.items()
        if run.outcome is None
    ]
    return Remains(records=own, runs=runs, under_way=under_way)


def _lines(store: Store) -> list[LineKey]:
    """Return the lines in progress, including those whose baseline is not measured yet."""
    slug = processor().slug
    tasks = [record.body for record in store.records.listed("task")]
    return [
        LineKey(task=body.manifest.id, hardware_class=slug)
        for body in tasks
        if isinstance(body, TaskBody)
    ]


def _all_jobs(store: Store, line: LineKey) -> list[Job[Any]]:
    return [
        *store.jobs.closed_jobs(line, *_RECORDED, ReferenceRunStep),
        *store.jobs.open_jobs(line, *KINDS),
    ]


def _lost(before: Remains, after: Remains) -> list[str]:
    """Return the entries of `before` that are missing or changed."""
    problems: list[str] = []
    if after.records[: len(before.records)] != before.records:
        problems.append("own records are gone or changed")
    for key, run in before.runs.items():
        now = after.runs.get(key)
        if now is None or (now.seed, now.tree, now.role) != (run.seed, run.tree, run.role):
            problems.append(f"run {key} was planned and is gone or changed")
        elif run.outcome is not None and now.outcome != run.outcome:
            problems.append(f"run {key} had ended and has another outcome")
    return problems


def _repeated(before: Remains, after: Remains) -> int:
    """Return how many runs interrupted by a kill have ended since, with the same seed."""
    return sum(
        run.outcome is None and after.runs[key].outcome is not None
        for key, run in before.runs.items()
        if key in after.runs
    )


def _experiments(home: Home) -> int:
    with Store.open_read_only(home) as store:
        return sum(entry.stage in ("screen", "keep") for entry in store.experiments.listed())
