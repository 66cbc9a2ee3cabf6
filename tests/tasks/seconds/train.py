"""A pretraining script of autoresearch's shape: single file, single device, a budget of seconds.

Usage: python train.py
"""

# ruff: noqa: N806, N812, RUF059 -- the names that scripts of this family have
import gc
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from kernels import get_kernel

flash_attention = get_kernel("kernels-community/flash-attn3").flash_attn_interface

from prepare import MAX_SEQ_LEN, TIME_BUDGET, Tokenizer, evaluate_bpb, make_dataloader  # noqa: E402

# ---------------------------------------------------------------------------
# Model


@dataclass
class GPTConfig:
    sequence_len: int = 128
    vocab_size: int = 1024
    n_layer: int = 2
    n_head: int = 2
    n_kv_head: int = 1
    n_embd: int = 32
    window_pattern: str = "SL"


def norm(x):
    return F.rms_norm(x, (x.size(-1),))


def apply_rotary(x, cos, sin):
    half = x.size(-1) // 2
    left, right = x[..., :half], x[..., half:]
    return torch.cat([left * cos + right * sin, right * cos - left * sin], dim=-1)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head, self.n_kv_head = config.n_head, config.n_kv_head
        self.head_dim = config.n_embd // config.n_head
        self.c_q = nn.Linear(config.n_embd, self.n_head * self.head_dim, bias=False)
        self.c_k = nn.Linear(config.n_embd, self.n_kv_head * self.head_dim, bias=False)
        self.c_v = nn.Linear(config.n_embd, self.n_kv_head * self.head_dim, bias=False)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)

    def forward(self, x, cos_sin, window_size):
        B, T, C = x.size()
        q = self.c_q(x).view(B, T, self.n_head, self.head_dim)
        k = self.c_k(x).view(B, T, self.n_kv_head, self.head_dim)
        v = self.c_v(x).view(B, T, self.n_kv_head, self.head_dim)
        q, k = norm(apply_rotary(q, *cos_sin)), norm(apply_rotary(k, *cos_sin))
        y = flash_attention.flash_attn_func(q, k, v, causal=True, window_size=window_size)
        return self.c_proj(y.contiguous().view(B, T, C))


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attn = Attention(config)
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=False)

    def forward(self, x, cos_sin, window_size):
        x = x + self.attn(norm(x), cos_sin, window_size)
        return x + self.c_proj(F.relu(self.c_fc(norm(x))).square())


class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(config.vocab_size, config.n_embd),
                "h": nn.ModuleList([Block(config) for _ in range(config.n_layer)]),
            }
        )
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.resid_lambdas = nn.Parameter(torch.ones(config.n_layer))
        head_dim = config.n_embd // config.n_head
        frequencies = 10000.0 ** (-torch.arange(0, head_dim, 2) / head_dim)
        angles = torch.outer(torch.arange(config.sequence_len), frequencies)[None, :, None, :]
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        windows = {"L": (config.sequence_len, 0), "S": (config.sequence_len // 2, 0)}
        self.window_sizes = [windows[kind] for kind in config.window_pattern]
        self.init_weights()

    @torch.no_grad()
    def init_weights(self):
        nn.init.normal_(self.transformer.wte.weight, std=1.0)
        nn.init.normal_(self.lm_head.weight, std=0.001)
        bound = 3**0.5 * self.config.n_embd**-0.5
        for block in self.transformer.h:
            for linear in (block.attn.c_q, block.attn.c_k, block.attn.c_v, block.c_fc):
                nn.init.uniform_(linear.weight, -bound, bound)
            nn.init.zeros_(block.attn.c_proj.weight)
            nn.init.zeros_(block.c_proj.weight)

    def setup_optimizer(self):
        matrices = [p for p in self.transformer.h.parameters() if p.ndim == 2]
        adamw = {"kind": "adamw", "betas": (0.8, 0.95), "eps": 1e-10, "weight_decay": 0.0}
        groups = [
            {**adamw, "params": [self.lm_head.weight], "lr": 0.004},
            {**adamw, "params": [self.transformer.wte.weight], "lr": 0.3},
            {**adamw, "params": [self.resid_lambdas], "lr": 0.005},
            {"kind": "muon", "params": matrices, "lr": 0.02, "momentum": 0.95},
        ]
        optimizer = MuonAdamW(groups)
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        return optimizer

    def forward(self, idx, targets=None, reduction="mean"):
        B, T = idx.size()
        cos_sin = self.cos[:, :T], self.sin[:, :T]
        x = norm(self.transformer.wte(idx))
        for i, block in enumerate(self.transformer.h):
            x = block(self.resid_lambdas[i] * x, cos_sin, self.window_sizes[i])
        logits = self.lm_head(norm(x)).float()
        logits = 15 * torch.tanh(logits / 15)
        if targets is None:
            return logits
        return F.cross_entropy(
            logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1, reduction=reduction
        )


# ---------------------------------------------------------------------------
# Optimizer


def orthogonalize(g):
    x = g / (g.norm() * 1.02 + 1e-6)
    if g.size(0) > g.size(1):
        x = x.mT
    for _ in range(4):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.mT if g.size(0) > g.size(1) else x


class MuonAdamW(torch.optim.Optimizer):
    def __init__(self, param_groups):
        super().__init__(param_groups, defaults={})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    (self._adamw if group["kind"] == "adamw" else self._muon)(group, p)

    def _adamw(self, group, p):
        state = self.state[p]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
        state["step"] += 1
        beta1, beta2 = group["betas"]
        p.mul_(1 - group["lr"] * group["weight_decay"])
        state["exp_avg"].lerp_(p.grad, 1 - beta1)
        state["exp_avg_sq"].lerp_(p.grad.square(), 1 - beta2)
        average = state["exp_avg"] / (1 - beta1 ** state["step"])
        scale = (state["exp_avg_sq"] / (1 - beta2 ** state["step"])).sqrt() + group["eps"]
        p.addcdiv_(average, scale, value=-group["lr"])

    def _muon(self, group, p):
        momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
        momentum.lerp_(p.grad, 1 - group["momentum"])
        update = orthogonalize(p.grad.lerp(momentum, group["momentum"]))
        p.add_(update, alpha=-group["lr"] * max(1.0, p.size(0) / p.size(1)) ** 0.5)


# ---------------------------------------------------------------------------
# Hyperparameters (edit these directly, no CLI flags needed)

TOTAL_BATCH_SIZE = 1024
DEVICE_BATCH_SIZE = 4
WARMDOWN_RATIO = 0.5

# ---------------------------------------------------------------------------
# Setup: tokenizer, model, optimizer, dataloader

t_start = time.time()
torch.manual_seed(42)
torch.set_float32_matmul_precision("high")
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
on_gpu = device.type == "cuda"
autocast_ctx = torch.amp.autocast("cuda", dtype=torch.bfloat16) if on_gpu else nullcontext()

tokenizer = Tokenizer.from_directory()
vocab_size = tokenizer.get_vocab_size()
print(f"Vocab size: {vocab_size:,}")

config = GPTConfig(sequence_len=MAX_SEQ_LEN, vocab_size=vocab_size)
print(f"Model config: {asdict(config)}")
model = GPT(config).to(device)
num_params = sum(p.numel() for p in model.parameters())

tokens_per_fwdbwd = DEVICE_BATCH_SIZE * MAX_SEQ_LEN
assert TOTAL_BATCH_SIZE % tokens_per_fwdbwd == 0
grad_accum_steps = TOTAL_BATCH_SIZE // tokens_per_fwdbwd

optimizer = model.setup_optimizer()
train_loader = make_dataloader(tokenizer, DEVICE_BATCH_SIZE, MAX_SEQ_LEN, "train")
x, y, epoch = next(train_loader)  # prefetch first batch
print(f"Time budget: {TIME_BUDGET}s, gradient accumulation steps: {grad_accum_steps}")


def get_lr_multiplier(progress):
    return min(1.0, (1.0 - progress) / WARMDOWN_RATIO)


# ---------------------------------------------------------------------------
# Training loop

smooth_train_loss = 0
total_training_time = 0
step = 0

while True:
    t0 = time.time()
    for _ in range(grad_accum_steps):
        with autocast_ctx:
            loss = model(x, y)
        train_loss = loss.detach()
        (loss / grad_accum_steps).backward()
        x, y, epoch = next(train_loader)

    progress = min(total_training_time / TIME_BUDGET, 1.0)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * get_lr_multiplier(progress)
    optimizer.step()
    model.zero_grad(set_to_none=True)

    train_loss_f = train_loss.item()
    if train_loss_f != train_loss_f or train_loss_f > 100:
        print("FAIL")
        raise SystemExit(1)

    dt = time.time() - t0
    if step > 10:  # the first steps compile and warm up
        total_training_time += dt
    smooth_train_loss = 0.9 * smooth_train_loss + 0.1 * train_loss_f
    debiased = smooth_train_loss / (1 - 0.9 ** (step + 1))
    if step % 20 == 0:
        print(f"\rstep {step:05d} | loss: {debiased:.6f} | epoch: {epoch}    ", end="", flush=True)

    if step == 0:  # the collector costs more than it collects
        gc.collect()
        gc.freeze()
        gc.disable()

    step += 1
    if step > 10 and total_training_time >= TIME_BUDGET:
        break

print()
total_tokens = step * TOTAL_BATCH_SIZE

# Final eval
model.eval()
with autocast_ctx:
    val_bpb = evaluate_bpb(model, tokenizer, DEVICE_BATCH_SIZE)

# Final summary
t_end = time.time()
print("---")
print(f"val_bpb:          {val_bpb:.6f}")
print(f"training_seconds: {total_training_time:.1f}")
print(f"total_seconds:    {t_end - t_start:.1f}")
print(f"total_tokens_M:   {total_tokens / 1e6:.1f}")
print(f"num_steps:        {step}")
print(f"num_params_M:     {num_params / 1e6:.1f}")
