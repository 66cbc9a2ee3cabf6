"""nanochat: its script and moves, at the size without a GPU, and its task."""

import ast
import gc
import itertools
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from protocol.hygiene import check_for_task
from protocol.ideas import Move, PublishedFinding
from protocol.source import Source
from tests.protocol.test_hardware import CARDS
from tests.trainer.pinned import load_pinned
from tests.trainer.runners import measured, prepare_all
from trainer.measuring.outcome import RunOutcome
from trainer.task_folder.findings import load_catalogue
from trainer.task_folder.task import NotPreparedError, Task
from trainer.task_kinds import load_task

SCRIPT = Path(__file__).parents[2] / "trainer" / "tasks" / "nanochat" / "train.py"
# tiny's data and tokens, so that nothing is downloaded
TASK = """
extends = "tiny-short"
name = "nanochat-on-tiny"
title = "nanochat's script on tiny's text"
editable = ["train.py"]
hyperparameters = {}

[budget]
tokens = 15_360

[audit]
k = 64
tolerance = 0.001
tau = 0.02
"""


def pieces(*names: str) -> dict[str, Any]:
    """Return these constants and functions of the script, whose other code is a complete run."""
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
    data = prepare_all(task, data_dir=data_dir, progress=lambda _what, _share: None)
    return measured(task, data, 1, 2)


@pytest.mark.soak
def test_it_learns_is_audited_and_its_seed_decides(outcomes: list[RunOutcome]) -> None:
    for outcome in outcomes:
        assert (outcome.status, outcome.reason) == ("ok", None), outcome.log_tail
        assert outcome.metric_nano is not None
        assert outcome.metric_nano < 2_500_000_000  # an untrained model has 4.5 bits per byte
    assert outcomes[0].audit is not None
    first, other = ((outcome.metric_nano, outcome.secret_nano) for outcome in outcomes)
    assert first != other


@pytest.mark.parametrize(("name", "mib"), [card[:2] for card in CARDS])
def test_a_class_of_cards_has_one_size(name: str, mib: int) -> None:
    """torch reports a few per cent less memory than the card has, depending on the driver."""
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


# The task, pinned with invented hashes: the content of its files needs no shard


@pytest.fixture(scope="module")
def nanochat(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("pinned")
    with pytest.raises(NotPreparedError, match="task nanochat is not prepared") as caught:
        load_task("nanochat", data_dir=folder)
    assert caught.value.hint == "prepare it: arnode task prepare nanochat"
    return load_pinned("nanochat", folder)


def test_nanochat_is_autoresearchs_data_with_two_shards_that_nobody_trains_on(
    nanochat: Task,
) -> None:
    manifest = nanochat.manifest
    splits: dict[str, list[str]] = {"training": [], "public": [], "secret": []}
    for entry, _ in manifest.data:
        split, _, name = entry.partition("/")
        splits[split].append(name.removesuffix(".parquet"))
    assert splits == {
        "training": [f"shard_{number:05}" for number in range(10)],
        "public": ["shard_06542"],
        "secret": ["shard_06540", "shard_06541"],
    }
    assert (manifest.budget.unit, manifest.budget.amount) == ("seconds", 300)
    assert manifest.limits.limit_s > manifest.budget.amount
    assert manifest.context * manifest.scored_rows == 2_097_152
    assert not nanochat.is_private


def test_a_hyperparameter_keeps_the_constant_that_the_baseline_has(nanochat: Task) -> None:
    """A search that only varies hyperparameters could not return to a value outside the range."""
    code = nanochat.source["train.py"].decode()
    brought = "\n".join(edit.replace for move in nanochat.moves for edit in move.edits)
    for hyperparameter in nanochat.hyperparameters:
        lines = [
            line
            for line in f"{code}\n{brought}".splitlines()
            if line.startswith(f"{hyperparameter.name} = ")
        ]
        assert len(lines) == 1, hyperparameter.name
        value = ast.literal_eval(lines[0].partition(" = ")[2].partition("  #")[0])
        if hyperparameter.type == "choice":
            assert value in hyperparameter.choices, hyperparameter.name
        else:
            assert hyperparameter.low <= value <= hyperparameter.high, hyperparameter.name


def moved(source: Source, *moves: Move | PublishedFinding) -> Source:
    text = source["train.py"].decode()
    for move in moves:
        for edit in move.edits:
            assert text.count(edit.search) == 1, (move.name, edit.search)
            text = text.replace(edit.search, edit.replace)
    return source.replacing("train.py", text.encode())


def test_every_two_moves_go_together(nanochat: Task) -> None:
    assert len(nanochat.moves) >= 7
    for pair in itertools.permutations(nanochat.moves, 2):
        source = moved(nanochat.source, *pair)
        compile(source["train.py"], "+".join(move.name for move in pair), "exec")
        fault = check_for_task(source, nanochat.manifest, baseline=nanochat.source)
        assert fault is None, pair


VOCABULARY = 97
STEPS = 6
BEGINNING_ALIKE = ("", "bigrams", "smear", "chunked-loss")  # the baseline, and some moves
QUICK = BEGINNING_ALIKE[:1]


def marked(*names: str) -> list[Any]:
    """Return these changes as parameters, and mark all but the quick ones for the soak tests."""
    return [pytest.param(name, marks=[] if name in QUICK else pytest.mark.soak) for name in names]


@pytest.fixture(scope="module")
def trained(nanochat: Task) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Return a function that runs the script with a move on a few tokens, and returns its names.

    The data and the harness are tested elsewhere (`outcomes`).
    """
    seen: list[Any] = []

    class Tokenizer:
        @classmethod
        def from_directory(cls) -> "Tokenizer":
            return cls()

        def get_vocab_size(self) -> int:
            return VOCABULARY

    def batch(rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        # Each token determines the next one, so there is something to learn.
        tokens = (torch.arange(length + 1) + torch.randint(VOCABULARY, (rows, 1))) % VOCABULARY
        return tokens[:, :-1], tokens[:, 1:], 0

    def batches(_tokenizer: Any, rows: int, length: int, _split: str, **_: Any) -> Iterator[Any]:
        while True:
            yield batch(rows, length)

    prepare_ = ModuleType("prepare")
    given = {
        "CARD": {},
        "COMPILES": False,
        "MAX_SEQ_LEN": 128,
        "SEED": 3,
        "TIME_BUDGET": 0.0,
        "TOKEN_BUDGET": STEPS * 512,
        "Tokenizer": Tokenizer,
        "evaluate_bpb": lambda model, *_: seen.append(model),
        "make_dataloader": batches,
        "warmup_batch": batch,
    }
    for name, value in given.items():
        setattr(prepare_, name, value)

    @cache
    def train(name: str) -> dict[str, Any]:
        source = moved(nanochat.source, *[one for one in changes(nanochat) if one.name == name])
        names: dict[str, Any] = {"__name__": "train"}
        exec(compile(source["train.py"], "train.py", "exec"), names)  # noqa: S102
        assert seen.pop() is names["model"]
        return names

    precision = torch.get_float32_matmul_precision()
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "prepare", prepare_)
        yield train
    torch.set_float32_matmul_precision(precision)
    gc.enable()  # the script turns it off
    gc.unfreeze()


def changes(task: Task) -> list[Move | PublishedFinding]:
    """Return the moves, and the published findings that are not moves."""
    assert task.catalogue is not None
    known = {move.edits for move in task.moves}
    findings = load_catalogue(task.catalogue, task)
    return [*task.moves, *[finding for finding in findings if finding.edits not in known]]


def names_of_changes() -> list[str]:
    moves = tomllib.loads((SCRIPT.parent / "moves.toml").read_text())["move"]
    findings = tomllib.loads((SCRIPT.parent / "findings.toml").read_text())["finding"]
    return [one["name"] for one in (*moves, *findings) if "move" not in one]


@pytest.mark.soak
@pytest.mark.parametrize("name", marked("", *names_of_changes()))
def test_a_change_trains_and_predicts_from_what_came_before_alone(trained: Any, name: str) -> None:
    """This includes the baseline. Every parameter is trained, and the loss decreases."""
    names = trained(name)
    model = names["model"].eval()
    held = {id(one) for group in names["others"].param_groups for one in group["params"]}
    held |= {id(one) for stack in names["stacks"] for one in stack.parameters}
    assert held == {id(parameter) for parameter in model.parameters()}
    assert names["tokens_seen"] >= STEPS * 512
    after = {key: value.clone() for key, value in model.state_dict().items()}
    tokens = (torch.arange(128)[None] + torch.tensor([[5], [60]])) % VOCABULARY
    with torch.no_grad():
        logits = model(tokens)
        changed = tokens.clone()
        changed[:, 100:] = 1
        again = model(changed)
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()
        )
        model.initialise()
    assert logits.shape == (2, 128, VOCABULARY)
    torch.testing.assert_close(again[:, :100], logits[:, :100])
    assert not torch.allclose(again[:, 100:], logits[:, 100:])
    assert loss < 4.5  # ln 97 is 4.57
    assert all((value != after[key]).any() for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", marked(*BEGINNING_ALIKE[1:]))
def test_a_move_begins_as_the_baseline_does(trained: Any, name: str) -> None:
    """Two of them begin with no effect, and one computes the same loss in pieces."""
    tokens = torch.arange(130).view(2, 65) % VOCABULARY
    losses = []
    for model in (trained("")["model"], trained(name)["model"]):
        model.initialise()
        with torch.no_grad():
            model.head.weight.mul_(100)  # otherwise all logits are nearly the same
            losses.append(model(tokens[:, :-1], tokens[:, 1:]))
    torch.testing.assert_close(losses[1], losses[0])
