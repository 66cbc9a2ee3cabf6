"""The work of `make_dataloader` in the role `serve`: it answers an evaluator about rows of tokens.

The tag of a request selects a function in `ANSWERS`, which computes the answer from the model's
logits. The evaluator runs outside the sandbox. It chooses the tags and interprets the answers
(`trainer.language_model.evaluator`).
"""

import contextlib
import mmap
import struct
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

import numpy as np
import torch
from torch import nn

from trainer.language_model.harness import session
from trainer.language_model.harness.tensors import load
from trainer.sandbox.inside.channel import ANSWER, SERVING, WEIGHTS

_SHAPE = struct.Struct(">II")
# For a processor: few rows, since their CPU seconds count. More than one, and an unusual number, so
# that a model fails here if it is wrong for several rows but would broadcast for one.
_REHEARSED_ROWS = 3


@torch.no_grad()
def serve(model: nn.Module, autocast: contextlib.AbstractContextManager[object]) -> NoReturn:
    """Load the weights into a model, then run it on requested rows under `autocast` until killed.

    Raises ValueError for weights of another model, RuntimeError or TypeError for a model that
    answers made-up tokens wrongly.
    """
    weights = _receive_weights()
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        message = "evaluate_bpb must get the `model` that make_dataloader has seen"
        raise ValueError(message) from error
    model.eval()
    device = next(model.parameters()).device
    _rehearse(model, autocast, device)
    session.channel.send(SERVING)
    while True:
        tag, payload, _ = session.channel.receive()
        rows, length = _SHAPE.unpack_from(payload)
        tokens = np.frombuffer(payload, dtype=">u2", offset=_SHAPE.size).astype(np.int64)
        inputs = torch.from_numpy(tokens[: rows * length].reshape(rows, length)).to(device)
        extra = torch.from_numpy(tokens[rows * length :]).to(device)
        with autocast:
            logits = _checked(model(inputs), inputs)
        if tag not in ANSWERS:
            raise SystemExit(f"unknown request {tag!r}")
        answer = ANSWERS[tag](logits, extra)
        session.channel.send(ANSWER, answer.cpu().contiguous().numpy().tobytes())


def _rehearse(
    model: nn.Module, autocast: contextlib.AbstractContextManager[object], device: torch.device
) -> None:
    """Let the model answer made-up tokens once, before it sees a row.

    Modules that are imported on first use are imported here, since no file can be opened later. An
    error here may be reported in full. After the model has seen a row, only the fact that the
    script ended is reported.

    Raises RuntimeError or TypeError with a message for the model's author.
    """
    rows = _REHEARSED_ROWS if device.type == "cpu" else session.job.batch_rows  # by kernels
    shape, last = (rows, session.job.context), session.job.vocabulary_size - 1
    tokens = last - torch.arange(shape[0] * shape[1], device=device).view(shape) % (last + 1)
    try:
        with autocast:
            answer = model(tokens)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise RuntimeError(f"model(tokens) must take any rows without targets: {said}") from error
    _checked(answer, tokens)


def _checked(answer: object, tokens: torch.Tensor) -> torch.Tensor:
    """Return a model's answer to tokens [rows, length]. Raises TypeError if it is not logits.

    The evaluator checks that the values are finite.
    """
    shape = (*tokens.shape, session.job.vocabulary_size)
    if isinstance(answer, torch.Tensor):
        if answer.shape == shape and answer.is_floating_point():
            return answer
        returned = f"{str(answer.dtype).removeprefix('torch.')} {list(answer.shape)}"
    else:
        returned = f"a {type(answer).__name__}"
    raise TypeError(
        f"model(tokens) returned {returned}; it must return the logits alone, "
        f"floats [rows, length, vocabulary], here {list(shape)}"
    )


def _log_probabilities(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the log-probability of each target [rows * length]."""
    flat = logits.reshape(-1, logits.size(-1)).float()
    return -nn.functional.cross_entropy(flat, targets, reduction="none")


def _logits_at(logits: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Return the logits at one position in each row, [rows, vocabulary]."""
    return logits[torch.arange(len(logits), device=logits.device), times].float()


# By tag: a function of the logits [rows, length, vocabulary] and of the numbers sent with the rows.
# These are a target for each token, row after row, or a position for each row.
ANSWERS: Final[Mapping[bytes, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]] = {
    b"C": _log_probabilities,
    b"L": _logits_at,
}


def _receive_weights() -> dict[str, torch.Tensor]:
    tag, _, descriptor = session.channel.receive()
    if tag != WEIGHTS or descriptor is None:
        raise SystemExit("the runner answered without weights")
    return load(mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY))
