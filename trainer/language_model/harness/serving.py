"""What `make_dataloader` does in role serve: rows of tokens are answered with log-probabilities."""

import contextlib
import mmap
import struct
from typing import NoReturn

import numpy as np
import torch
from torch import nn

from trainer.language_model.harness import session
from trainer.language_model.harness.tensors import load
from trainer.sandbox.inside.channel import ANSWER, CLAIM, LOGITS, SERVING, WEIGHTS

_SHAPE = struct.Struct(">II")
# On a processor: takes hardly any of the seconds that count, and is no size that scripts are made
# for, so that what would be broadcast in a single row fails.
_REHEARSED_ROWS = 3


@torch.no_grad()
def serve(model: nn.Module, autocast: contextlib.AbstractContextManager[object]) -> NoReturn:
    """Load the weights into a model, then answer rows of tokens, under its autocast, to the end.

    Raises ValueError for weights of another model, RuntimeError or TypeError for a model that does
    not answer made-up tokens as it must.
    """
    weights = _receive_weights()
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        message = "what evaluate_bpb is given must be the `model` that make_dataloader has seen"
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
        if tag == CLAIM:
            answer = _log_probabilities(logits, extra.view(rows, length))
        elif tag == LOGITS:
            answer = logits[torch.arange(rows, device=device), extra].float()
        else:
            raise SystemExit(f"unknown request {tag!r}")
        session.channel.send(ANSWER, answer.cpu().contiguous().numpy().tobytes())


def _rehearse(
    model: nn.Module, autocast: contextlib.AbstractContextManager[object], device: torch.device
) -> None:
    """Let the model answer made-up tokens once, before there is a row.

    Whatever is imported on first use is imported here: afterwards no file can be opened. And what
    fails here may be told in full: of one that has seen a row only that it ended is. Raises
    RuntimeError or TypeError, in words for whoever wrote the model.
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
        raise RuntimeError(f"model(tokens) must answer any rows of tokens alone: {said}") from error
    _checked(answer, tokens)


def _checked(answer: object, tokens: torch.Tensor) -> torch.Tensor:
    """Return what a model answered to tokens [rows, length]. Raises TypeError if it is no logits.

    That they are finite is for the evaluator to say, of every row.
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
    flat = logits.reshape(-1, logits.size(-1)).float()
    return -nn.functional.cross_entropy(flat, targets.reshape(-1), reduction="none")


def _receive_weights() -> dict[str, torch.Tensor]:
    tag, _, descriptor = session.channel.receive()
    if tag != WEIGHTS or descriptor is None:
        raise SystemExit("the runner answered without weights")
    return load(mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY))
