"""A node's verdicts on planted patches, whose gains are known and truthfully claimed by peers.

First each claim is re-run as it was made, like `arnode verify` does. Then a node works with only
these claims to try. A promotion trial confirms a whole stack, so it may include parts without
effect (they are named). But no head may be without gain.
"""

import asyncio
import random
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.home.home import Home
from node.line.rerun import RerunStep
from node.loop.session_plan import Goal
from node.running.node import Node
from node.running.questions import RerunRequest
from node.store.jobs import Job
from node.store.store import Store
from protocol.evidence import GAINS
from protocol.source import Source
from protocol.units import NANO
from tools.soak.history import contents_of, runs_by_kind, slots_of
from tools.soak.measuring import Worth, measure, noise_of, open_runner, worth_of
from tools.soak.moves import Move, judged_moves
from tools.soak.planted_patches import PLANTED, Planted
from tools.soak.stage import Claimant, open_stage
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

_BASELINE = "baseline"
_GOOD_SD = 4.0
_NULL_SD = 0.75  # allowed deviation of a null patch's measured mean: 3.5 standard errors
_MAX_EXPERIMENTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A planted patch claimed by a peer with its true gain."""

    patch: Planted
    source: Source
    worth: Worth

    @property
    def gain_nano(self) -> int:
        """The gain that the author claims."""
        return round(self.worth.gain * NANO)


def run_planted(folder: Path) -> dict[str, object]:
    """Make the missing measurements, run both tests and return their figures."""
    kept = folder.parent / "kept"
    task = load_task("tiny", data_dir=kept / "data")
    claims, noise_sd = asyncio.run(measured(task, kept))
    as_made = asyncio.run(_as_made(_fresh(folder / "as-made"), task, kept, claims))
    alone = asyncio.run(_alone(_fresh(folder / "alone"), task, kept, claims, noise_sd))
    patches: dict[str, Mapping[str, object]] = {}
    for claim in claims:
        said = as_made[claim.patch.name]
        is_good = claim.patch.kind == "good"
        patches[claim.patch.name] = {
            "kind": claim.patch.kind,
            "gain_sd": round(claim.worth.gain / noise_sd, 2),
            "error_sd": round(claim.worth.error / noise_sd, 2),
            "seeds": claim.worth.seeds,
            **said,
            "as_expected": is_as_planted(claim, noise_sd) and (said["verdict"] in GAINS) == is_good,
        }
    return {
        "task": task.name,
        "noise_sd": round(noise_sd, 5),
        "patches": patches,
        "by_itself": alone,
        "holds": all(one["as_expected"] for one in patches.values()) and alone["holds"],
    }


async def measured(task: Task, kept: Path) -> tuple[Sequence[Claimed], float]:
    """Return the planted patches with their measured gains, and the baseline's noise."""
    sources = {patch.name: patch.source(task) for patch in PLANTED}
    async with open_runner(task, kept) as runner:
        await measure(runner, {_BASELINE: task.source, **sources})
        claims = [
            Claimed(
                patch=patch,
                source=sources[patch.name],
                worth=worth_of(runner.kept, task.source, sources[patch.name]),
            )
            for patch in PLANTED
        ]
        return claims, noise_of(runner.kept, task.source)


def is_as_planted(claim: Claimed, noise_sd: float) -> bool:
    """Return True if a patch's measured gain fits its kind."""
    gain_sd = claim.worth.gain / noise_sd
    match claim.patch.kind:
        case "good":
            return gain_sd >= _GOOD_SD
        case "null":
            return abs(gain_sd) <= _NULL_SD
    return gain_sd <= 0


def _fresh(root: Path) -> Home:
    """Return an empty home. Measurements are kept elsewhere, so that a repetition is cheap."""
    shutil.rmtree(root, ignore_errors=True)
    return Home(root)


async def _as_made(
    home: Home, task: Task, kept: Path, claims: Sequence[Claimed]
) -> Mapping[str, Mapping[str, object]]:
    """Have every claim verified as it was made, in shuffled order."""
    order = "as made"
    mixed = random.Random(order).sample(claims, len(claims))
    jobs: dict[int, str] = {}
    figures: dict[str, Mapping[str, object]] = {}
    opened: list[Node] = []

    def report() -> None:
        for node in opened:
            store = node.line_resources.store
            for job in store.jobs.closed_jobs(node.research.line_key, RerunStep):
                if (name := jobs[job.id]) not in figures:
                    figures[name] = _judged(store, job)
                    print(f"  {name}: {figures[name]}", file=sys.stderr, flush=True)

    async with open_stage(
        home, task, kept, Goal(is_on_demand=True), order=order, on_record=report
    ) as node:
        opened.append(node)
        for number, claim in enumerate(mixed):
            said = Claimant(f"{order} {number}").claim(node, claim.source, claim.gain_nano)
            jobs[node.take(RerunRequest(claim=said.result.hex()))] = claim.patch.name
        await node.research.run()
    return figures


def _judged(store: Store, job: Job[Any]) -> Mapping[str, object]:
    step = job.step
    return {
        "verdict": step.verdict,
        "claim": step.word,
        "measured": None if step.measured_nano is None else step.measured_nano / NANO,
        "runs": sum(run.outcome is not None for run in store.jobs.runs_of(job.id)),
    }


async def _alone(
    home: Home, task: Task, kept: Path, claims: Sequence[Claimed], noise_sd: float
) -> Mapping[str, object]:
    """Let a node work until all claims are tried, and return the gains of its heads."""
    order = "by itself"
    mixed = random.Random(order).sample(claims, len(claims))
    names: dict[bytes, str] = {}
    goal = Goal(max_experiments=_MAX_EXPERIMENTS)
    async with open_stage(home, task, kept, goal, order=order) as node:
        for number, claim in enumerate(mixed):
            said = Claimant(f"{order} {number}").claim(node, claim.source, claim.gain_nano)
            names[said.patch] = claim.patch.name
        await node.research.run()
        store, line = node.line_resources.store, node.research.line_key
        slots, runs = slots_of(store, line), runs_by_kind(store, line)
        moves = [
            Move(
                old=node.line_resources.line_writer.source(adoption.body.from_tree),
                new=node.line_resources.line_writer.source(adoption.body.to_tree),
            )
            for adoption in store.experiments.adoptions(line)
        ]
    for slot in slots:
        said_of = f"{slot.kind} {names[slot.patch]}: {slot.decision}"
        print(f"  {said_of} after {slot.runs} runs", file=sys.stderr, flush=True)
    contents = contents_of(slots, task.source.tree, names)
    adoptions = await judged_moves(moves, contents, task, kept, noise_sd)
    kinds = {claim.patch.name: claim.patch.kind for claim in claims}
    head = contents[moves[-1].new.tree] if moves else ()
    return {
        "runs": runs,
        "tried": [
            {
                "patch": names[slot.patch],
                "as": slot.kind,
                "came": slot.decision,
                "runs": slot.runs,
            }
            for slot in slots
        ],
        "adoptions": [one.figures() for one in adoptions],
        "head": list(head),
        "rode_along": [name for name in head if kinds[name] != "good"],
        "holds": bool(adoptions)
        and all(one.gain_sd > 0 for one in adoptions)
        and all(any(kinds[name] == "good" for name in one.added) for one in adoptions),
    }
