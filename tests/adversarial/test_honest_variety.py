"""Honest sources of every kind come through: a false alarm would cost a real finding."""

import pytest

from protocol.ideas import Move
from tests.adversarial.conftest import SECONDS_TASK, Bench
from trainer.task import load_task


def applied(move: Move, baseline: str) -> str:
    for edit in move.edits:
        assert baseline.count(edit.search) == 1, (move.name, edit.search)
        baseline = baseline.replace(edit.search, edit.replace)
    return baseline


def moves() -> tuple[Move, ...]:
    return load_task("tiny", data_dir=SECONDS_TASK).moves


@pytest.mark.parametrize("move", moves(), ids=lambda move: move.name)
def test_a_move_of_the_task_passes_its_audit(move: Move, bench: Bench) -> None:
    outcome = bench.run(applied(move, bench.baseline))
    assert (outcome.status, outcome.reason) == ("ok", None), outcome.log_tail
    assert outcome.audit is not None
    assert outcome.audit.k == 256
    assert outcome.metric_nano is not None
