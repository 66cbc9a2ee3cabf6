"""A node that tries only peers' claims, with 30 % and with 60 % liars among the authors.

A slot is one tried claim, and its cost is its runs. A liar's claim can still contain a gain: a copy
of an honest claim, or an exaggerated one. A claim is fabricated if there is no gain. Wasted runs
are those on liars' claims that were fabricated or not taken over, as a share of all runs. The
liars' share of the slots after the first hundred is reported, too. When the node's head changes, a
session ends and all authors continue on the new head.
"""

import asyncio
import shutil
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from node.home.home import Home
from node.loop.session_plan import Goal
from node.running.node import Node
from tools.soak.crowd import AUTHORS, Crowd
from tools.soak.grounds import noise_of_baseline, survey, without_idle
from tools.soak.history import Slot, contents_of, runs_by_kind, slots_of
from tools.soak.moves import Move, judged_moves
from tools.soak.stage import open_stage
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

_SLOTS = 120
_BEFORE = 100  # slots after which the order must prefer honest authors
_MOST_SESSIONS = 40
# By share of liars: the largest allowed shares of wasted runs and of late slots.
_CROWDS = {0.3: (0.15, 0.10), 0.6: (0.30, 0.20)}


def run_liars(folder: Path) -> dict[str, object]:
    """Run both crowds and return their figures."""
    kept = folder.parent / "kept"
    task = load_task("tiny", data_dir=kept / "data")
    noise_sd, is_idle = asyncio.run(noise_of_baseline(task, kept))
    crowds: dict[str, Mapping[str, object]] = {}
    for share in _CROWDS:
        root = folder / f"{share:.0%}"
        shutil.rmtree(root, ignore_errors=True)
        name = f"{share:.0%} liars"
        crowds[name] = asyncio.run(_play(Home(root), task, kept, noise_sd, share))
        print(f"  {name}: {crowds[name]}", file=sys.stderr, flush=True)
    return {
        "task": task.name,
        "unread_constants_change_no_bit": is_idle,
        "crowds": crowds,
        "holds": is_idle and all(one["holds"] for one in crowds.values()),
    }


async def _play(
    home: Home, task: Task, kept: Path, noise_sd: float, share: float
) -> Mapping[str, object]:
    """Let a node work until enough slots are used, and judge its decisions."""
    order = f"liars {share:.0%}"
    ground = await survey(task, kept, task.source, noise_sd)
    crowd = Crowd.of(ground, liars=round(share * AUTHORS), order=order)
    slots: list[Slot] = []
    for session in range(_MOST_SESSIONS):
        slots, runs, moves = await _session(home, task, kept, crowd, f"{order}, {session}")
        if len(slots) >= _SLOTS:
            break
        head = moves[-1].new if moves else task.source
        crowd.move_to(await survey(task, kept, head, noise_sd))
    names = {patch: f"{one.way} {one.found.name}" for patch, one in crowd.published.items()}
    contents = contents_of(slots, task.source.tree, names)
    adoptions = await judged_moves(moves, contents, task, kept, noise_sd, program_of=without_idle)
    fabricated = {names[patch] for patch, one in crowd.published.items() if one.is_fabricated}
    false = [one for one in adoptions if one.gain_sd <= 0 or set(one.added) <= fabricated]
    lies = [slot for slot in slots if crowd.published[slot.patch].is_lie]
    in_vain = [
        slot for slot in lies if crowd.published[slot.patch].is_fabricated or not slot.is_taken
    ]
    wasted = _share(_runs(in_vain), sum(runs.values()))
    late_lies = [slot for slot in slots[_BEFORE:] if crowd.published[slot.patch].is_lie]
    late_share = _share(len(late_lies), len(slots[_BEFORE:]))
    most_wasted, most_late = _CROWDS[share]
    return {
        "slots": len(slots),
        "by_way": _by_way(crowd, slots),
        "runs": dict(runs),
        "wasted": wasted,
        "runs_on_lies": _share(_runs(lies), _runs(slots)),
        "late_slots_of_liars": late_share,
        "late_runs_on_lies": _share(_runs(late_lies), _runs(slots[_BEFORE:])),
        "adoptions": [one.figures() for one in adoptions],
        "false_adoptions": len(false),
        "holds": not false
        and bool(adoptions)
        and len(slots) >= _SLOTS
        and wasted <= most_wasted
        and late_share <= most_late,
    }


async def _session(
    home: Home, task: Task, kept: Path, crowd: Crowd, order: str
) -> tuple[list[Slot], Mapping[str, int], Sequence[Move]]:
    """Work until the head moves, the slots are used up or no claim is left.

    Return the slots, the number of runs by kind and the moves of the head.
    """

    def go_on() -> None:
        if opened is None:
            return  # records made on opening do not belong to a claim
        slots = slots_of(opened.line_resources.store, opened.research.line_key)
        crowd.go_on(opened, slots)
        line = opened.line_resources.line_writer.line
        has_moved = line is not None and line.verified != crowd.ground.head.tree
        if has_moved or len(slots) >= _SLOTS:
            opened.research.stop()

    opened: Node | None = None
    async with open_stage(
        home, task, kept, Goal(), order=order, program_of=without_idle, on_record=go_on
    ) as node:
        store, line = node.line_resources.store, node.research.line_key
        opened = node
        crowd.go_on(node, slots_of(store, line))
        await node.research.run()
        moves = [
            Move(
                old=node.line_resources.line_writer.source(adoption.body.from_tree),
                new=node.line_resources.line_writer.source(adoption.body.to_tree),
            )
            for adoption in store.experiments.adoptions(line)
        ]
        return slots_of(store, line), runs_by_kind(store, line), moves


def _by_way(crowd: Crowd, slots: Sequence[Slot]) -> Mapping[str, Mapping[str, float]]:
    """Return by way how many claims were published, tried and taken over, and their cost."""
    counts: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(int))
    for claim in crowd.published.values():
        counts[claim.way]["published"] += 1
    for slot in slots:
        count = counts[crowd.published[slot.patch].way]
        count["slots"] += 1
        count["runs"] += slot.runs
        count["taken"] += slot.is_taken
    return {way: dict(count) for way, count in counts.items()}


def _runs(slots: Sequence[Slot]) -> float:
    return sum(slot.runs for slot in slots)


def _share(part: float, whole: float) -> float:
    return round(part / whole, 3) if whole else 0.0
