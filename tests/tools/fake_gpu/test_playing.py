"""Scripts on cards that are not there, where the environment for it was made (`make fake-gpu`)."""

import asyncio
from typing import Any

import pytest

from tests.trainer.pinned import load_pinned
from tools.fake_gpu.__main__ import play
from tools.fake_gpu.cells import Cell
from tools.fake_gpu.environment import Environment, FakeCard, find_environment

pytestmark = pytest.mark.soak

HEAD = """
import torch
from prepare import Tokenizer, evaluate_bpb, make_dataloader
tokenizer = Tokenizer.from_directory()
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(tokenizer.get_vocab_size()))
    def forward(self, tokens):
        return self.weight.expand(*tokens.shape, -1)
model = Model().cuda()
batches = make_dataloader(tokenizer, 2, 128, "train")
tokens, targets, _ = next(batches)
"""
HOLDING = "held = torch.empty(1 << 30, dtype=torch.uint8, device='cuda')\n"
END = "evaluate_bpb(model, tokenizer, 2)\n"


@pytest.fixture(scope="module")
def environment() -> Environment:
    found = find_environment()
    if found is None:
        pytest.skip("no environment with torch for CUDA: `make fake-gpu` makes it")
    return found


def played(environment: Environment, script: str, **how: Any) -> dict[str, Any]:
    cell = Cell(
        part="test",
        name="test",
        script=script.encode(),
        **{"card": FakeCard.of(86, 8), "compiles": False, **how},
    )
    return asyncio.run(play(environment, cell))


def test_a_script_is_trained_and_scored_and_what_it_held_is_known(environment: Environment) -> None:
    little = played(environment, HEAD + END)
    assert (little["trained"], little["scored"]) == ("exported", "answered")
    assert little["peak_gib"] < 0.01
    assert little["weights_mb"] == 0
    much = played(environment, HEAD + HOLDING + END)
    assert much["peak_gib"] == pytest.approx(1.0, abs=0.01)
    assert much["share"] == pytest.approx(1 / 8, abs=0.01)
    again = played(environment, HEAD + 3 * (HOLDING + "del held\n") + END)
    assert again["peak_gib"] == much["peak_gib"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("raise TypeError('no such thing')\n", "TypeError: no such thing"),
        ("torch.zeros(2, device='cuda') @ torch.zeros(3, device='cuda')\n", "RuntimeError: "),
        ("raise SystemExit('nan: it is lost')\n", "RuntimeError: nan: it is lost"),
        ("import os; os.abort()\n", "died (-6)"),
    ],
)
def test_what_fails_is_reported(environment: Environment, line: str, said: str) -> None:
    row = played(environment, HEAD + line + END)
    assert row["trained"].startswith(said)
    assert row["scored"] == ""


def test_the_card_is_the_one_that_was_asked_for(environment: Environment) -> None:
    asked = """
card = torch.cuda.get_device_properties(0)
assert (card.major, card.minor, card.total_memory) == (7, 5, 16 << 30), card
assert torch.cuda.mem_get_info() == (16 << 30, 16 << 30)
"""
    row = played(environment, HEAD + asked + END, card=FakeCard.of(75, 16))
    assert row["trained"] == "exported"


def test_nothing_is_allocated_and_nothing_runs(environment: Environment) -> None:
    leaving = "torch.utils._python_dispatch._get_current_dispatch_mode_stack()"
    real = f"""
assert len({leaving}) == 2
with torch.utils._python_dispatch._disable_current_modes():
    torch.empty(1, device="cuda")
"""
    row = played(environment, HEAD + real + END)
    assert "CUDA driver version is insufficient" in row["trained"]


def test_kernels_become_machine_code_and_are_not_launched(environment: Environment) -> None:
    compiled = """
@torch.compile
def f(x):
    return (x * 2 + 1).relu().sum()
print(f(torch.zeros(1 << 20, device="cuda")))
"""
    row = played(environment, HEAD + compiled + END, compiles=True, is_scored=False)
    assert row["trained"] == "exported"
    assert row["cubins"] >= 2


def test_the_smallest_size_of_nanochat_fits_compiled(
    environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> None:
    script = load_pinned("nanochat", tmp_path_factory.mktemp("pinned")).source["train.py"]
    row = played(environment, script.decode(), card=FakeCard.of(86, 4), compiles=True)
    assert (row["trained"], row["scored"]) == ("exported", "answered")
    assert row["share"] < 0.9
    assert row["cubins"] > 100
