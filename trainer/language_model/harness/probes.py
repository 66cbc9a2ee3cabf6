"""Small named programs, each of which tests one ability of a device that runs need.

They are arnode's own code and run in a sandbox like a script, so a probe fails where a script would
fail. Each prints a line as soon as it has ended, so that one that hangs or kills the process can be
identified. They also run on a processor.
"""

import importlib.util
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch.nn import functional as F

MARK: Final = "probe "  # begins the line of a probe's result
_LENGTH, _HEADS, _WIDTH, _WINDOW = 256, 2, 128, 32  # the width of heads is that of scripts
_TOLERANCE: Final = 0.05  # for 16-bit floats near one
_ELEMENTS: Final = 1 << 16
_BLOCK: Final = 1024


def main(names: Sequence[str]) -> None:
    """Run the named probes one after the other, and print the result of each."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name in names:
        try:
            detail, fault = PROBES[name](device), None
        except Exception as error:  # noqa: BLE001 -- torch, Triton or the driver may raise any
            traceback.print_exc()
            said = str(error).strip().partition("\n")[0].partition(". ")[0]
            detail, fault = "", f"{type(error).__name__}: {said}"[:200]
        outcome = {"name": name, "detail": detail, "fault": fault}
        print(f"{MARK}{json.dumps(outcome)}", flush=True)
        sys.stderr.flush()


def half_type(device: torch.device) -> torch.dtype:
    """Return the 16-bit float type for a device: bfloat16 from sm80 on, else float16."""
    if device.type == "cpu" or torch.cuda.get_device_capability(device)[0] >= 8:
        return torch.bfloat16
    return torch.float16


def product(device: torch.device) -> str:
    """Multiply matrices of 16-bit floats, and compare with 32-bit floats on the processor."""
    torch.manual_seed(1)
    left, right = torch.randn(2, 512, 512).unbind()
    kind = half_type(device)
    found = left.to(device, kind) @ right.to(device, kind)
    _require_near(found.float().cpu() / math.sqrt(512), left @ right / math.sqrt(512))
    return str(kind).removeprefix("torch.")


def triton_kernel(device: torch.device) -> str:
    """Compile a Triton kernel and launch it."""
    if importlib.util.find_spec("triton") is None:
        raise ModuleNotFoundError("triton is not installed")
    import triton

    from trainer.language_model.harness.added import add_kernel

    left, right = torch.randn(2, _ELEMENTS, device=device).unbind()
    total = torch.empty_like(left)
    add_kernel[(_ELEMENTS // _BLOCK,)](left, right, total, BLOCK=_BLOCK)
    _require_near(total, left + right)
    return f"triton {triton.__version__}"


def compiling(device: torch.device) -> str:
    """Compile several operations with torch.compile, and compare the gradient with eager mode."""
    if os.environ.get("TORCHDYNAMO_DISABLE") == "1":
        raise RuntimeError("there is no compiler in this sandbox")

    def scored(x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, (x.size(-1),)).square().relu().sum()

    x = torch.randn(64, 256, device=device, requires_grad=True)
    torch.autograd.backward(scored(x))
    expected, x.grad = x.grad, None
    torch.autograd.backward(torch.compile(scored)(x))
    assert expected is not None  # noqa: S101 -- backward has been
    assert x.grad is not None  # noqa: S101 -- likewise
    _require_near(x.grad, expected)
    return ""


def varlen(device: torch.device) -> str:
    """Run torch's built-in FlashAttention with a sliding window."""
    from torch.nn.attention.varlen import varlen_attn

    attention: Any = varlen_attn  # its signature differs between releases

    def attend(*parts: torch.Tensor) -> torch.Tensor:
        starts = torch.tensor([0, _LENGTH], device=device, dtype=torch.int32)
        flat = [part[0].transpose(0, 1) for part in parts]
        mixed: torch.Tensor = attention(
            *flat, starts, starts, _LENGTH, _LENGTH, window_size=(_WINDOW, 0)
        )
        return mixed.transpose(0, 1)[None]

    return _attention(device, attend)


def flex(device: torch.device) -> str:
    """Compile flex attention with a sliding window and run it."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def near(_row: Any, _head: Any, at: Any, other: Any) -> Any:
        return (at >= other) & (at - other <= _WINDOW)

    mask = create_block_mask(near, None, None, _LENGTH, _LENGTH, device=str(device))
    attend: Any = torch.compile(flex_attention)
    return _attention(device, lambda *parts: attend(*parts, block_mask=mask))


def masked(device: torch.device) -> str:
    """Run plain attention with a mask."""
    return _attention(device, _plain)


def pinned(device: torch.device) -> str:
    """Copy from pinned memory to the device without waiting."""
    if device.type != "cuda":
        raise RuntimeError("there is no card to copy to")
    sent = torch.arange(_ELEMENTS).pin_memory()
    arrived = sent.to(device, non_blocking=True)
    copied: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record()
    copied.synchronize()
    if not torch.equal(arrived.cpu(), sent):
        raise RuntimeError("the copy differs from the original")
    return ""


def _attention(device: torch.device, attend: Callable[..., torch.Tensor]) -> str:
    """Compare an attention with plain attention in 32-bit floats, and require a finite gradient."""
    torch.manual_seed(1)
    parts = torch.randn(3, 1, _HEADS, _LENGTH, _WIDTH)
    half = parts.to(device, half_type(device)).requires_grad_()
    mixed = attend(*half.unbind())
    _require_near(mixed.float().cpu(), _plain(*parts.unbind()))
    torch.autograd.backward(mixed.float().square().sum())
    if half.grad is None or not half.grad.isfinite().all():
        raise RuntimeError("its gradient is not finite")
    return ""


def _plain(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(query, key, value, attn_mask=_mask(query.device))


def _mask(device: torch.device) -> torch.Tensor:
    at = torch.arange(_LENGTH, device=device)
    distance = at[:, None] - at
    return (distance >= 0) & (distance <= _WINDOW)


def _require_near(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Raise RuntimeError if numbers differ by more than the precision of 16-bit floats."""
    apart = (found.float() - expected.float()).abs().max().item()
    if not apart <= _TOLERANCE:
        raise RuntimeError(f"results differ by {apart:.3g}")


PROBES: Final[dict[str, Callable[[torch.device], str]]] = {
    "product": product,
    "triton": triton_kernel,
    "compile": compiling,
    "varlen": varlen,
    "flex": flex,
    "masked": masked,
    "pinned": pinned,
}
