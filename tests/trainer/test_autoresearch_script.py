"""A script in the shape of autoresearch's is measured unchanged, without a line about arnode.

`tests/tasks/seconds/train.py` is our own code in that shape. It has kernels from a hub, its own
seed, gradient accumulation, a clock that does not count the first steps, and a summary after the
score.
"""

import re

import pytest

from tests.trainer.runners import measured
from trainer.language_model.data import TaskData
from trainer.measuring.outcome import RunOutcome
from trainer.task_folder.task import Task


@pytest.fixture(scope="module")
def outcomes(seconds_task: Task, seconds_data: TaskData) -> list[RunOutcome]:
    """Return the baseline's calibration and another run of it."""
    return measured(seconds_task, seconds_data, 1, 2)


def test_the_script_knows_nothing_of_arnode(seconds_task: Task) -> None:
    text = seconds_task.source["train.py"].decode()
    assert "arnode" not in text
    assert "TOKEN_BUDGET" not in text
    for line in (
        "from kernels import get_kernel",
        "torch.manual_seed(42)",
        "x, y, epoch = next(train_loader)",
        "val_bpb = evaluate_bpb(model, tokenizer, DEVICE_BATCH_SIZE)",
    ):
        assert line in text


@pytest.mark.soak
def test_it_is_measured_and_audited_unmodified(outcomes: list[RunOutcome]) -> None:
    for outcome in outcomes:
        assert (outcome.status, outcome.reason) == ("ok", None), outcome.log_tail
        assert outcome.tokens == 0  # the budget is time
    assert outcomes[0].audit is not None


@pytest.mark.soak
def test_it_trains_for_its_budget_and_learns(outcomes: list[RunOutcome]) -> None:
    for outcome in outcomes:
        assert 2000 <= outcome.ms < 20_000
        assert outcome.metric_nano is not None
        assert outcome.metric_nano < 3_200_000_000  # an untrained model has 4.5 bits per byte


@pytest.mark.soak
def test_its_own_seed_does_not_hide_the_runs_seed(outcomes: list[RunOutcome]) -> None:
    # Rounded scores of two seeds are equal now and then; the printed losses are not.
    first, second = (re.findall(r"loss: (\d+\.\d+)", outcome.log_tail) for outcome in outcomes)
    assert first
    assert second
    assert first[0] != second[0]


@pytest.mark.soak
def test_nothing_is_printed_after_the_weights_have_left(outcomes: list[RunOutcome]) -> None:
    for outcome in outcomes:
        assert "step 00000" in outcome.log_tail
        assert "val_bpb:" not in outcome.log_tail
