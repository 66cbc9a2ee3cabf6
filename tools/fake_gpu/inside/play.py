"""One script under the harness; the node at the other end has tokens and asks without values.

The harness is the sandbox's own: `prepare`, `kernels`, serving, the export. Only two things differ:
the tensors are fakes, and the channel ends in this process.
"""

import json
import os
import struct
import sys
import types
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from torch._subclasses import fake_impls, fake_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from tools.fake_gpu.inside.compiler import Kernels, compile_for_nothing
from tools.fake_gpu.inside.peak import Peak
from trainer.language_model import lm_bpb_1
from trainer.language_model.evaluator import AnswerShapes
from trainer.language_model.harness import session
from trainer.language_model.harness.job import SandboxJob
from trainer.sandbox.inside.channel import (
    DATA,
    WEIGHTS,
)

_TOKENS: Final = 1 << 20  # of training text, from which batches are taken
_SHAPE: Final = struct.Struct(">II")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request to run a source in a role, with the fields of `SandboxJob`.

    `files` holds the source's files in base64. Training writes its export to the file `weights`,
    and scoring loads it. `attention` is the kind to use, as reported by a card's self-test.
    """

    files: dict[str, str]
    role: Literal["train", "serve"]
    weights: str
    compiles: bool = True
    attention: str = ""
    vocabulary_size: int = 8192
    context: int
    batch_rows: int = 8
    budget_tokens: int = 1
    budget_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """The end of a script and the card memory that it held.

    `ended` is `exported`, `answered` or the reason for neither.
    """

    ended: str
    peak_bytes: int = 0
    weights_bytes: int = 0
    attention: str = ""
    kernels: int = 0  # configurations that were compiled
    shared_bytes: int = 0  # the most that one of them needs


def play(request: Request) -> Played:
    """Run the request to its end. Raises whatever the script, torch or Triton raise."""
    _fake_the_card()
    kernels = compile_for_nothing() if request.compiles else Kernels()
    node = _Node(request)
    _begin(request, node)
    with FakeTensorMode(allow_non_fake_inputs=True), Peak() as peak:
        try:
            session.run_script()
        except SystemExit as error:
            if error.code:
                raise RuntimeError(error.code) from error
    attention = getattr(sys.modules["__main__"], "attention", None)
    return Played(
        ended=node.ended,
        peak_bytes=peak.most_bytes,
        weights_bytes=Path(request.weights).stat().st_size,
        attention=getattr(attention, "__name__", ""),
        kernels=kernels.count,
        shared_bytes=kernels.shared_bytes,
    )


def _fake_the_card() -> None:
    """Stop torch from looking for the card, and convert fakes to zeros."""
    fake_tensor.init_gpu_context = lambda *_: None  # type: ignore[assignment]
    # A module moves to the card by swapping tensors. It refuses if there are weak references to a
    # tensor, as the mode has.
    utils: Any = torch.utils
    utils.weakref = types.SimpleNamespace(getweakrefs=lambda _: [])
    fakes: Any = FakeTensor
    fakes.numpy = _zeros
    tensors: Any = torch.Tensor
    tensors.pin_memory = lambda tensor: tensor  # fakes do not support it
    # The check creates a value on the card; any card can hold bf16 (`is_bf16_supported`).
    torch.cuda._check_bf16_tensor_supported = lambda _: True  # type: ignore[assignment]
    # Without this, values known to the mode would be sent to a real card.
    fake_tensor.CONSTANT_NUMEL_LIMIT = 0
    for read in (torch.ops.aten.item.default, torch.ops.aten._local_scalar_dense.default):
        fake_impls.op_implementations_dict[read] = _one


def _one(_mode: FakeTensorMode, _operator: object, tensor: torch.Tensor) -> float | bool:
    """Return 1 for a value read from the card, as steps are divided by it; False for a boolean."""
    return False if tensor.dtype is torch.bool else torch.ones((), dtype=tensor.dtype).item()


def _zeros(tensor: torch.Tensor, **_: object) -> np.ndarray[Any, Any]:
    kind = "float32" if tensor.dtype is torch.bfloat16 else str(tensor.dtype).removeprefix("torch.")
    return np.zeros(tuple(tensor.shape), dtype=kind)


class _Node:
    """The node's end of the channel: it sends tokens or weights and asks for each answer once."""

    def __init__(self, request: Request) -> None:
        self.ended = "it ended without an export"
        self._request = request
        self._questions = iter([_claim(request), _look(request)])
        self._is_serving = False

    def send(
        self, tag: bytes, payload: bytes | memoryview = b"", *, descriptor: int | None = None
    ) -> None:
        del descriptor
        if tag == WEIGHTS:
            Path(self._request.weights).write_bytes(payload)
            self.ended = "exported"

    def receive(self) -> tuple[bytes, bytes, int | None]:
        if self._request.role == "train":
            return DATA, b"", _held(np.zeros(_TOKENS, dtype=np.uint16).tobytes())
        if not self._is_serving:
            self._is_serving = True
            return WEIGHTS, b"", os.open(self._request.weights, os.O_RDONLY)
        question = next(self._questions, None)
        if question is None:
            self.ended = "answered"
            raise SystemExit(0)
        return question


def _held(data: bytes) -> int:
    descriptor = os.memfd_create("tokens")
    os.write(descriptor, data)
    return descriptor


def _asked(request: Request) -> AnswerShapes:
    return lm_bpb_1.asked(request.context, request.vocabulary_size)


def _claim(request: Request) -> tuple[bytes, bytes, None]:
    """Return a request for the log-probabilities of a batch of rows."""
    shape = request.batch_rows, request.context
    tag = _asked(request).score.tag
    return tag, _SHAPE.pack(*shape) + bytes(2 * 2 * shape[0] * shape[1]), None


def _look(request: Request) -> tuple[bytes, bytes, None]:
    """Return a request for the logits at one position of each row."""
    shape = request.batch_rows, request.context
    tag = _asked(request).audit.tag
    return tag, _SHAPE.pack(*shape) + bytes(2 * shape[0] * shape[1] + 2 * shape[0]), None


def _begin(request: Request, node: _Node) -> None:
    job = SandboxJob(
        role=request.role,
        context=request.context,
        batch_rows=request.batch_rows,
        vocabulary_size=request.vocabulary_size,
        bos=request.vocabulary_size - 1,
        budget_tokens=request.budget_tokens,
        budget_seconds=request.budget_seconds,
        vocabulary={"ranks": [], "pattern": ""},
        card={"attention": request.attention} if request.attention else {},
    )
    message = {**asdict(job), "files": request.files}
    session.begin(node, json.dumps(message).encode())  # type: ignore[arg-type]
    from trainer.language_model.harness import kernels, prepare

    sys.modules["prepare"], sys.modules["kernels"] = prepare, kernels
