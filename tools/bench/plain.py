"""`prepare` for a plain process: the same names as the harness, but without a sandbox."""

import math
import sys

import numpy as np
import torch

MAX_SEQ_LEN, TIME_BUDGET, TOKEN_BUDGET = 128, 0.0, 153_600
_SEED = int(sys.argv[1])
_DATA = np.load("data.npz")
torch.set_num_threads(1)
torch.manual_seed(_SEED)


class Tokenizer:
    @classmethod
    def from_directory(cls):
        return cls()

    def get_vocab_size(self):
        return len(_DATA["byte_counts"])


def make_dataloader(tokenizer, B, T, split):  # noqa: N803
    tokens = _DATA["tokens"]
    order = np.random.default_rng([_SEED, 1]).permutation(np.arange(0, len(tokens) - T, T))
    reach = np.arange(T + 1)
    for first in range(0, len(order) - B + 1, B):
        rows = torch.from_numpy(tokens[order[first : first + B, None] + reach].astype(np.int64))
        yield rows[:, :-1].contiguous(), rows[:, 1:].contiguous(), 1


@torch.no_grad()
def evaluate_bpb(model, tokenizer, batch_size):
    rows = torch.from_numpy(_DATA["rows"].astype(np.int64))
    byte_counts = torch.from_numpy(_DATA["byte_counts"])
    nats, size = 0.0, 0
    for batch in rows.split(32):
        targets = batch[:, 1:]
        losses = model(batch[:, :-1], targets, reduction="none")
        counted = byte_counts[targets.reshape(-1)] > 0
        nats += float(losses[counted].double().sum())
        size += int(byte_counts[targets].sum())
    return nats / math.log(2) / size
