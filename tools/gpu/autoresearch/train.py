"""autoresearch's first script, rewritten from its published constants and structure.

The rival of `trainer/tasks/nanochat/train.py` in `make gpu PART=compare`: its model, optimiser,
schedules and batch, under the same contract (`prepare`). What differs from the original differs
for both alike: the harness's loader and clock, and compiling on invented tokens before the clock
starts, where the original leaves its first steps uncounted.
Source: karpathy/autoresearch, train.py.
"""

import gc
import time
from contextlib import nullcontext

import torch
from kernels import get_kernel
from prepare import (
    CARD,
    COMPILES,
    MAX_SEQ_LEN,
    SEED,
    TIME_BUDGET,
    Tokenizer,
    evaluate_bpb,
    make_dataloader,
    warmup_batch,
)
from torch import nn
from torch.nn import functional as F

# Published constants
DEPTH = 8
ASPECT_RATIO = 64
HEAD_DIM = 128
WINDOW_PATTERN = "SSSL"
TOTAL_BATCH = 2**19
DEVICE_BATCH = 128
EMBEDDING_LR = 0.6
UNEMBEDDING_LR = 0.004
MATRIX_LR = 0.04
SCALAR_LR = 0.5
WEIGHT_DECAY = 0.2
ADAM_BETAS = (0.8, 0.95)
WARMUP = 0.0
WARMDOWN = 0.5
FINAL_LR = 0.0
ROTARY_BASE = 10_000
FIRST_STREAM = 0.1
LOGIT_CAP = 15.0
GATE_CHANNELS = 32
MOMENTUM = (0.85, 0.95, 300)
SECOND_MOMENT = 0.95
TUNED_WIDTH = 768
POLAR = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)

# Rows at once by memory in GiB: its README's advice for smaller cards, which changes no result;
# half of them where nothing is compiled, as a step holds twice as much then (`make fake-gpu`).
ROWS = ((70, 128), (38, 64), (20, 32), (10, 16), (0, 8))
WARMUP_STEPS = 3  # on invented tokens

on_gpu = torch.cuda.is_available()
device = torch.device("cuda" if on_gpu else "cpu")
torch.set_float32_matmul_precision("high")
if on_gpu:
    has_bf16 = torch.cuda.get_device_capability()[0] >= 8
    memory_gib = torch.cuda.get_device_properties(device).total_memory / 2**30
    DEVICE_BATCH = next(rows for least, rows in ROWS if memory_gib >= least) // (
        1 if COMPILES else 2
    )
    autocast_ctx = torch.autocast("cuda", torch.bfloat16)
else:  # a toy next to our script's, in the proportions of the two
    has_bf16 = False
    DEPTH, ASPECT_RATIO, HEAD_DIM, TOTAL_BATCH, DEVICE_BATCH = 2, 32, 32, 2**10, 4
    autocast_ctx = nullcontext()
HALF = torch.bfloat16 if on_gpu else torch.float32
WIDTH = -(-DEPTH * ASPECT_RATIO // HEAD_DIM) * HEAD_DIM
HEAD_WIDTH, HEADS = HEAD_DIM, WIDTH // HEAD_DIM
ACCUMULATED = max(1, TOTAL_BATCH // (DEVICE_BATCH * MAX_SEQ_LEN))


# Asked for once, as in the original: asked for in the model it would compile that in pieces.
KERNEL = get_kernel("varunneal/flash-attention-3").flash_attn_interface


def flash_attention(query, key, value, window):
    """Return attention by the kernel that the original asks a hub for; here it is torch's."""
    return KERNEL.flash_attn_func(query, key, value, causal=True, window_size=(window, 0))


attention = flash_attention


# Model


def norm(x):
    return F.rms_norm(x, (x.size(-1),))


def has_values(layer):
    return layer % 2 == (DEPTH - 1) % 2


def rotated(x, cos, sin):
    left, right = x.chunk(2, dim=3)
    return torch.cat((left * cos + right * sin, right * cos - left * sin), dim=3)


class Attention(nn.Module):
    def __init__(self, layer):
        super().__init__()
        is_long = WINDOW_PATTERN[layer % len(WINDOW_PATTERN)] == "L" or layer == DEPTH - 1
        self.window = MAX_SEQ_LEN if is_long else MAX_SEQ_LEN // 2
        self.query = nn.Linear(WIDTH, WIDTH, bias=False)
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)
        self.value = nn.Linear(WIDTH, WIDTH, bias=False)
        self.project = nn.Linear(WIDTH, WIDTH, bias=False)
        self.gate = nn.Linear(GATE_CHANNELS, HEADS, bias=False) if has_values(layer) else None

    def forward(self, x, token_values, cos, sin):
        heads = (*x.shape[:2], HEADS, HEAD_WIDTH)
        query, key, value = (part(x).view(heads) for part in (self.query, self.key, self.value))
        if self.gate is not None:
            gate = 2 * self.gate(x[..., :GATE_CHANNELS]).sigmoid()
            value = value + gate.unsqueeze(-1) * token_values.view(heads)
        query, key = norm(rotated(query, cos, sin)), norm(rotated(key, cos, sin))
        query, key = query.to(value.dtype), key.to(value.dtype)
        return self.project(attention(query, key, value, self.window).flatten(2))


class FeedForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.expand = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.project = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x):
        return self.project(F.relu(self.expand(x)).square())


class Layer(nn.Module):
    def __init__(self, number):
        super().__init__()
        self.attend = Attention(number)
        self.feed = FeedForward()

    def forward(self, x, token_values, cos, sin):
        x = x + self.attend(norm(x), token_values, cos, sin)
        return x + self.feed(norm(x))


class Transformer(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, WIDTH, dtype=HALF)
        self.layers = nn.ModuleList([Layer(number) for number in range(DEPTH)])
        self.values = nn.ModuleDict(
            {
                str(number): nn.Embedding(vocabulary, WIDTH, dtype=HALF)
                for number in range(DEPTH)
                if has_values(number)
            }
        )
        self.head = nn.Linear(WIDTH, vocabulary, bias=False)
        self.residual = nn.Parameter(torch.empty(DEPTH))
        self.first = nn.Parameter(torch.empty(DEPTH))
        rates = ROTARY_BASE ** -(torch.arange(0, HEAD_WIDTH, 2) / HEAD_WIDTH)
        angles = torch.outer(torch.arange(MAX_SEQ_LEN), rates)[:, None, :]
        self.register_buffer("cos", angles.cos().to(HALF), persistent=False)
        self.register_buffer("sin", angles.sin().to(HALF), persistent=False)
        self.begin()

    @torch.no_grad()
    def begin(self):
        torch.manual_seed(SEED)
        bound = (3 / WIDTH) ** 0.5
        nn.init.normal_(self.embedding.weight, std=1.0)
        nn.init.normal_(self.head.weight, std=0.001)
        for layer in self.layers:
            attend, feed = layer.attend, layer.feed
            for matrix in (attend.query, attend.key, attend.value, feed.expand):
                nn.init.uniform_(matrix.weight, -bound, bound)
            for matrix in (attend.project, feed.project, attend.gate):
                if matrix is not None:
                    nn.init.zeros_(matrix.weight)
        for values in self.values.values():
            nn.init.uniform_(values.weight, -bound, bound)
        self.residual.fill_(1.0)
        self.first.fill_(FIRST_STREAM)

    def forward(self, tokens, targets=None, reduction="mean"):
        cos, sin = self.cos[: tokens.size(1)], self.sin[: tokens.size(1)]
        x = start = norm(self.embedding(tokens))
        for number, layer in enumerate(self.layers):
            x = self.residual[number] * x + self.first[number] * start
            values = self.values[str(number)](tokens) if has_values(number) else None
            x = layer(x, values, cos, sin)
        logits = self.head(norm(x)).float()
        logits = LOGIT_CAP * torch.tanh(logits / LOGIT_CAP)
        if targets is None:
            return logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)


tokenizer = Tokenizer.from_directory()
model = Transformer(tokenizer.get_vocab_size()).to(device)
loader = make_dataloader(tokenizer, DEVICE_BATCH, MAX_SEQ_LEN, "train")


# Optimisers: AdamW for what is no matrix of a layer, Muon with NorMuon's second moment for those


def on_card(compiler):
    return compiler if on_gpu else lambda function: function


@on_card(torch.compile(dynamic=False, fullgraph=True))
def muon_step(weights, gradients, momenta, moments, momentum, rate, decay):
    momenta.lerp_(gradients, 1 - momentum)
    x = gradients.lerp(momenta, momentum).to(HALF)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * 1.02 + 1e-6)
    is_tall = x.size(-2) > x.size(-1)
    for a, b, c in POLAR:
        if is_tall:
            inner = x.mT @ x
            x = a * x + x @ (b * inner + c * inner @ inner)
        else:
            inner = x @ x.mT
            x = a * x + (b * inner + c * inner @ inner) @ x
    x = x.float()
    along = -1 if x.size(-2) >= x.size(-1) else -2
    mean = x.square().mean(dim=along, keepdim=True)
    size = x.norm(dim=(-2, -1), keepdim=True)
    moments.lerp_(mean, 1 - SECOND_MOMENT)
    x = x * moments.clamp_min(1e-10).rsqrt()
    x = x * (size / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-10))
    agrees = (x * weights) >= 0
    weights.sub_(rate * x + rate * decay * weights * agrees)


class Muon:
    def __init__(self, parameters):
        self.parameters = parameters
        rows, columns = parameters[0].shape
        self.scale = max(1.0, rows / columns) ** 0.5
        count = len(parameters)
        kept = (count, rows, 1) if rows >= columns else (count, 1, columns)
        self.momenta = torch.zeros(count, rows, columns, device=device)
        self.moments = torch.zeros(kept, device=device)
        self.figures = [torch.zeros(()) for _ in range(3)]  # tensors: numbers are compiled in

    @torch.no_grad()
    def step(self, momentum, rate, decay):
        for figure, value in zip(self.figures, (momentum, rate * self.scale, decay), strict=True):
            figure.fill_(value)
        weights = torch.stack(self.parameters)
        gradients = torch.stack([parameter.grad for parameter in self.parameters])
        muon_step(weights, gradients, self.momenta, self.moments, *self.figures)
        for parameter, stepped in zip(self.parameters, weights, strict=True):
            parameter.copy_(stepped)


matrices = list(model.layers.parameters())
muons = [
    Muon([matrix for matrix in matrices if matrix.shape == shape])
    for shape in sorted({matrix.shape for matrix in matrices})
]
by_width = (WIDTH / TUNED_WIDTH) ** -0.5
adam_groups = [
    ([model.head.weight], UNEMBEDDING_LR * by_width, ADAM_BETAS),
    ([model.embedding.weight, *model.values.parameters()], EMBEDDING_LR * by_width, ADAM_BETAS),
    ([model.residual], 0.01 * SCALAR_LR, ADAM_BETAS),
    ([model.first], SCALAR_LR, (0.96, 0.95)),
]
adam = torch.optim.AdamW(
    [{"params": params, "lr": rate, "betas": betas} for params, rate, betas in adam_groups],
    eps=1e-10,
    weight_decay=0.0,
    fused=True,
)


def rate_at(progress):
    """Return by how much the learning rates are multiplied."""
    if progress < WARMUP:
        return progress / WARMUP
    if progress < 1 - WARMDOWN:
        return 1.0
    left = (1 - progress) / WARMDOWN
    return left + (1 - left) * FINAL_LR


def step_all(step, progress):
    scale = rate_at(progress)
    for group, (_, rate, _) in zip(adam.param_groups, adam_groups, strict=True):
        group["lr"] = rate * scale
    adam.step()
    start, end, steps = MOMENTUM
    momentum = start + (end - start) * min(1.0, step / steps)
    for muon in muons:
        muon.step(momentum, MATRIX_LR * scale, WEIGHT_DECAY * (1 - progress))
    model.zero_grad(set_to_none=True)


# Training

compiled = on_card(torch.compile(dynamic=False))(model)
if on_gpu:
    shape = (2, DEVICE_BATCH, MAX_SEQ_LEN)
    pinned = torch.empty(shape, dtype=torch.long, pin_memory=True)
    placed = torch.empty(shape, dtype=torch.long, device=device)
    copied = torch.cuda.Event()


def placed_on_device(batch):
    """Copy a batch through pinned memory, as the original's loader does."""
    if not on_gpu:
        return batch[:2]
    copied.synchronize()
    for slot, part in zip(pinned, batch[:2], strict=True):
        slot.copy_(part)
    placed.copy_(pinned, non_blocking=True)
    copied.record()
    return placed


def learn(batch):
    with autocast_ctx:
        loss = compiled(*placed_on_device(batch))
    (loss / ACCUMULATED).backward()
    return loss.detach()


for step in range(WARMUP_STEPS if on_gpu else 1):
    for _ in range(ACCUMULATED):
        learn(warmup_batch(DEVICE_BATCH, MAX_SEQ_LEN))
    step_all(step, 0.0)
model.begin()
adam.state.clear()
for muon in muons:
    muon.momenta.zero_()
    muon.moments.zero_()
gc.collect()
gc.freeze()
gc.disable()

batch = next(loader)
started_s = time.monotonic()
step = 0
progress = 0.0
while progress < 1:
    for _ in range(ACCUMULATED):
        loss = learn(batch)
        batch = next(loader)
    step_all(step, progress)
    value = loss.item()  # the original waits for each step
    step += 1
    elapsed_s = time.monotonic() - started_s
    if step % 20 == 0:
        rate = step * ACCUMULATED * DEVICE_BATCH * MAX_SEQ_LEN / elapsed_s
        print(f"step {step}: loss {value:.4f}, {rate:,.0f} tokens/s", flush=True)
    if not value < 100:
        raise SystemExit("nan: the loss exploded")
    progress = elapsed_s / TIME_BUDGET

evaluate_bpb(model, tokenizer, DEVICE_BATCH)
