"""nanochat's script, at the size that it takes where there is no GPU, and by cards' memory."""

import ast
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.protocol.test_hardware import CARDS
from tests.trainer.runners import measured
from trainer.data import prepare
from trainer.outcome import RunOutcome
from trainer.task import Task, load_task

SCRIPT = Path(__file__).parents[2] / "trainer" / "tasks" / "nanochat" / "train.py"
# tiny's data and tokens, so that nothing is downloaded
TASK = """
extends = "tiny-short"
name = "nanochat-on-tiny"
title = "nanochat's script on tiny's text"
editable = ["train.py"]
knobs = {}

[audit]
k = 64
tolerance = 0.001
tau = 0.02
"""


def pieces(*names: str) -> dict[str, Any]:
    """Return these of the script's constants and functions: the rest of it is a whole run."""
    tree = ast.parse(SCRIPT.read_text())
    wanted = [
        node
        for node in tree.body
        if (isinstance(node, ast.FunctionDef) and node.name in names)
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in names)
    ]
    assert len(wanted) == len(names)
    found = {
        "torch": torch,
        "F": torch.nn.functional,
        "cache": cache,
        "device": torch.device("cpu"),
        "on_gpu": False,
        "has_bf16": False,
    }
    exec(compile(ast.Module(wanted, []), str(SCRIPT), "exec"), found)  # noqa: S102
    return found


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Task:
    folder = tmp_path_factory.mktemp("nanochat")
    (folder / "train.py").write_bytes(SCRIPT.read_bytes())
    (folder / "moves.toml").write_text("move = []\n")
    (folder / "task.toml").write_text(TASK)
    return load_task(folder, data_dir=data_dir)


@pytest.fixture(scope="module")
def outcomes(task: Task, data_dir: Path) -> list[RunOutcome]:
    data = prepare(task, data_dir=data_dir, progress=lambda _what, _share: None)
    return measured(task, data, 1, 2)


def test_it_learns_is_audited_and_its_seed_decides(outcomes: list[RunOutcome]) -> None:
    for outcome in outcomes:
        assert (outcome.status, outcome.reason) == ("ok", None), outcome.log_tail
        assert outcome.audit is not None
        assert outcome.metric_nano is not None
        assert outcome.metric_nano < 2_500_000_000  # an untrained model is worth 4.5 bits a byte
    first, other = (outcome.metric_nano for outcome in outcomes)
    assert first != other


@pytest.mark.parametrize(("name", "mib"), [card[:2] for card in CARDS])
def test_a_class_of_cards_has_one_size(name: str, mib: int) -> None:
    """torch tells of a few per cent less memory than the card has, more or less by driver."""
    size_for = pieces("SIZES", "size_for")["size_for"]
    sizes = {tuple(size_for(mib / 1024 * share)) for share in (1.0, 0.98, 0.96)}
    assert len(sizes) == 1, name


def test_every_size_is_one_that_runs_and_more_memory_takes_no_smaller_one() -> None:
    names = pieces("SIZES", "CPU_SIZE", "GATE_CHANNELS")
    sizes = [size for _, *size in names["SIZES"]]
    for _, width, head_width, sequence, step_tokens, rows in [*sizes, names["CPU_SIZE"]]:
        assert width % head_width == 0
        assert step_tokens % (rows * sequence) == 0
        assert width >= names["GATE_CHANNELS"]
    least = [size[0] for size in names["SIZES"]]
    assert least == sorted(least, reverse=True)
    assert least[-1] == 0
    for larger, smaller in pairwise(sizes):
        assert larger[0] >= smaller[0]
        assert larger[1] >= smaller[1]
        assert larger[5] * larger[3] >= smaller[5] * smaller[3]


@pytest.mark.filterwarnings("ignore:flex_attention called without")  # as scoring calls it
@pytest.mark.parametrize("window", [1, 3, 8, 9])
@pytest.mark.parametrize("name", ["masked_attention", "flex_attention"])
def test_attention_over_a_window_looks_that_far_back_and_never_ahead(
    name: str, window: int
) -> None:
    torch.manual_seed(1)
    query, key, value = torch.randn(3, 2, 9, 2, 4).unbind()
    attention = pieces("block_mask", name)[name]
    mixed = attention(query, key, value, window)
    for at in range(9):
        seen = slice(max(0, at - window), at + 1)
        scores = torch.einsum("bhd,bthd->bht", query[:, at], key[:, seen]) / 2
        expected = torch.einsum("bht,bthd->bhd", scores.softmax(-1), value[:, seen])
        torch.testing.assert_close(mixed[:, at], expected)


def test_a_step_is_about_as_long_in_every_direction_of_a_matrix_of_any_shape() -> None:
    step = pieces("POLAR", "SECOND_MOMENT", "when_on_gpu", "step_matrices")["step_matrices"]
    for shape in ((3, 8, 8), (2, 16, 4), (2, 4, 16)):
        torch.manual_seed(2)
        matrices, gradients = torch.zeros(shape), torch.randn(shape)
        momenta = torch.zeros(shape)
        along = -1 if shape[1] >= shape[2] else -2
        moments = torch.zeros(shape).mean(along, keepdim=True)
        step(matrices, gradients, momenta, moments, torch.tensor(0.9), torch.tensor(1.0), 0.0)
        values = torch.linalg.svdvals(-matrices)
        assert 0.3 < values.min() < values.max() < 2.0, shape
