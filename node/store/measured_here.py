"""This node's own measurements of the trees on a leaderboard.

They are shown in the leaderboard's third column. The leaderboard's digest never covers them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import cast

from node.store.boards import BoardKey
from node.store.named_tasks import labels, task_named
from node.store.store import Store
from protocol.board_facts import BoardClaim, Fact, HeadMove, Vote
from protocol.errors import UsageError
from protocol.gains import Gain
from protocol.manifest import TaskManifest
from protocol.rerun import RerunVerdict
from trainer.task_folder.fields import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """This node's latest verdict on a tree.

    `gain` is over the base of the claim, None without pairs. `anchor_gain` is over the task's
    baseline, None if it was not measured.
    """

    verdict: RerunVerdict
    gain: Gain | None
    anchor_gain: Gain | None


def measured_here(facts: Iterable[Fact]) -> dict[bytes, Here]:
    """Return the latest verdict by tree from this node's facts, which must be oldest first.

    A promotion trial that led to an adoption counts as confirmed; any other trial as unconfirmed.
    """
    here: dict[bytes, Here] = {}
    for fact in facts:
        match fact:
            case BoardClaim(gain=gain) if gain is not None:
                here[fact.tree] = Here(
                    verdict="unconfirmed", gain=gain, anchor_gain=fact.anchor_gain
                )
            case Vote():
                word = cast("RerunVerdict", fact.verdict)  # this node signs no other verdicts
                here[fact.tree] = Here(verdict=word, gain=fact.gain, anchor_gain=fact.anchor_gain)
            case HeadMove() if fact.tree in here:
                here[fact.tree] = replace(here[fact.tree], verdict="confirmed")
    return here


def choose_board(
    store: Store,
    *,
    net: str,
    task: str | None,
    hardware_class: str | None,
    own_class: Callable[[TaskManifest], str],
) -> BoardKey | None:
    """Return the leaderboard of a task (default: the only one) and class (default: this machine's).

    None if the network has no leaderboard. Raises UsageError if the choice is ambiguous.
    """
    of_task = boards_of(store, net, task)
    classes = {key.hardware_class for key in of_task}
    if hardware_class is not None and hardware_class not in classes:
        known = classes or {line.hardware_class for line in store.jobs.lines()}
        if known and (of_task or hardware_class not in known):
            raise UsageError(
                f"there is no leaderboard of class {hardware_class!r} here",
                nearest(hardware_class, known),
            )
    if not of_task:
        return None
    manifest = store.records.manifest(of_task[0].task)
    assert manifest is not None  # noqa: S101 -- `boards_of` found its name there
    wanted = hardware_class or own_class(manifest)
    for key in of_task:
        if key.hardware_class == wanted:
            return key
    if len(of_task) == 1:
        return of_task[0]
    raise UsageError(
        f"there is no leaderboard of class {wanted!r} here",
        f"--class takes: {', '.join(sorted(classes))}",
    )


def boards_of(store: Store, net: str, task: str | None) -> list[BoardKey]:
    """Return a network's leaderboards of the named task, or of its only task; may be empty.

    Raises UsageError if there is no task with this name, or if the choice is ambiguous.
    """
    known = [key for key in store.boards.listed(net) if store.records.manifest(key.task)]
    tasks = {key.task for key in known}
    if task is not None:
        meant = task_named(store, task, tasks | {line.task for line in store.experiments.lines()})
        return [key for key in known if key.task == meant]
    if len(tasks) > 1:
        names = ", ".join(sorted(labels(store, tasks).values()))
        raise UsageError(
            f"there are leaderboards of several tasks: {names}", "choose one with --task"
        )
    return known
