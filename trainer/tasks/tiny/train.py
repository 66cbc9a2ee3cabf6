"""A small GPT, trained on a fixed number of tokens and scored in bits per byte: lower is better.

This file is the experiment: everything in it may be changed. What comes from `prepare` may not:
the data, the tokenizer, the number of training tokens and the score. The order of the program is
part of the contract: build `model`, then ask for data, then create the optimiser (in the process
that only scores, the program never gets past `make_dataloader`).
"""

import torch
from prepare import MAX_SEQ_LEN, TOKEN_BUDGET, Tokenizer, evaluate_bpb, make_dataloader
from torch import nn
from torch.nn import functional as F

# Model
LAYERS = 2
WIDTH = 64
HEADS = 4
MLP_RATIO = 4
MATRIX_INIT = 0.02
EMBEDDING_INIT = 0.3

# Optimisation
BATCH = 4  # rows a step
SEQUENCE = 128  # tokens a row in training; scoring always uses rows of MAX_SEQ_LEN
LEARNING_RATE = 1e-2
BETA1 = 0.9
BETA2 = 0.95
EPSILON = 1e-8
WEIGHT_DECAY = 0.0
WARMDOWN = 0.5  # the last part of training, in which the learning rate falls to zero


def norm(x):
    return F.rms_norm(x, (x.size(-1),))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attend = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.attend_out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.expand = nn.Linear(WIDTH, MLP_RATIO * WIDTH, bias=False)
        self.expand_out = nn.Linear(MLP_RATIO * WIDTH, WIDTH, bias=False)

    def forward(self, x):
        rows, length, width = x.shape
        heads = self.attend(norm(x)).view(rows, length, 3, HEADS, width // HEADS)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.attend_out(mixed.transpose(1, 2).reshape(rows, length, width))
        hidden = F.gelu(self.expand(norm(x)))
        return x + self.expand_out(hidden)


class GPT(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, WIDTH)
        self.positions = nn.Embedding(MAX_SEQ_LEN, WIDTH)
        self.blocks = nn.ModuleList([Block() for _ in range(LAYERS)])
        self.head = nn.Linear(WIDTH, vocabulary, bias=False)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=MATRIX_INIT)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_INIT)

    def forward(self, tokens, targets=None, reduction="mean"):
        x = self.embedding(tokens)
        x = x + self.positions.weight[: tokens.size(1)]
        x = norm(x)
        for block in self.blocks:
            x = block(x)
        logits = self.head(norm(x))
        if targets is None:
            return logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)


tokenizer = Tokenizer.from_directory()
model = GPT(tokenizer.get_vocab_size())
batches = make_dataloader(tokenizer, BATCH, SEQUENCE, "train")

matrices = list(model.blocks.parameters())
head = list(model.head.parameters())
others = {id(parameter) for parameter in matrices + head}
embeddings = [parameter for parameter in model.parameters() if id(parameter) not in others]
groups = [
    {"params": matrices, "lr": LEARNING_RATE},
    {"params": embeddings, "lr": LEARNING_RATE},
    {"params": head, "lr": LEARNING_RATE},
]
optimizer = torch.optim.AdamW(
    groups, betas=(BETA1, BETA2), eps=EPSILON, weight_decay=WEIGHT_DECAY, fused=True
)
peaks = [group["lr"] for group in optimizer.param_groups]
losses = []

steps = TOKEN_BUDGET // (BATCH * SEQUENCE)
for step in range(steps):
    progress = step / steps
    scale = min(1.0, (1.0 - progress) / WARMDOWN)
    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
        group["lr"] = peak * scale
    tokens, targets, epoch = next(batches)
    loss = model(tokens, targets)
    losses.append(loss.item())
    if len(losses) == 5:
        print(f"step {step + 1}/{steps} loss {sum(losses) / 5:.4f}", flush=True)
        losses.clear()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)

val_bpb = evaluate_bpb(model, tokenizer, BATCH)
print(f"val_bpb: {val_bpb:.6f}")
