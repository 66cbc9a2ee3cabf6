"""Early stopping, replayed: the saved share of runs, and the greatest loss."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from node.line.loss_forecast import MISSED, FinishedRun
from protocol.units import NANO
from tools.soak import stopping
from tools.soak.stopping import (
    RECORDED,
    Screen,
    Session,
    _replayed,
    keep_session,
    kept_session,
    stopping_of,
    upper_bound,
)
from trainer.measuring.loss_curve import LossPoint

BASE = bytes(32)
STEPS = 200
SD = 0.01


def ran(number: int, off: float, tree: bytes) -> FinishedRun:
    points = tuple(
        LossPoint(step=step, loss_nano=round((2 + off) * NANO)) for step in range(0, STEPS, 5)
    )
    return FinishedRun(
        job=number, tree=tree, base=BASE, points=points, steps=STEPS, metric=1.5 + off
    )


def test_what_never_was_lost_may_be_all_the_same() -> None:
    assert upper_bound(0, 300) == pytest.approx(0.01, abs=0.003)
    assert upper_bound(0, 3000) < 0.002
    assert upper_bound(30, 3000) > 0.01
    assert upper_bound(5, 5) == 1.0


def test_what_is_stopped_saves_the_rest_of_its_training_and_teaches_nothing() -> None:
    chance = random.Random(1)
    offs = [chance.uniform(-0.01, 0.05) for _ in range(30)] + [0.5, 0.5, -0.05]
    runs = [ran(0, 0.0, BASE)]
    runs += [ran(number, off, chance.randbytes(32)) for number, off in enumerate(offs, 1)]
    screens = [
        Screen(run=run, needed=1.5 - 0.75 * SD, is_kept=run.metric < 1.47, ms=1000)
        for run in runs[1:]
    ]
    session = Session(screens=tuple(screens), runs=tuple(runs), sd=SD, ms=40_000)
    saved, whole, lost = _replayed(session, MISSED)
    assert whole == 33_000
    assert lost == 0
    # The two that are far off, and of the others what is seen to be no gain.
    assert 2 * 0.7 * 1000 <= saved <= 12 * 0.7 * 1000


def test_a_session_that_is_kept_reads_as_it_was(tmp_path: Path) -> None:
    runs = tuple(ran(number, number / 100, bytes([number]) * 8) for number in range(3))
    runs = tuple(replace(run, base=bytes(8)) for run in runs)
    screens = tuple(Screen(run=run, needed=1.5, is_kept=True, ms=1000) for run in runs)
    session = Session(screens=screens, runs=runs, sd=SD, ms=4000)
    keep_session(session, tmp_path / "tiny-long-00.json.xz")
    assert kept_session(tmp_path / "tiny-long-00.json.xz") == session


def test_too_few_sessions_prove_nothing_and_are_reported_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stopping, "_RESAMPLED", 20)  # times that each kept change is met again
    (first, *_) = sorted(RECORDED.glob("*.json.xz"))
    reported = stopping_of([kept_session(first)])
    assert reported["holds"] is False
    assert reported["kept"]
