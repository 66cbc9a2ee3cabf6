"""The two scripts that are compared, edits of ours, and the cost of a token in each.

Everything here is text and arithmetic. Of a script only its constants are evaluated.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from protocol.source import Source
from tools.gpu.ground import SCRIPT
from trainer.card_selftest.sizing import Size, sizes_of

RIVAL: Final = Path(__file__).parent / "autoresearch" / "train.py"

_ATTENTION: Final = re.compile(
    r"^# Attention: .*?^attention = best_attention\(\)\n", re.DOTALL | re.MULTILINE
)
_PLAIN_ATTENTION: Final = "attention = flash_attention\n"
_SIZED: Final = "HEADS = WIDTH // HEAD_WIDTH\n"  # after this line the size is known
_SET_THERE: Final = ("LAYERS", "WIDTH", "STEP_TOKENS", "ROWS", "TIME_BUDGET")

# Each point that our script takes from autoresearch's overnight session, with its value before.
ABLATIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "batch 2^18": {"STEP_TOKENS": "2 * STEP_TOKENS"},
    "depth 9, aspect 57": {"LAYERS, WIDTH": "LAYERS - 1, WIDTH - HEAD_WIDTH"},
    "embedding LR 0.9": {"EMBEDDING_LR": "0.6"},
    "decay of value embeddings": {"VALUE_DECAY": "0.0"},
    "rotary base 200,000": {"ROTARY_BASE": "10_000"},
    "unembedding LR 0.005": {"HEAD_LR": "0.004"},
    "short window T/8": {"SHORT_WINDOW": "2"},
    "long window in every fifth layer": {"WINDOWS": '"SSSL"'},
    "warmdown 0.75": {"WARMDOWN": "0.5"},
    "first stream 0.05": {"FIRST_STREAM": "0.1"},
    "final LR 0.05": {"FINAL_LR": "0.0"},
    "initialisation x 0.68": {"MATRIX_INIT": "1.0"},
    "decay of embedding and head": {"EMBEDDING_DECAY": "0.0", "HEAD_DECAY": "0.0"},
    "momentum in 200 steps": {"MOMENTUM": "(0.85, 0.95, 300)"},
    "steps ahead of the device": {"STEPS_AHEAD": "0"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes that determine the cost of a token; `windows` are the layers', in tokens."""

    layers: int
    width: int
    heads: int
    vocabulary: int
    windows: tuple[int, ...]
    gates: int
    gate_channels: int

    @property
    def flops_per_token(self) -> int:
        """The FLOPs of a token in forward and backward pass.

        Six per weight that a token is multiplied with, and attention over the full windows, counted
        as in nanochat and PaLM (arXiv 2204.02311, appendix B).
        """
        gates = self.gates * self.gate_channels * self.heads
        weights = 12 * self.layers * self.width**2 + gates + self.width * self.vocabulary
        return 6 * weights + 12 * self.width * sum(self.windows)


def moved(size: Size, deeper: int, doublings: int) -> Size:
    """Return a size with `deeper` thirds more layers and a batch doubled `doublings` times.

    Both may be negative. The width grows in proportion to the depth.
    """
    layers = size.layers + deeper * max(1, size.layers // 3)
    heads = max(1, round(size.width * layers / size.layers / size.head_width))
    step_tokens = int(size.step_tokens * 2.0**doublings)
    return replace(
        size,
        layers=layers,
        width=heads * size.head_width,
        step_tokens=step_tokens,
        rows=min(size.rows, step_tokens // size.sequence),
    )


def constants_of(size: Size) -> dict[str, str]:
    """Return the constants that give our script a size."""
    return {
        "LAYERS, WIDTH": f"{size.layers}, {size.width}",
        "STEP_TOKENS": str(size.step_tokens),
        "ROWS": str(size.rows),
    }


def ours() -> Source:
    """Return our script."""
    return Source.of({"train.py": SCRIPT.read_bytes()})


def theirs() -> Source:
    """Return the rival's script with our script's attention, so that only the recipes differ."""
    script = SCRIPT.read_text()
    attention = _ATTENTION.search(script)
    if attention is None:
        raise ValueError("our script has no section of attention")
    imports = [
        ast.unparse(node)
        for node in ast.parse(script).body
        if isinstance(node, ast.Import)
        or (isinstance(node, ast.ImportFrom) and node.module != "prepare")
    ]
    section = "\n".join((*imports, attention[0]))
    return Source.of({"train.py": replaced(RIVAL.read_text(), _PLAIN_ATTENTION, section).encode()})


def with_constants(source: Source, values: Mapping[str, str]) -> Source:
    """Return a source in which constants have other values.

    Constants that depend on the device's memory are set after it is known. Raises ValueError for a
    constant that does not occur exactly once.
    """
    text = source["train.py"].decode()
    for name, value in values.items():
        if set(name.split(", ")) <= set(_SET_THERE):
            text = replaced(text, _SIZED, f"{name} = {value}\n{_SIZED}")
            continue
        lines = re.findall(rf"^{name} = .*?(?=\s*(?:#.*)?$)", text, re.MULTILINE)
        text = replaced(text, f"\n{lines[0]}" if lines else f"{name} =", f"\n{name} = {value}")
    return source.replacing("train.py", text.encode())


def replaced(text: str, old: str, new: str) -> str:
    """Return the text with `old` replaced. Raises ValueError unless it occurs exactly once."""
    if text.count(old) != 1:
        raise ValueError(f"not there once: {old!r}")
    return text.replace(old, new)


def on_smaller_card(source: Source, memory_gib: float) -> Source:
    """Return our script sized for this much memory, and limited to it by torch's allocator."""
    text = source["train.py"].decode()
    text = replaced(text, "size_for(card.total_memory / 2**30)", f"size_for({memory_gib})")
    known = "has_bf16 = card.major >= 8\n"
    share = f"min(1.0, {memory_gib} * 2**30 / card.total_memory)"
    limit = f"torch.cuda.set_per_process_memory_fraction({share})\n"
    return source.replacing("train.py", replaced(text, known, f"{known}    {limit}").encode())


def size_of_ours(memory_gib: float | None) -> Size:
    """Return the size that our script takes on a card with this much memory, or on a CPU."""
    if memory_gib is None:
        return Size.of(0, *_constants(SCRIPT.read_text())["CPU_SIZE"])
    return next(size for size in sizes_of(SCRIPT.read_bytes()) if memory_gib >= size.least_gib)


def shape_of_ours(memory_gib: float, *, vocabulary: int, context: int) -> Shape:
    """Return the shape that our script takes on a card with this much memory."""
    known, size = _constants(SCRIPT.read_text()), size_of_ours(memory_gib)
    length = min(size.sequence, context)
    return _shape(
        layers=size.layers,
        width=size.width,
        head_width=size.head_width,
        vocabulary=vocabulary,
        pattern=known["WINDOWS"],
        long=length,
        short=max(1, length // known["SHORT_WINDOW"]),
        gate_channels=known["GATE_CHANNELS"],
    )


def shape_of_theirs(*, vocabulary: int, context: int) -> Shape:
    """Return the shape of the rival's script, which is the same for all cards."""
    known = _constants(RIVAL.read_text())
    head_width = known["HEAD_DIM"]
    return _shape(
        layers=known["DEPTH"],
        width=-(-known["DEPTH"] * known["ASPECT_RATIO"] // head_width) * head_width,
        head_width=head_width,
        vocabulary=vocabulary,
        pattern=known["WINDOW_PATTERN"],
        long=context,
        short=context // 2,
        gate_channels=known["GATE_CHANNELS"],
    )


def _shape(
    *,
    layers: int,
    width: int,
    head_width: int,
    vocabulary: int,
    pattern: str,
    long: int,
    short: int,
    gate_channels: int,
) -> Shape:
    is_long = [pattern[layer % len(pattern)] == "L" for layer in range(layers - 1)]
    return Shape(
        layers=layers,
        width=width,
        heads=width // head_width,
        vocabulary=vocabulary,
        windows=(*(long if each else short for each in is_long), long),
        gates=(layers + 1) // 2,
        gate_channels=gate_channels,
    )


def _constants(text: str) -> dict[str, Any]:
    """Return the constants at the start of one of our scripts."""
    found: dict[str, Any] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name):
            if not target.id.isupper():
                break
            found[target.id] = eval(ast.unparse(node.value), {})  # noqa: S307 -- our own text
    return found
