"""Leaderboards as the API serves them: a list of all, and some rows of one at a time."""

from collections.abc import Iterator
from itertools import chain
from typing import Final, TypedDict

from node.line.noise import shown_sd
from node.line.rerun import RerunStep
from node.line.run_estimates import (
    most_rerun_pairs,
    rerun_duration_text,
    rerun_pairs,
    run_seconds,
)
from node.reporting.boards import BoardDocument, Code, Leaderboard
from node.reporting.open_home import OpenHome
from node.reporting.queries import Nothing, OfBoard
from node.reporting.tasks import TaskName, task_name
from node.store.boards import BoardKey
from node.store.store import Store
from node.terminal.vocabulary import why_unranked
from protocol.manifest import TaskManifest
from protocol.rule import QUICK, VERIFY, Policy
from protocol.styles import Style
from protocol.units import NANO

_BEYOND: Final = 2  # a claim of more than twice what anybody measured does not stretch the scale

BoardName = TypedDict(
    "BoardName", {"network": str, "task": TaskName, "class": str, "rows": int | None}
)
"""A leaderboard. `rows` is null if the leaderboard was not computed yet."""


class BoardNames(TypedDict):
    """All leaderboards with at least one record."""

    boards: list[BoardName]


class BoardPage(BoardDocument):
    """Some rows of a leaderboard; `total` counts all rows with the requested level of evidence.

    `noise` is the task's noise, one sd. `scale` are the two ends of a scale for gains, the same for
    all rows. `verify` and `verify_quick` say what a re-run takes on this machine. `open_reruns` are
    the job numbers of re-runs that have not ended, by the shown claim. `why_unranked` is null if
    the task is ranked.
    """

    why_unranked: str | None
    total: int
    offset: int
    noise: float
    scale: tuple[float, float]
    verify: "RerunCost"
    verify_quick: "RerunCost"
    open_reruns: dict[str, int]


class RerunCost(TypedDict):
    """The usual and the largest number of pairs of a re-run, and its time in words.

    `time` is null before the first run on this machine.
    """

    pairs: float
    most_pairs: int
    time: str | None


def boards_document(at: OpenHome, _: Nothing) -> BoardNames:
    """Return the leaderboards of every network, without those of unknown tasks."""
    boards, records = at.store.boards, at.store.records
    keys = [key for net in boards.networks() for key in boards.listed(net)]
    named = [(key, manifest) for key in keys if (manifest := records.manifest(key.task))]
    return {
        "boards": [
            {
                "network": key.net,
                "task": task_name(manifest),
                "class": key.hardware_class,
                "rows": boards.kept_rows(key),
            }
            for key, manifest in named
        ]
    }


def board_page(at: OpenHome, query: OfBoard) -> BoardPage:
    """Return the rows that a query selects. Raises UsageError if the task is not known here."""
    task, net = bytes.fromhex(query.task), query.network or at.net
    key = BoardKey(net=net, task=task, hardware_class=query.hardware_class)
    board = at.boards.get(at.store, key)
    rows = board.rows(query.level)
    shown = rows[query.offset : query.offset + query.limit]
    code = Code.of(at.store, at.blobs, board.manifest, shown, reads=False)
    document = board.document(shown, code, at.store.imported.listed(), top=20)
    run_s = _run_seconds(at.store, key)
    open_reruns = _open_reruns(at.store, task)
    return {
        **document,
        "why_unranked": why_unranked(board.manifest.scoring),
        "total": len(rows),
        "offset": query.offset,
        "noise": shown_sd(board.manifest.noise_floor_nano / NANO, Style.of(board.manifest)),
        "scale": _scale(board),
        "verify": _cost(board.manifest, run_s, VERIFY),
        "verify_quick": _cost(board.manifest, run_s, QUICK),
        "open_reruns": {
            row.result.hex(): open_reruns[row.result] for row in shown if row.result in open_reruns
        },
    }


def _run_seconds(store: Store, key: BoardKey) -> float | None:
    """Return the time of a run of the task here, if possible on the leaderboard's class."""
    lines = [line.key for line in store.jobs.lines() if line.key.task == key.task]
    lines.sort(key=lambda line: line.hardware_class != key.hardware_class)
    return next((run_s for line in lines if (run_s := run_seconds(store, line)) is not None), None)


def _cost(manifest: TaskManifest, run_s: float | None, policy: Policy) -> RerunCost:
    time = run_s and rerun_duration_text(manifest, run_s, policy=policy, is_published=True)
    return {
        "pairs": rerun_pairs(manifest, policy, is_published=True),
        "most_pairs": most_rerun_pairs(manifest, policy),
        "time": time or None,
    }


def _open_reruns(store: Store, task: bytes) -> dict[bytes, int]:
    lines = (line.key for line in store.jobs.lines() if line.key.task == task)
    jobs = chain.from_iterable(store.jobs.open_jobs(line, RerunStep) for line in lines)
    return {job.step.target: job.id for job in jobs if job.step.target is not None}


def _scale(board: Leaderboard) -> tuple[float, float]:
    """Return the ends of a scale from zero or below to the largest gain.

    Once anything was measured by others or here, claims stretch it to at most `_BEYOND` times that.
    So one invented number cannot make all bars invisible.
    """
    claims = [row.gain_anchor_nano or 0 for row in board.board.rows]
    measured = [*_measured(board)]
    highest = max(claims, default=0)
    if max(measured, default=0) > 0:
        highest = max(*measured, min(highest, _BEYOND * max(measured)))
    lowest = min([0, *measured])
    return max(lowest, -highest) / NANO, highest / NANO


def _measured(board: Leaderboard) -> Iterator[int]:
    """Yield the gains that other keys and this node measured."""
    for row in board.board.rows:
        if row.gain_rerun_nano is not None:
            yield row.gain_rerun_nano
        here = board.here.get(row.tree)
        if here is not None and here.anchor_gain is not None:
            yield here.anchor_gain.value_nano
