"""The structure of karpathy/autoresearch's train.py, which n-autoresearch's is line by line.

Peculiar: settings of the environment before torch is imported; a kernel from a hub, chosen by the
card; a model that is built on `meta` and then given a device and weights, some of them half floats
under autocast; two compiled optimiser steps and a compiled model; batches that are used where they
come; `exit(1)`; a clock of its own; a summary that is printed from what the evaluation returned.
"""

# ruff: noqa: E402, N806, N812 -- the order and names that such scripts have
import os

os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

import gc
import math
import time
from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from kernels import get_kernel

on_card = torch.cuda.is_available()
capability = torch.cuda.get_device_capability() if on_card else (0, 0)
hub = "somebody/flash-attention-3" if capability == (9, 0) else "kernels-community/flash-attn3"
attention = get_kernel(hub).flash_attn_interface

from prepare import MAX_SEQ_LEN, TIME_BUDGET, Tokenizer, evaluate_bpb, make_dataloader


@dataclass
class Config:
    length: int
    vocabulary: int
    layers: int = 2
    heads: int = 2
    width: int = 32
    windows: str = "SL"


def rms(x):
    return F.rms_norm(x, (x.size(-1),))


def turn(x, cos, sin):
    a, b = x.chunk(2, dim=3)
    return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=3)


class Mixer(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.ModuleList(nn.Linear(config.width, config.width, bias=False) for _ in "qkv")
        self.out = nn.Linear(config.width, config.width, bias=False)
        self.gate = nn.Linear(8, config.heads, bias=False) if layer % 2 else None

    def forward(self, x, value, rotation, window):
        B, T, C = x.shape
        q, k, v = (linear(x).view(B, T, self.heads, -1) for linear in self.qkv)
        if value is not None:
            v = v + 2 * self.gate(x[..., :8]).sigmoid().unsqueeze(-1) * value.view(v.shape)
        q, k = rms(turn(q, *rotation)), rms(turn(k, *rotation))
        y = attention.flash_attn_func(q, k, v, causal=True, window_size=window)
        return self.out(y.contiguous().view(B, T, C))


class Layer(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        self.mixer = Mixer(config, layer)
        self.up = nn.Linear(config.width, 4 * config.width, bias=False)
        self.down = nn.Linear(4 * config.width, config.width, bias=False)

    def forward(self, x, value, rotation, window):
        x = x + self.mixer(rms(x), value, rotation, window)
        return x + self.down(self.up(rms(x)).relu().square())


class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(Layer(config, at) for at in range(config.layers))
        self.values = nn.ModuleDict(
            {str(at): nn.Embedding(config.vocabulary, config.width) for at in (1,)}
        )
        self.head = nn.Linear(config.width, config.vocabulary, bias=False)
        self.scales = nn.Parameter(torch.ones(config.layers))
        self.register_buffer("cos", self.angles().cos(), persistent=False)
        self.register_buffer("sin", self.angles().sin(), persistent=False)
        spans = {"L": (config.length, 0), "S": (config.length // 2, 0)}
        self.spans = [spans[each] for each in config.windows]

    def angles(self):
        size, device = self.config.width // self.config.heads, self.embedding.weight.device
        steps = 10_000.0 ** -(torch.arange(0, size, 2, device=device) / size)
        places = torch.arange(2 * self.config.length, device=device)
        return torch.outer(places.float(), steps)[None, :, None, :]

    @torch.no_grad()
    def init_weights(self):
        bound = (3 / self.config.width) ** 0.5
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.uniform_(parameter, -bound, bound)
            if name.endswith(("out.weight", "down.weight", "gate.weight")):
                nn.init.zeros_(parameter)
        nn.init.normal_(self.embedding.weight)
        nn.init.normal_(self.head.weight, std=0.001)
        self.scales.fill_(1.0)
        self.cos, self.sin = self.angles().cos().bfloat16(), self.angles().sin().bfloat16()
        self.embedding.to(dtype=torch.bfloat16)
        self.values.to(dtype=torch.bfloat16)

    def optimizer(self):
        matrices = list(self.layers.parameters())
        tables = [self.embedding.weight, *self.values.parameters()]
        optimizer = Orthogonal(
            [
                {"kind": "adamw", "params": [self.head.weight], "lr": 0.004},
                {"kind": "adamw", "params": tables, "lr": 0.2},
                {"kind": "adamw", "params": [self.scales], "lr": 0.005},
                {"kind": "muon", "params": matrices, "lr": 0.02},
            ]
        )
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        return optimizer

    def forward(self, tokens, targets=None, reduction="mean"):
        rotation = self.cos[:, : tokens.size(1)], self.sin[:, : tokens.size(1)]
        x = rms(self.embedding(tokens))
        for at, layer in enumerate(self.layers):
            value = self.values[str(at)](tokens) if str(at) in self.values else None
            x = layer(self.scales[at] * x, value, rotation, self.spans[at])
        logits = 15 * torch.tanh(self.head(rms(x)).float() / 15)
        if targets is None:
            return logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)


@torch.compile(dynamic=False, fullgraph=True)
def adamw_step(parameter, gradient, mean, square, step, rate):
    mean.lerp_(gradient, 0.2)
    square.lerp_(gradient.square(), 0.05)
    unbiased = (square / (1 - 0.95**step)).sqrt() + 1e-10
    parameter.sub_(mean / unbiased * (rate / (1 - 0.8**step)))


@torch.compile(dynamic=False, fullgraph=True)
def muon_step(parameter, gradient, momentum, rate):
    momentum.lerp_(gradient, 0.05)
    x = gradient.lerp(momentum, 0.95).bfloat16()
    x = x.mT if x.size(0) > x.size(1) else x
    x = x / (x.norm() + 1e-6)
    for _ in range(4):
        square = x @ x.mT
        x = 3.4 * x + (2 * square @ square - 4.7 * square) @ x
    x = x.mT if gradient.size(0) > gradient.size(1) else x
    parameter.sub_(rate * x.to(parameter.dtype))


class Orthogonal(torch.optim.Optimizer):
    def __init__(self, groups):
        super().__init__(groups, defaults={})
        self.step_t, self.rate_t = torch.tensor(0.0), torch.tensor(0.0)  # numbers would recompile

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            self.rate_t.fill_(group["lr"])
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state.update(step=0, a=torch.zeros_like(parameter), b=parameter * 0)
                state["step"] += 1
                self.step_t.fill_(state["step"])
                if group["kind"] == "muon":
                    muon_step(parameter, parameter.grad, state["a"], self.rate_t)
                else:
                    moments = state["a"], state["b"]
                    adamw_step(parameter, parameter.grad, *moments, self.step_t, self.rate_t)


TOTAL_BATCH_SIZE = 1024
DEVICE_BATCH_SIZE = 4

t_start = time.time()
torch.manual_seed(42)
torch.cuda.manual_seed(42)
torch.set_float32_matmul_precision("high")
device = torch.device("cuda" if on_card else "cpu")
autocast_ctx = torch.amp.autocast(device_type=device.type, dtype=torch.bfloat16)

tokenizer = Tokenizer.from_directory()
config = Config(length=MAX_SEQ_LEN, vocabulary=tokenizer.get_vocab_size())
print(f"Model config: {asdict(config)}")

with torch.device("meta"):
    model = GPT(config)
model.to_empty(device=device)
model.init_weights()
optimizer = model.optimizer()
model = torch.compile(model, dynamic=False)

grad_accum_steps = TOTAL_BATCH_SIZE // (DEVICE_BATCH_SIZE * MAX_SEQ_LEN)
train_loader = make_dataloader(tokenizer, DEVICE_BATCH_SIZE, MAX_SEQ_LEN, "train")
x, y, epoch = next(train_loader)

total_training_time = 0.0
step = 0
while True:
    if on_card:
        torch.cuda.synchronize()
    t0 = time.time()
    for _ in range(grad_accum_steps):
        with autocast_ctx:
            loss = model(x, y)
        (loss / grad_accum_steps).backward()
        x, y, epoch = next(train_loader)
    progress = min(total_training_time / TIME_BUDGET, 1.0)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * min(1.0, 2 * (1 - progress))
    optimizer.step()
    model.zero_grad(set_to_none=True)
    if math.isnan(loss.item()) or loss.item() > 100:
        print("FAIL")
        exit(1)
    if step > 10:
        total_training_time += time.time() - t0
    print(f"\rstep {step:05d} | loss: {loss.item():.6f} | epoch: {epoch}   ", end="", flush=True)
    if step == 0:
        gc.collect()
        gc.freeze()
        gc.disable()
    step += 1
    if step > 10 and total_training_time >= TIME_BUDGET:
        break
print()

model.eval()
with autocast_ctx:
    val_bpb = evaluate_bpb(model, tokenizer, DEVICE_BATCH_SIZE)

peak_vram_mb = torch.cuda.max_memory_allocated() / 1024 / 1024
print("---")
print(f"val_bpb:          {val_bpb:.6f}")
print(f"total_seconds:    {time.time() - t_start:.1f}")
print(f"peak_vram_mb:     {peak_vram_mb:.1f}")
print(f"num_steps:        {step}")
