"""Probes of a card's features in a sandbox. Their results become settings for training scripts."""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from trainer.card_selftest.report import Fault
from trainer.host.device import Device
from trainer.language_model.card_checks import profile_of
from trainer.language_model.job import program_message
from trainer.sandbox.frames import SandboxEnded
from trainer.sandbox.inside.channel import JOB
from trainer.sandbox.sandbox import Sandbox

_PRODUCT: Final = "product"
_MARK: Final = "probe "  # the beginning of each line of `harness.probes`
_PROGRAM: Final = "from trainer.language_model.harness import probes; probes.main({names!r})"
_DRIVER: Final = "update NVIDIA's driver; `nvidia-smi` must work"
_RAISED: Final = re.compile(r"\w+Error: ")  # the last line of a Python traceback
_SAID: Final = 300  # characters of that line
_TORCH: Final = "try another release of torch"
# The fault for each failed probe; `{why}` is the reason that the probe reports.
FAULTS: Final = {
    _PRODUCT: Fault(
        name="sandbox-without-cuda", said="CUDA fails in a sandbox ({why})", hint=_DRIVER
    ),
    "triton": Fault(
        name="triton-fails", said="a Triton kernel fails ({why})", hint=_TORCH,
        instead="nothing is compiled", is_kept=True,
    ),
    "compile": Fault(
        name="compile-fails", said="torch.compile fails ({why})",
        hint="install a C compiler: your distribution's package `gcc`",
        instead="nothing is compiled, and a micro-batch has half as many rows", is_kept=True,
    ),
    "varlen": Fault(
        name="attention-varlen", said="torch's FlashAttention fails ({why})", hint=_TORCH,
        instead="flex or masked attention", is_kept=True,
    ),
    "flex": Fault(
        name="attention-flex", said="flex attention fails ({why})", hint=_TORCH,
        instead="another kind of attention", is_kept=True,
    ),
    "masked": Fault(
        name="attention-masked", said="attention under a mask fails ({why})", hint=_TORCH,
        instead="another kind of attention", is_kept=True,
    ),
    "pinned": Fault(
        name="copies-wait", said="copies from pinned memory fail ({why})", hint=_DRIVER,
        instead="synchronous copies", is_kept=True,
    ),
}  # fmt: skip
NAMES: Final = tuple(FAULTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """The result of one probe. `fault` is the reason it failed, None if it passed."""

    name: str
    fault: str | None
    detail: str = ""


async def probe(
    device: Device, *, names: Sequence[str] = NAMES, limit_s: float = 120.0
) -> list[Probed]:
    """Run the probes in order, and return their results.

    If a probe ends its process or takes too long, it has failed, and the remaining probes run in a
    new sandbox. If the matrix product fails, CUDA does not work, and the other probes are skipped.
    """
    left, found = list(names), list[Probed]()
    while left:
        probed = await _in_a_sandbox(device, left, limit_s)
        found += probed
        left = [] if _why_no_cuda(found) else left[len(probed) :]
    return found


def _why_no_cuda(found: Sequence[Probed]) -> str | None:
    return next((one.fault for one in found if one.name == _PRODUCT), None)


async def _in_a_sandbox(device: Device, names: list[str], limit_s: float) -> list[Probed]:
    """Run probes until one ends their common process or takes too long; return the results."""
    sandbox = await Sandbox.launch(profile_of(device))
    said = bytearray()  # all of it: a compiler's messages are longer than the tail that is kept
    sandbox.on_output(said.extend)
    ended = "its process ended"
    try:
        await sandbox.send(JOB, program_message(_PROGRAM.format(names=names), "train"))
        async with asyncio.timeout(limit_s):
            await sandbox.receive(JOB)
    except SandboxEnded:
        await sandbox.settled()
        if sandbox.end not in (None, "killed", "exit"):
            ended = f"the sandbox ended the probe: {sandbox.end}"
        elif _RAISED.match(last := sandbox.output_tail().strip().rpartition("\n")[2]):
            ended = last[:_SAID]
    except TimeoutError:
        ended = f"it took more than {limit_s:g} s"
    finally:
        await sandbox.close()
    found = _read(said.decode("utf-8", "replace"), names)
    if len(found) < len(names):
        found.append(Probed(name=names[len(found)], fault=ended))
    return found


def _read(said: str, names: Sequence[str]) -> list[Probed]:
    """Parse the printed results; stop at the first result that is not the expected probe's."""
    lines = [line for line in said.splitlines() if line.startswith(_MARK)]
    found = []
    for name, line in zip(names, lines, strict=False):
        parsed: dict[str, Any] = json.loads(line.removeprefix(_MARK))
        if parsed["name"] != name:
            break
        found.append(Probed(name=name, fault=parsed["fault"], detail=parsed["detail"]))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """The features to use: a kind of attention, compilation, and copies from pinned memory."""

    attention: str
    compiles: bool
    is_pinned: bool

    def settings(self) -> dict[str, str | bool]:
        """Return the settings for scripts."""
        return {
            "attention": self.attention,
            "compiled": self.compiles,
            "pinned": self.is_pinned,
        }


def judge(probed: Sequence[Probed]) -> tuple[Abilities | None, list[Fault]]:
    """Return the features to use (None if no run can be made) and all faults."""
    if why := _why_no_cuda(probed):
        return None, [_failed(_PRODUCT, why)]
    said = {one.name: one.fault for one in probed}
    faults = [_failed(one.name, one.fault) for one in probed if one.fault is not None]
    compiles = said["compile"] is None and said["triton"] is None
    rungs = [name for name in ("varlen", "flex", "masked") if said[name] is None]
    if not compiles and "flex" in rungs:
        rungs.remove("flex")  # without compilation it stores all attention scores of a row
    if not rungs:
        faults.append(Fault(name="no-attention", said="no kind of attention works", hint=_TORCH))
    if any(fault.ends_it for fault in faults):
        return None, faults
    is_pinned = said["pinned"] is None
    return Abilities(attention=rungs[0], compiles=compiles, is_pinned=is_pinned), faults


def _failed(name: str, why: str) -> Fault:
    fault = FAULTS[name]
    return replace(fault, said=fault.said.format(why=why))
