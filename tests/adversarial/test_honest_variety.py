"""Honest sources come through: a false alarm would cost a real finding.

A few of the task's moves here; `make soak PART=hostile` runs all of them.
"""

from pathlib import Path

import pytest

from protocol.ideas import Move
from tests.adversarial.bench import Bench
from tests.adversarial.honest import find_false_alarm
from trainer.measuring import cost
from trainer.task_kinds import load_task

_EVERY = 8


def some_moves() -> list[object]:
    moves = load_task("tiny", data_dir=Path()).moves[::_EVERY]  # moves need no data
    return [
        pytest.param(move, id=move.name, marks=[pytest.mark.soak] * (number > 1))
        for number, move in enumerate(moves)
    ]


@pytest.mark.soak
@pytest.mark.parametrize("move", some_moves())
def test_a_move_of_the_task_passes_its_audit(
    move: Move, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The ceilings of cost are not asked about, which a crowd of tests stretches seconds beyond.
    monkeypatch.setattr(cost, "_START_SLACK_S", 1.0)
    monkeypatch.setattr(cost, "_TRAIN_SLACK_S", 4.0)
    assert find_false_alarm(move, bench) is None
