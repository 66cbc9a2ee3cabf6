"""The structure of mutable-state-inc/autoresearch-at-home's train.py, also of macOS forks.

Peculiar: any device that is there, with an autocast for each; the kernel from a hub is tried inside
`try` and only on a card, else torch's attention under masks of its own, with keys and values
repeated for grouped queries; the optimiser is not compiled and moves its scalars to where the
parameter is; the model is compiled on a card only. Its coordination with others is not in here.
"""

# ruff: noqa: E402, N806, N812 -- the order and names that such scripts have
import os

os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"

import contextlib
import gc
import math
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

flash = None
if torch.cuda.is_available():
    try:
        from kernels import get_kernel

        flash = get_kernel("kernels-community/flash-attn3").flash_attn_interface
    except Exception as error:  # noqa: BLE001
        print(f"no FlashAttention: {error}")

from prepare import MAX_SEQ_LEN, TIME_BUDGET, Tokenizer, evaluate_bpb, make_dataloader

HEADS, KV_HEADS, WIDTH, LAYERS, WINDOWS = 4, 2, 32, 2, "SL"
TOTAL_BATCH_SIZE, DEVICE_BATCH_SIZE = 1024, 8


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.size = WIDTH // HEADS
        self.query = nn.Linear(WIDTH, WIDTH, bias=False)
        self.pair = nn.Linear(WIDTH, 2 * KV_HEADS * self.size, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x, window):
        B, T, C = x.shape
        q = F.rms_norm(self.query(x).view(B, T, HEADS, self.size), (self.size,))
        k, v = self.pair(x).view(B, T, 2, KV_HEADS, self.size).unbind(2)
        k = F.rms_norm(k, (self.size,))
        if flash is not None:
            y = flash.flash_attn_func(q, k, v, causal=True, window_size=(window, 0))
            return self.out(y.contiguous().view(B, T, C))
        k, v = (each.repeat_interleave(HEADS // KV_HEADS, dim=2) for each in (k, v))
        q, k, v = (each.transpose(1, 2) for each in (q, k, v))
        if 0 < window < T:
            seen = torch.ones(T, T, dtype=torch.bool, device=x.device).tril().triu(1 - window)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).contiguous().view(B, T, C))


class GPT(nn.Module):
    def __init__(self, vocabulary, length):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, WIDTH)
        self.places = nn.Embedding(length, WIDTH)
        self.mixers = nn.ModuleList(Attention() for _ in range(LAYERS))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))
            for _ in range(LAYERS)
        )
        self.head = nn.Linear(WIDTH, vocabulary, bias=False)
        self.windows = [{"L": length, "S": length // 2}[kind] for kind in WINDOWS]

    @torch.no_grad()
    def init_weights(self):
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.1 if parameter.ndim == 2 else 0.0)
        nn.init.zeros_(self.head.weight)

    def forward(self, idx, targets=None, reduction="mean"):
        x = self.tokens(idx) + self.places(torch.arange(idx.size(1), device=idx.device))
        for mixer, mlp, window in zip(self.mixers, self.mlps, self.windows, strict=True):
            x = x + mixer(F.rms_norm(x, (WIDTH,)), window)
            x = x + mlp(F.rms_norm(x, (WIDTH,)))
        logits = self.head(F.rms_norm(x, (WIDTH,))).float()
        if targets is None:
            return logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)


class Adam(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr, "initial_lr": lr})
        self.scalars = {name: torch.tensor(0.0) for name in ("step", "lr")}

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            self.scalars["lr"].fill_(group["lr"])
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state.update(step=0, mean=torch.zeros_like(p), square=torch.zeros_like(p))
                state["step"] += 1
                self.scalars["step"].fill_(state["step"])
                step, lr = (each.to(p.device, p.dtype) for each in self.scalars.values())
                state["mean"].lerp_(p.grad, 0.1)
                state["square"].lerp_(p.grad.square(), 0.05)
                scale = (state["square"] / (1 - 0.95**step)).sqrt() + 1e-8
                p.sub_(lr / (1 - 0.9**step) * state["mean"] / scale)


t_start = time.time()
torch.manual_seed(42)
if torch.cuda.is_available():
    torch.cuda.manual_seed(42)
torch.set_float32_matmul_precision("high")
device_type = "cpu"
if torch.cuda.is_available():
    device_type = "cuda"
elif torch.backends.mps.is_available():
    device_type = "mps"
device = torch.device(device_type)
autocast_ctx = contextlib.nullcontext()
if device_type != "mps":
    autocast_ctx = torch.amp.autocast(device_type=device_type, dtype=torch.bfloat16)

tokenizer = Tokenizer.from_directory()
with torch.device("meta"):
    model = GPT(tokenizer.get_vocab_size(), MAX_SEQ_LEN)
model.to_empty(device=device)
model.init_weights()
optimizer = Adam(model.parameters(), lr=0.01)
if device_type == "cuda":
    model = torch.compile(model, dynamic=False)

grad_accum_steps = TOTAL_BATCH_SIZE // (DEVICE_BATCH_SIZE * MAX_SEQ_LEN)
train_loader = make_dataloader(tokenizer, DEVICE_BATCH_SIZE, MAX_SEQ_LEN, "train")
x, y, epoch = next(train_loader)


def sync_device(kind):
    if kind == "cuda":
        torch.cuda.synchronize()
    elif kind == "mps":
        torch.mps.synchronize()


total_training_time = 0.0
step = 0
while True:
    sync_device(device_type)
    t0 = time.time()
    for _ in range(grad_accum_steps):
        with autocast_ctx:
            loss = model(x, y)
        (loss / grad_accum_steps).backward()
        x, y, epoch = next(train_loader)
    progress = min(total_training_time / TIME_BUDGET, 1.0)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * (1 - progress)
    optimizer.step()
    model.zero_grad(set_to_none=True)
    if not math.isfinite(loss.item()):
        print("FAIL")
        exit(1)
    sync_device(device_type)
    if step > 10:
        total_training_time += time.time() - t0
    if step == 0:
        gc.collect()
        gc.freeze()
        gc.disable()
    print(f"\rstep {step:05d} | loss: {loss.item():.6f} | epoch: {epoch}   ", end="", flush=True)
    step += 1
    if step > 10 and total_training_time >= TIME_BUDGET:
        break
print()

model.eval()
with autocast_ctx:
    val_bpb = evaluate_bpb(model, tokenizer, DEVICE_BATCH_SIZE)

print("---")
print(f"val_bpb:          {val_bpb:.6f}")
print(f"total_seconds:    {time.time() - t_start:.1f}")
print(f"num_steps:        {step}")
