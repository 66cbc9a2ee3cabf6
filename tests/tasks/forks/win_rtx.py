"""The structure of jsegov/autoresearch-win-rtx's train.py: everything inside functions.

Peculiar: arguments; names and options of its own (`DATASET_CHOICES`, `tokenizer.dataset`,
`device=`, `dataset=`, `eval_tokens=`); sizes are tried with short trainings, each with a model and
a loader of its own, and what won is kept in a file at home; a size that does not fit is followed by
a smaller one; a checkpoint is written before the evaluation; the model that is evaluated came out
of a function; `raise SystemExit(main())`.
"""

# ruff: noqa: BLE001, N812 -- the habits that such scripts have
import argparse
import gc
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")

import torch
import torch.nn as nn
import torch.nn.functional as F
from prepare import (
    DATASET_CHOICES,
    EVAL_TOKENS,
    MAX_SEQ_LEN,
    TIME_BUDGET,
    Tokenizer,
    evaluate_bpb,
    make_dataloader,
)
from torch.utils.checkpoint import checkpoint

TOTAL_BATCH_SIZE = 1024


@dataclass(frozen=True)
class Runtime:
    device: torch.device
    name: str
    amp_dtype: torch.dtype
    profile: "Profile"


@dataclass(frozen=True)
class Profile:
    batch_sizes: tuple[int, ...]
    checkpointing: bool


def detect_runtime():
    if not torch.cuda.is_available():
        return Runtime(torch.device("cpu"), "cpu", torch.bfloat16, Profile((8, 4), True))
    memory = torch.cuda.get_device_properties(0).total_memory
    profile = Profile((32, 16), False) if memory > 16 << 30 else Profile((16, 8), True)
    dtype = torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float16
    return Runtime(torch.device("cuda"), torch.cuda.get_device_name(), dtype, profile)


@dataclass
class GPTConfig:
    sequence_len: int
    vocab_size: int
    checkpointing: bool
    compute_dtype: torch.dtype
    width: int = 32


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.inner = nn.Linear(config.width, 3 * config.width, bias=False)
        self.outer = nn.Linear(config.width, config.width, bias=False)
        self.up = nn.Linear(config.width, 4 * config.width)
        self.down = nn.Linear(4 * config.width, config.width)
        self.masks = {}

    def mask(self, length, device):
        if (length, device) not in self.masks:
            at = torch.arange(length, device=device)
            self.masks[length, device] = at[None, :] <= at[:, None]
        return self.masks[length, device]

    def forward(self, x):
        q, k, v = self.inner(F.rms_norm(x, x.shape[-1:])).unflatten(2, (3, 4, -1)).unbind(2)
        q, k, v = (each.transpose(1, 2) for each in (q, k, v))
        seen = self.mask(x.size(1), x.device)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=False)
        x = x + self.outer(y.transpose(1, 2).flatten(2))
        return x + self.down(self.up(F.rms_norm(x, x.shape[-1:])).relu().square())


class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(2))
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        self.register_buffer("places", self.waves(), persistent=False)

    def waves(self):
        device = self.embed.weight.device
        at = torch.arange(self.config.sequence_len, device=device)[:, None]
        rates = torch.linspace(1.0, 0.01, self.config.width, device=device)
        return (at * rates).sin().to(self.config.compute_dtype)

    @torch.no_grad()
    def init_weights(self, embed_dtype):
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.1 if parameter.ndim == 2 else 0.0)
        nn.init.zeros_(self.head.weight)
        self.places = self.waves()
        self.embed.to(dtype=embed_dtype)

    def forward(self, idx, targets=None, reduction="mean"):
        x = self.embed(idx) + self.places[: idx.size(1)]
        for block in self.blocks:
            if self.config.checkpointing and self.training:
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        logits = self.head(F.rms_norm(x, x.shape[-1:])).float()
        if targets is None:
            return logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)


def build(runtime, config):
    torch.manual_seed(42)
    torch.cuda.manual_seed(42)
    with torch.device("meta"):
        model = GPT(config)
    model.to_empty(device=runtime.device)
    model.init_weights(embed_dtype=runtime.amp_dtype)
    return model


def probe(runtime, tokenizer, config, batch_size):
    """Tokens a second of a few steps, None if they do not fit."""
    model = train_loader = None
    autocast_ctx = torch.amp.autocast(device_type=runtime.device.type, dtype=runtime.amp_dtype)
    try:
        model = build(runtime, config)
        train_loader = make_dataloader(
            tokenizer,
            batch_size,
            MAX_SEQ_LEN,
            "train",
            device=runtime.device,
            dataset=tokenizer.dataset,
        )
        started = time.time()
        for _ in range(2):
            x, y, _ = next(train_loader)
            with autocast_ctx:
                loss = model(x, y)
            loss.backward()
        return 2 * batch_size * MAX_SEQ_LEN / (time.time() - started)
    except torch.cuda.OutOfMemoryError:
        return None
    except RuntimeError as error:
        print(f"rejected batch_size={batch_size}: {error}")
        return None
    finally:
        del model, train_loader
        gc.collect()


def tuned(runtime, tokenizer, config):
    path = Path.home() / ".cache" / "autoresearch" / "profile-v1.json"
    key = f"{runtime.name}|{torch.__version__}|{platform.system()}|{MAX_SEQ_LEN}"
    try:
        return json.loads(path.read_text())[key]
    except (OSError, KeyError, ValueError):
        print("no sizes are known yet")
    rates = {size: probe(runtime, tokenizer, config, size) for size in runtime.profile.batch_sizes}
    best = max(rates, key=lambda size: rates[size] or 0.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({key: best}))
    return best


def train(runtime, tokenizer, config, batch_size):
    model = build(runtime, config)
    autocast_ctx = torch.amp.autocast(device_type=runtime.device.type, dtype=runtime.amp_dtype)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, betas=(0.9, 0.95))
    grad_accum_steps = max(1, TOTAL_BATCH_SIZE // (batch_size * MAX_SEQ_LEN))  # one on a card
    train_loader = make_dataloader(
        tokenizer,
        batch_size,
        MAX_SEQ_LEN,
        "train",
        device=runtime.device,
        dataset=tokenizer.dataset,
    )
    x, y, epoch = next(train_loader)
    total_training_time = 0.0
    step = 0
    while step <= 10 or total_training_time < TIME_BUDGET:
        t0 = time.time()
        for _ in range(grad_accum_steps):
            with autocast_ctx:
                loss = model(x, y)
            (loss / grad_accum_steps).backward()
            x, y, epoch = next(train_loader)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * (1 - min(1.0, total_training_time / TIME_BUDGET))
        optimizer.step()
        model.zero_grad(set_to_none=True)
        if loss.item() > 100:
            raise RuntimeError("FAIL: the loss exploded")
        if step > 10:
            total_training_time += time.time() - t0
        print(f"\rstep {step:05d} | loss: {loss.item():.6f} | epoch: {epoch}", end="", flush=True)
        step += 1
    print()
    return {"model": model, "step": step, "seconds": total_training_time}


def save_checkpoint(model):
    try:
        torch.save(model.state_dict(), "checkpoint_pre_eval.pt")
        print("Saved checkpoint_pre_eval.pt")
    except Exception as error:
        print(f"Warning: no checkpoint: {error}")


def main():
    parser = argparse.ArgumentParser(description="Train")
    parser.add_argument("--smoke-test", action="store_true")
    parser.add_argument("--dataset", choices=DATASET_CHOICES, default=None)
    args = parser.parse_args()

    runtime = detect_runtime()
    tokenizer = Tokenizer.from_directory(dataset=args.dataset)
    print(f"{runtime.name}, {tokenizer.get_vocab_size():,} tokens, data set {tokenizer.dataset}")
    config = GPTConfig(
        MAX_SEQ_LEN, tokenizer.get_vocab_size(), runtime.profile.checkpointing, runtime.amp_dtype
    )
    print(f"Model config: {asdict(config)}")
    best = tuned(runtime, tokenizer, config)
    result = None
    for batch_size in (best, *(size for size in runtime.profile.batch_sizes if size != best)):
        try:
            result = train(runtime, tokenizer, config, batch_size)
            break
        except torch.cuda.OutOfMemoryError:
            print(f"out of memory at batch_size={batch_size}")
        except RuntimeError as error:
            print(error)
            return 1
    if result is None:
        return 1

    model = result["model"]
    save_checkpoint(model)
    model.eval()
    for batch_size in (8, 4, 2, 1):
        try:
            with torch.amp.autocast(device_type=runtime.device.type, dtype=runtime.amp_dtype):
                val_bpb = evaluate_bpb(
                    model,
                    tokenizer,
                    batch_size,
                    device=runtime.device,
                    dataset=tokenizer.dataset,
                    eval_tokens=EVAL_TOKENS,
                )
            break
        except torch.cuda.OutOfMemoryError:
            print(f"out of memory at batch_size={batch_size}")
    print("---")
    print(f"val_bpb:          {val_bpb:.6f}")
    print(f"training_seconds: {result['seconds']:.1f}")
    print(f"num_steps:        {result['step']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
