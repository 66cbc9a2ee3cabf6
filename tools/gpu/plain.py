"""A stand-in for `prepare` in a plain process: the harness's names, no sandbox, no score.

It writes the seconds before the first batch, up to the weights, and of their export.
"""

import json
import os
import time
from pathlib import Path

import numpy as np
import torch

_JOB = json.loads(Path("job.json").read_text())
SEED: int = _JOB["seed"]
MAX_SEQ_LEN: int = _JOB["context"]
TIME_BUDGET: float = _JOB["seconds"]
TOKEN_BUDGET = 0
COMPILES = os.environ.get("TORCHDYNAMO_DISABLE") != "1"
CARD = _JOB["card"]
torch.set_num_threads(1)
torch.manual_seed(SEED)
_times_s = [time.monotonic()]


class Tokenizer:
    @classmethod
    def from_directory(cls):
        return cls()

    def get_vocab_size(self):
        return _JOB["vocabulary"]


def make_dataloader(tokenizer, B, T, split, device):  # noqa: N803
    tokens = np.load("tokens.npy", mmap_mode="r")
    starts, reach = np.arange(0, len(tokens) - T, T), np.arange(T + 1)
    _times_s.append(time.monotonic())
    epoch = 1
    while True:
        order = np.random.default_rng([SEED, epoch]).permutation(starts)
        for first in range(0, len(order) - B + 1, B):
            rows = torch.from_numpy(tokens[order[first : first + B, None] + reach].astype(np.int64))
            yield rows[:, :-1].contiguous(), rows[:, 1:].contiguous(), epoch
        epoch += 1


def warmup_batch(B, T):  # noqa: N803
    tokens = torch.randint(0, _JOB["vocabulary"], (B, T + 1))
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), 0


def evaluate_bpb(model, tokenizer, batch_size):
    _times_s.append(time.monotonic())
    for tensor in model.state_dict().values():
        tensor.cpu()
    _times_s.append(time.monotonic())
    begun_s, data_s, trained_s, exported_s = _times_s
    figures = {
        "build": round(data_s - begun_s, 3),
        "train": round(trained_s - data_s, 3),
        "export": round(exported_s - trained_s, 3),
    }
    Path("figures.json").write_text(json.dumps(figures))
