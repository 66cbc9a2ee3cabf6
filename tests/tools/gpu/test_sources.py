"""The two scripts, edits of ours, and figures that follow from their text and their runs."""

import ast
import builtins
import re

import pytest

from tools.gpu.card import Machine
from tools.gpu.measuring import pooled_sd, tokens_per_s
from tools.gpu.sources import (
    ABLATIONS,
    Shape,
    constants_of,
    moved,
    on_smaller_card,
    ours,
    shape_of_ours,
    shape_of_theirs,
    size_of_ours,
    theirs,
    with_constants,
)
from trainer.measuring.outcome import RunOutcome


def text_of(name: str) -> str:
    return {"ours": ours(), "theirs": theirs()}[name]["train.py"].decode()


@pytest.mark.parametrize("point", ABLATIONS)
def test_each_point_can_be_taken_back(point: str) -> None:
    text = with_constants(ours(), ABLATIONS[point])["train.py"].decode()
    compile(text, "train.py", "exec")
    for name, value in ABLATIONS[point].items():
        line = re.compile(rf"^{name} = {re.escape(value)}( *#.*)?$", re.MULTILINE)
        assert line.search(text)
        assert not line.search(text_of("ours"))


def test_an_edit_of_a_constant_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="not there once: 'NO_SUCH ='"):
        with_constants(ours(), {"NO_SUCH": "1"})


def test_both_scripts_have_the_same_attention() -> None:
    name = "def best_attention():"
    assert text_of("theirs").count(name) == text_of("ours").count(name) == 1
    mine, rival = (text_of(each).partition(name)[2] for each in ("ours", "theirs"))
    assert mine.partition("# Model")[0].strip() == rival.partition("# Model")[0].strip()
    compile(text_of("theirs"), "train.py", "exec")


def test_the_rival_knows_every_name_that_our_attention_uses() -> None:
    tree = ast.parse(text_of("theirs"))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    known = {node.id for node in names if isinstance(node.ctx, ast.Store)} | set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            known.add(node.name)
        elif isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, ast.alias):
            known.add(node.asname or node.name)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            known.add(node.name)
    assert {node.id for node in names} <= known


def test_the_rival_has_the_published_constants() -> None:
    for line in (
        "DEPTH = 8", "ASPECT_RATIO = 64", "HEAD_DIM = 128", 'WINDOW_PATTERN = "SSSL"',
        "TOTAL_BATCH = 2**19", "DEVICE_BATCH = 128", "EMBEDDING_LR = 0.6", "UNEMBEDDING_LR = 0.004",
        "MATRIX_LR = 0.04", "SCALAR_LR = 0.5", "WEIGHT_DECAY = 0.2", "ADAM_BETAS = (0.8, 0.95)",
        "WARMDOWN = 0.5", "FINAL_LR = 0.0", "LOGIT_CAP = 15.0", "ROTARY_BASE = 10_000",
        "FIRST_STREAM = 0.1",
    ):  # fmt: skip
        assert f"\n{line}\n" in text_of("theirs")


def test_flops_are_six_for_a_weight_and_twelve_for_what_attention_looks_at() -> None:
    shape = Shape(
        layers=2, width=8, heads=2, vocabulary=10, windows=(4, 16), gates=1, gate_channels=3
    )
    assert shape.flops_per_token == 6 * (2 * 12 * 64 + 2 * 3 + 80) + 12 * 8 * 20


def test_shapes_are_those_that_the_scripts_take_on_a_large_card() -> None:
    mine = shape_of_ours(139.8, vocabulary=8192, context=2048)
    assert (mine.layers, mine.width, mine.heads) == (9, 640, 5)
    assert mine.windows == (256, 256, 256, 256, 2048, 256, 256, 256, 2048)
    rival = shape_of_theirs(vocabulary=8192, context=2048)
    assert (rival.layers, rival.width, rival.heads) == (8, 512, 4)
    assert rival.windows == (1024, 1024, 1024, 2048, 1024, 1024, 1024, 2048)


@pytest.mark.parametrize("memory_gib", [None, 8, 24, 80])
@pytest.mark.parametrize("deeper", [-1, 0, 1])
@pytest.mark.parametrize("doublings", [-1, 0, 1])
def test_sizes_around_the_sized_baseline_are_ones_that_run(
    memory_gib: float | None, deeper: int, doublings: int
) -> None:
    base = size_of_ours(memory_gib)
    size = moved(base, deeper, doublings)
    assert (size == base) == (deeper == doublings == 0)
    assert size.width % size.head_width == 0
    assert size.step_tokens % (size.rows * size.sequence) == 0
    compile(with_constants(ours(), constants_of(size))["train.py"], "train.py", "exec")


def test_a_smaller_card_is_one_in_size_and_in_memory() -> None:
    text = on_smaller_card(ours(), 24)["train.py"].decode()
    assert "= size_for(24)" in text
    assert "set_per_process_memory_fraction(min(1.0, 24 * 2**30 / card.total_memory))" in text
    compile(text, "train.py", "exec")


def test_the_rate_is_the_last_that_a_script_printed() -> None:
    log = "step 50: loss 3.1, 900,000 tokens/s\nstep 100: loss 3.0, 1,234,567 tokens/s\nbye\n"
    assert tokens_per_s(outcome_with(log)) == 1_234_567
    assert tokens_per_s(outcome_with("no word of speed")) is None


def outcome_with(log_tail: str) -> RunOutcome:
    return RunOutcome(
        seed=1, status="ok", metric_nano=1, secret_nano=1, ms=1, cpu_ms=1, serve_ms=1, tokens=0,
        peak_mem_bytes=1, audit=None, flags=(), reason=None, unquoted=None, log_tail=log_tail,
        answers=None,
    )  # fmt: skip


def test_noise_is_taken_within_groups() -> None:
    assert pooled_sd([1.0, 3.0], [11.0, 13.0]) == pytest.approx(2**0.5)
    assert pooled_sd([1.0, 3.0], [5.0]) == pytest.approx(2**0.5)
    assert pooled_sd([1.0], [5.0]) is None


@pytest.mark.parametrize(
    ("name", "tera"),
    [
        ("NVIDIA H200", 989), ("NVIDIA H100 80GB HBM3", 989), ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA L40S", 362), ("NVIDIA GeForce RTX 4090", 165),
        ("NVIDIA GeForce RTX 3090", 71), ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA GeForce GTX 1080", None), (None, None),
    ],
)  # fmt: skip
def test_a_card_that_is_not_known_has_no_peak(name: str | None, tera: int | None) -> None:
    machine = Machine(
        name=name, memory_bytes=80 << 30, capability=(9, 0) if name else None, uuid=None,
        torch="2.13.0", cuda=None, driver=None,
    )  # fmt: skip
    assert machine.peak_flops == (tera and tera * 1e12)


def test_a_card_is_a_device_by_what_torch_alone_says_of_it() -> None:
    machine = Machine(
        name="NVIDIA H200", memory_bytes=150_100_000_000, capability=(9, 0), uuid="GPU-1-2",
        torch="2.13.0", cuda="12.8", driver=None,
    )  # fmt: skip
    device = machine.device
    assert (device.cuda, device.minor) == ("GPU-1-2", None)
    assert device.hardware_class.family == "cuda-sm90"
    assert machine.figures()["peak_tflops"] == 989
