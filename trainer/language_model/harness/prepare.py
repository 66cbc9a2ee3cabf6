"""autoresearch's `prepare` with the same names, but with nothing in it that helps to cheat.

In role train the sandbox starts without data. The first batch asks the runner for data; the
runner's clock starts when it hands over a sealed descriptor. `evaluate_bpb` exports the weights and
ends the process. In role serve `make_dataloader` takes the caller's model, loads the weights and
answers rows with log-probabilities; it never returns. Names and options of autoresearch's forks are
supported as well. An option that asks for other data or another evaluation has no effect.
"""

import contextlib
import mmap
import os
import sys
from collections.abc import Iterator, Mapping
from itertools import count
from types import FrameType
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from torch import nn

from trainer.language_model.harness import session
from trainer.language_model.harness.serving import serve
from trainer.language_model.harness.tensors import save
from trainer.sandbox.inside.channel import DATA, NEED_DATA, WEIGHTS

MAX_SEQ_LEN: int = session.job.context
TIME_BUDGET: float = session.job.budget_seconds
TOKEN_BUDGET: int = session.job.budget_tokens
EVAL_TOKENS: int = 0  # the evaluator outside decides what is scored
SEED: int = session.job.seed
VOCAB_SIZE: int = session.job.vocabulary_size
COMPILES: bool = os.environ.get("TORCHDYNAMO_DISABLE") != "1"  # else `torch.compile` does nothing
# The self-test results of this machine's card: `size`, `attention`, `compiled`, `pinned`. A script
# decides by itself about missing entries. In scoring nothing is compiled, and flex attention would
# then hold all attention scores of a row at once. So there `attention` is "masked" instead.
CARD: Mapping[str, Any] = (
    {**session.job.card, "attention": "masked"}
    if session.job.card.get("attention") == "flex" and not COMPILES
    else session.job.card
)
DATASET_CHOICES: tuple[str, ...] = ("task",)

_begun: list[bool] = []  # not empty once data was asked for

Batch = tuple[torch.Tensor, torch.Tensor, int]


class Tokenizer:
    """The task's tokenizer. Encoding and decoding are for inspection; training needs neither."""

    dataset = DATASET_CHOICES[0]

    def __init__(self) -> None:
        self._encoding: Any = None

    @classmethod
    def from_directory(cls, *_: object, **__: object) -> "Tokenizer":
        """Return the task's tokenizer; the directory or data set that a script names is ignored."""
        return cls()

    def get_vocab_size(self) -> int:
        """Return the number of token ids."""
        return session.job.vocabulary_size

    def get_bos_token_id(self) -> int:
        """Return the id of the token that begins a document."""
        return session.job.bos

    def encode(
        self, text: str | list[str], prepend: int | None = None, num_threads: int = 0
    ) -> list[Any]:
        """Return the token ids of a text, or of each text in a list, with `prepend` before each."""
        del num_threads
        if isinstance(text, list):
            return [self.encode(each, prepend) for each in text]
        head = [] if prepend is None else [prepend]
        return [*head, *self._tiktoken().encode_ordinary(text)]

    def decode(self, ids: list[int]) -> str:
        """Return the text of token ids."""
        return str(self._tiktoken().decode([i for i in ids if i != session.job.bos]))

    def _tiktoken(self) -> Any:
        if self._encoding is None:
            import tiktoken

            ranks = session.job.vocabulary["ranks"]
            self._encoding = tiktoken.Encoding(
                name="task",
                pat_str=session.job.vocabulary["pattern"],
                mergeable_ranks={bytes.fromhex(token): rank for rank, token in enumerate(ranks)},
                special_tokens={},
            )
        return self._encoding


def get_token_bytes(device: torch.device | str = "cpu") -> torch.Tensor:
    """Return the length of each token in bytes [vocabulary], 0 for tokens that are not text."""
    counts = torch.zeros(session.job.vocabulary_size, dtype=torch.int32)
    lengths = [len(bytes.fromhex(token)) for token in session.job.vocabulary["ranks"]]
    counts[: len(lengths)] = torch.tensor(lengths, dtype=torch.int32)
    return counts.to(device)


def make_dataloader(
    tokenizer: Tokenizer,
    B: int,  # noqa: N803 -- autoresearch's names
    T: int,  # noqa: N803
    split: str = "train",
    buffer_size: int = 0,
    device: torch.device | str | None = None,
    **_: object,
) -> Iterator[Batch]:
    """Yield (inputs [B, T], targets [B, T], epoch): rows of the seed's tokens, each once per epoch.

    The tensors are on `device`, by default the device of the caller's `model`. Raises ValueError
    for any split but "train", since validation text never enters a training sandbox.
    """
    del tokenizer, buffer_size
    if split != "train":
        raise ValueError(f"there is no split {split!r} here: only 'train' can be read")
    caller = _find_caller(sys._getframe(1))  # noqa: SLF001
    if caller and session.job.role == "serve":
        serve(_unwrap(caller.model), caller.autocast)
    return _batches(B, T, device, caller)


def warmup_batch(B: int, T: int) -> Batch:  # noqa: N803
    """Return random tokens of a batch's shape, to compile and warm up before the clock starts."""
    tokens = torch.randint(0, session.job.vocabulary_size, (B, T + 1))
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), 0


def evaluate_bpb(model: nn.Module, *_: object, **__: object) -> NoReturn:
    """Export the weights and end the process; the metric is computed outside the sandbox.

    A run has one evaluation, at its end. Raises RuntimeError if no training data was read before.
    """
    if session.job.role == "serve" or not _begun:
        raise RuntimeError("evaluate_bpb ends the run, but no training data was read before")
    state = _unwrap(model).state_dict()
    sys.stdout.flush()
    session.channel.send(WEIGHTS, save(state))
    raise SystemExit(0)


class _Caller(NamedTuple):
    model: nn.Module
    autocast: contextlib.AbstractContextManager[object]


def _find_caller(frame: FrameType | None) -> _Caller | None:
    """Return the `model` and the autocast visible in a frame, or else in those of its callers."""
    while frame is not None:
        names = {**frame.f_globals, **frame.f_locals}
        if isinstance(model := names.get("model"), nn.Module):
            contexts = (each for each in names.values() if isinstance(each, torch.autocast))
            autocast = names.get("autocast_ctx") or next(contexts, contextlib.nullcontext())
            return _Caller(model, autocast)
        frame = frame.f_back
    return None


def _batches(
    rows: int, length: int, device: torch.device | str | None, caller: _Caller | None
) -> Iterator[Batch]:
    # A script may build its model after its loader, but has one when it takes the first batch.
    caller = caller or _find_caller(sys._getframe(1))  # noqa: SLF001
    if caller is None:
        raise TypeError("a variable `model` must hold the model before the first batch is taken")
    if session.job.role == "serve":
        serve(_unwrap(caller.model), caller.autocast)
    if device is None:
        device = next(caller.model.parameters()).device
    del caller
    _begun.append(True)
    for inputs, targets, epoch in _training_batches(rows, length):
        yield _moved(inputs, device), _moved(targets, device), epoch


def _moved(tensor: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    if torch.device(device).type == "cuda":
        tensor = tensor.pin_memory()  # else the copy would wait for the device
    return tensor.to(device, non_blocking=True)


def _training_batches(rows: int, length: int) -> Iterator[Batch]:
    reach = np.arange(length + 1)
    for number in count(1):
        tokens = _next_part()
        starts = np.arange(0, len(tokens) - length, length)
        if rows > len(starts):
            raise ValueError(
                f"a batch of {rows} x {length} tokens is more than one part of the data"
            )
        # Shuffle the rows, or neighbours in a batch would come from the same document.
        order = np.random.default_rng([SEED, number]).permutation(starts)
        epoch = 1 + (number - 1) // session.job.parts
        for first in range(0, len(order) - rows + 1, rows):
            chosen = order[first : first + rows, None] + reach
            batch = torch.from_numpy(tokens[chosen].astype(np.int64))
            yield batch[:, :-1].contiguous(), batch[:, 1:].contiguous(), epoch


def _next_part() -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return the next part of the training data from the runner. The first starts the clock."""
    session.channel.send(NEED_DATA)
    tag, _, descriptor = session.channel.receive()
    if tag != DATA or descriptor is None:
        raise SystemExit("the runner answered without data")
    data = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    os.close(descriptor)
    return np.frombuffer(data, dtype=np.uint16)


def _unwrap(model: nn.Module) -> nn.Module:
    if isinstance(model, nn.DataParallel):
        return _unwrap(model.module)
    compiled = getattr(model, "_orig_mod", None)  # in torch.compile's wrapper
    return model if compiled is None else _unwrap(compiled)


__all__ = [
    "CARD",
    "COMPILES",
    "DATASET_CHOICES",
    "EVAL_TOKENS",
    "MAX_SEQ_LEN",
    "SEED",
    "TIME_BUDGET",
    "TOKEN_BUDGET",
    "VOCAB_SIZE",
    "Tokenizer",
    "evaluate_bpb",
    "get_token_bytes",
    "make_dataloader",
    "warmup_batch",
]
