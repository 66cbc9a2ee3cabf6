"""A replacement for arnode's `prepare` that needs only torch and tiktoken.

With this module a training script runs until it has built its model. Instead of reading data it
then raises `Built`, which holds the model. The task's settings are read from model.json.
"""

import json
import sys
from pathlib import Path

import tiktoken
import torch

_MODEL = json.loads(Path(__file__).with_name("model.json").read_text())
MAX_SEQ_LEN = _MODEL["context"]
TIME_BUDGET = _MODEL["budget_seconds"]
TOKEN_BUDGET = _MODEL["budget_tokens"]
EVAL_TOKENS = 0
SEED = _MODEL["seed"]
VOCAB_SIZE = _MODEL["vocabulary_size"]
COMPILES = False
CARD = _MODEL["card"]
DATASET_CHOICES = ("task",)
ENTRY = _MODEL["entry"]


class Built(Exception):
    """Raised instead of reading data; `model` is the model that the script has built."""

    def __init__(self, model):
        super().__init__("the model is built")
        self.model = model


class Tokenizer:
    """The task's tokenizer."""

    dataset = DATASET_CHOICES[0]

    def __init__(self):
        self._encoding = tiktoken.Encoding(
            name="task",
            pat_str=_MODEL["vocabulary"]["pattern"],
            mergeable_ranks={
                bytes.fromhex(token): rank
                for rank, token in enumerate(_MODEL["vocabulary"]["ranks"])
            },
            special_tokens={},
        )

    @classmethod
    def from_directory(cls, *_, **__):
        return cls()

    def get_vocab_size(self):
        return VOCAB_SIZE

    def get_bos_token_id(self):
        return _MODEL["bos"]

    def encode(self, text, prepend=None, num_threads=0):
        del num_threads
        if isinstance(text, list):
            return [self.encode(each, prepend) for each in text]
        return [*([] if prepend is None else [prepend]), *self._encoding.encode_ordinary(text)]

    def decode(self, ids):
        return self._encoding.decode([token for token in ids if token != _MODEL["bos"]])


def get_token_bytes(device="cpu"):
    counts = torch.zeros(VOCAB_SIZE, dtype=torch.int32)
    lengths = [len(bytes.fromhex(token)) for token in _MODEL["vocabulary"]["ranks"]]
    counts[: len(lengths)] = torch.tensor(lengths, dtype=torch.int32)
    return counts.to(device)


def make_dataloader(*_, **__):
    if (model := _model_of(sys._getframe(1))) is not None:
        raise Built(model)
    return _no_data()


def warmup_batch(B, T):  # noqa: N803 -- autoresearch's names
    tokens = torch.randint(0, VOCAB_SIZE, (B, T + 1))
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), 0


def evaluate_bpb(model, *_, **__):
    raise Built(model)


def _no_data():
    """Raise Built at the first batch, for a script that builds its model after its loader."""
    raise Built(_model_of(sys._getframe(1)))
    yield


def _model_of(frame):
    while frame is not None:
        model = {**frame.f_globals, **frame.f_locals}.get("model")
        if isinstance(model, torch.nn.Module):
            return getattr(model, "_orig_mod", model)
        frame = frame.f_back
    return None
