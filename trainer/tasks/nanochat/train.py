"""Train a language model as far as one device gets in the budget; scored in bits per byte.

This file is the experiment: everything in it may be changed. What comes from `prepare` may not:
the data, the tokenizer, the budget and the score. The order of the program is part of the contract:
build `model`, then call `make_dataloader` (in the process that only scores, the program never gets
past that), compile and warm up on invented tokens, and only then take the first real batch, with
which the clock starts.

The model is nanochat's, with the constants that autoresearch's first night ended with (branch
exp/H100/mar8): RMS norm, rotary positions, normalised queries and keys, value embeddings in every
other layer, squared ReLU, short windows. Its size follows from the device's memory alone, so that
training and scoring build the same one.
"""

import gc
import time
from collections import deque
from contextlib import nullcontext
from functools import cache

import torch
from prepare import (
    CARD,
    COMPILES,
    MAX_SEQ_LEN,
    SEED,
    TIME_BUDGET,
    TOKEN_BUDGET,
    Tokenizer,
    evaluate_bpb,
    make_dataloader,
    warmup_batch,
)
from torch import nn
from torch.nn import functional as F

# Size: memory in GiB from which on, then layers, width, head width, tokens a row in training,
# tokens a step, rows at once
SIZES = (
    (76, 9, 640, 128, 2048, 2**18, 128),
    (38, 9, 640, 128, 2048, 2**18, 32),
    (20, 6, 512, 128, 2048, 2**16, 32),
    (13, 5, 384, 128, 1024, 2**15, 32),
    (9, 4, 384, 128, 1024, 2**15, 16),
    (6, 4, 256, 128, 512, 2**14, 32),
    (0, 3, 256, 128, 512, 2**14, 8),
)
CPU_SIZE = (3, 64, 32, 64, 2**9, 4)

# Model
WINDOWS = "SSSSL"  # of the layers in turn, the last one long: S is a part of the row, L all of it
SHORT_WINDOW = 8  # the part: one in so many
ROTARY_BASE = 200_000
MATRIX_INIT = 0.68
FIRST_STREAM = 0.05  # how much of the embedding each layer adds again, to begin with
LOGIT_CAP = 15.0
GATE_CHANNELS = 32

# Optimisation
MATRIX_LR = 0.04
EMBEDDING_LR = 0.9
HEAD_LR = 0.005
SCALAR_LR = 0.5
MATRIX_DECAY = 0.2
EMBEDDING_DECAY = 0.001
VALUE_DECAY = 0.003
HEAD_DECAY = 0.01
ADAM_BETAS = (0.8, 0.95)
MOMENTUM = (0.85, 0.95, 200)  # from, to, in so many steps
SECOND_MOMENT = 0.95
WARMDOWN = 0.75  # the last part of training, in which the learning rates fall
FINAL_LR = 0.05
WARMUP_STEPS = 3  # on invented tokens
STEPS_AHEAD = 2  # that the device may be behind the program
TUNED_WIDTH = 768  # at which the learning rates of what is no matrix were found

# Coefficients of five Newton-Schulz steps that orthogonalise (Polar Express, arXiv 2505.16932)
POLAR = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)


def size_for(memory_gib):
    """Return the row of SIZES, without its first number, for a GPU of that much memory."""
    return next(size for least, *size in SIZES if memory_gib >= least)


on_gpu = torch.cuda.is_available()
device = torch.device("cuda" if on_gpu else "cpu")
has_bf16 = False
size = CPU_SIZE
if on_gpu:
    card = torch.cuda.get_device_properties(device)
    has_bf16 = card.major >= 8
    size = size_for(card.total_memory / 2**30)
    if not COMPILES:  # each operation then keeps what it returns: about twice as much
        size[-1] = max(1, size[-1] // 2)
LAYERS, WIDTH, HEAD_WIDTH, SEQUENCE, STEP_TOKENS, ROWS = CARD.get("size", size)
HEADS = WIDTH // HEAD_WIDTH
SEQUENCE = min(SEQUENCE, MAX_SEQ_LEN)
EMBEDDING_TYPE = torch.bfloat16 if has_bf16 else torch.float32
torch.set_float32_matmul_precision("high")
autocast_ctx = nullcontext()
if on_gpu:
    autocast_ctx = torch.autocast("cuda", torch.bfloat16 if has_bf16 else torch.float16)
# Half floats lose small gradients. Neither optimiser minds by how much all are multiplied.
LOSS_SCALE = 1024.0 if on_gpu and not has_bf16 else 1.0


# Attention: the first of these that runs here


def varlen_attention(query, key, value, window):
    """FlashAttention as torch brings it along (sm80 and later), FA4 where it is installed."""
    from torch.nn.attention.varlen import varlen_attn

    rows, length = query.shape[:2]
    starts = torch.arange(0, (rows + 1) * length, length, device=query.device, dtype=torch.int32)
    flat = [part.flatten(0, 1) for part in (query, key, value)]
    mixed = varlen_attn(*flat, starts, starts, length, length, window_size=(window, 0))
    return mixed.view(rows, length, HEADS, HEAD_WIDTH)


@cache
def block_mask(length, window):
    """Which blocks of a row's positions look at which: the last `window` positions, none ahead."""
    from torch.nn.attention.flex_attention import create_block_mask

    def near(_row, _head, at, other):
        return (at >= other) & (at - other <= window)

    return create_block_mask(near, None, None, length, length, device=device)


def flex_attention(query, key, value, window):
    """Attention that skips what is masked, compiled with the model (torch without varlen)."""
    from torch.nn.attention.flex_attention import flex_attention

    query, key, value = (part.transpose(1, 2) for part in (query, key, value))
    mask = block_mask(query.size(2), window)
    return flex_attention(query, key, value, block_mask=mask).transpose(1, 2)


def masked_attention(query, key, value, window):
    """Plain attention that looks at the last `window` positions: any device, full cost."""
    query, key, value = (part.transpose(1, 2) for part in (query, key, value))
    length = query.size(2)
    if window >= length:
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    else:
        at = torch.arange(length, device=query.device)
        distance = at[:, None] - at
        near = (distance >= 0) & (distance <= window)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=near)
    return mixed.transpose(1, 2)


def best_attention():
    """Return the fastest attention that gives an answer on this device."""
    if found := CARD.get("attention"):
        return {"varlen": varlen_attention, "flex": flex_attention}.get(found, masked_attention)
    if not has_bf16:
        return masked_attention
    try:
        if torch.cuda.get_device_capability()[0] in (9, 10):
            from torch.nn.attention import activate_flash_attention_impl

            activate_flash_attention_impl("FA4")
    except (ImportError, RuntimeError, ValueError, AttributeError) as error:
        print(f"no FA4: {error}")
    probe = torch.zeros(1, 128, HEADS, HEAD_WIDTH, device=device, dtype=torch.bfloat16)
    try:
        varlen_attention(probe, probe, probe, 8)
    except (ImportError, RuntimeError, NotImplementedError) as error:
        print(f"no varlen attention: {error}")
    else:
        return varlen_attention
    try:
        torch.compile(flex_attention)(probe, probe, probe, 8)
    except (ImportError, RuntimeError) as error:
        print(f"no flex attention: {error}")
        return masked_attention
    return flex_attention


attention = best_attention()


# Model


def norm(x):
    return F.rms_norm(x, (x.size(-1),))


def rotate(x, cos, sin):
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos + right * sin, right * cos - left * sin), dim=-1)


class Block(nn.Module):
    def __init__(self, layer):
        super().__init__()
        is_long = WINDOWS[layer % len(WINDOWS)] == "L" or layer == LAYERS - 1
        self.window = SEQUENCE if is_long else max(1, SEQUENCE // SHORT_WINDOW)
        self.query = nn.Linear(WIDTH, WIDTH, bias=False)
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)
        self.value = nn.Linear(WIDTH, WIDTH, bias=False)
        self.mix = nn.Linear(WIDTH, WIDTH, bias=False)
        self.expand = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.contract = nn.Linear(4 * WIDTH, WIDTH, bias=False)
        has_values = layer % 2 == (LAYERS - 1) % 2
        self.gate = nn.Linear(GATE_CHANNELS, HEADS, bias=False) if has_values else None

    def forward(self, x, token_values, cos, sin):
        normed = norm(x)
        shape = (*x.shape[:2], HEADS, HEAD_WIDTH)
        query, key = (
            norm(rotate(project(normed).view(shape), cos, sin))
            for project in (self.query, self.key)
        )
        value = self.value(normed).view(shape)
        if self.gate is not None:
            gate = 2 * torch.sigmoid(self.gate(normed[..., :GATE_CHANNELS]))
            value = value + gate.unsqueeze(-1) * token_values.view(shape)
        query, key = query.to(value.dtype), key.to(value.dtype)
        x = x + self.mix(attention(query, key, value, self.window).flatten(2))
        return x + self.contract(F.relu(self.expand(norm(x))).square())


class GPT(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, WIDTH, dtype=EMBEDDING_TYPE)
        self.blocks = nn.ModuleList([Block(layer) for layer in range(LAYERS)])
        self.values = nn.ModuleDict(
            {
                str(layer): nn.Embedding(vocabulary, WIDTH, dtype=EMBEDDING_TYPE)
                for layer, block in enumerate(self.blocks)
                if block.gate is not None
            }
        )
        self.head = nn.Linear(WIDTH, vocabulary, bias=False)
        self.stream = nn.Parameter(torch.empty(LAYERS))
        self.first_stream = nn.Parameter(torch.empty(LAYERS))
        frequencies = ROTARY_BASE ** (-torch.arange(0, HEAD_WIDTH, 2) / HEAD_WIDTH)
        angles = torch.outer(torch.arange(MAX_SEQ_LEN), frequencies)[:, None, :]
        self.register_buffer("cos", angles.cos().to(EMBEDDING_TYPE), persistent=False)
        self.register_buffer("sin", angles.sin().to(EMBEDDING_TYPE), persistent=False)
        self.initialise()

    @torch.no_grad()
    def initialise(self):
        """Give every parameter its value to begin with, decided by the run's seed."""
        torch.manual_seed(SEED)
        bound = MATRIX_INIT * (3 / WIDTH) ** 0.5
        nn.init.normal_(self.embedding.weight)
        nn.init.normal_(self.head.weight, std=0.001)
        for block in self.blocks:
            for matrix in (block.query, block.key, block.value, block.expand):
                nn.init.uniform_(matrix.weight, -bound, bound)
            for matrix in (block.mix, block.contract, block.gate):
                if matrix is not None:
                    nn.init.zeros_(matrix.weight)
        for values in self.values.values():
            nn.init.uniform_(values.weight, -bound, bound)
        self.stream.fill_(1.0)
        self.first_stream.fill_(FIRST_STREAM)

    def forward(self, tokens, targets=None, reduction="mean"):
        length = tokens.size(1)
        cos, sin = self.cos[:length], self.sin[:length]
        x = first = norm(self.embedding(tokens))
        for layer, block in enumerate(self.blocks):
            x = self.stream[layer] * x + self.first_stream[layer] * first
            values = self.values[str(layer)](tokens) if str(layer) in self.values else None
            x = block(x, values, cos, sin)
        logits = self.head(norm(x)).float()
        logits = LOGIT_CAP * torch.tanh(logits / LOGIT_CAP)
        if targets is None:
            return logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)


tokenizer = Tokenizer.from_directory()
model = GPT(tokenizer.get_vocab_size()).to(device)
batches = make_dataloader(tokenizer, ROWS, SEQUENCE, "train", device="cpu")


# Optimiser


def when_on_gpu(compiler):
    return compiler if on_gpu else lambda function: function


@when_on_gpu(torch.compile(dynamic=False, fullgraph=True))
def step_matrices(matrices, gradients, momenta, moments, momentum, rate, decay):
    """Step matrices of one shape, stacked: Muon with a second moment by row (NorMuon)."""
    momenta.lerp_(gradients, 1 - momentum)
    update = gradients.lerp(momenta, momentum)
    x = update.to(torch.bfloat16 if has_bf16 else torch.float32)
    is_tall = x.size(-2) > x.size(-1)
    x = x.mT if is_tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * 1.02 + 1e-6)
    for a, b, c in POLAR:
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    x = (x.mT if is_tall else x).float()
    along = -1 if x.size(-2) >= x.size(-1) else -2
    mean = x.square().mean(dim=along, keepdim=True)
    moments.lerp_(mean, 1 - SECOND_MOMENT)
    scaled = x * moments.clamp_min(1e-10).rsqrt()
    x = scaled * (
        x.norm(dim=(-2, -1), keepdim=True)
        / scaled.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-10)
    )
    # Weights decay only where the step makes them smaller anyway.
    agrees = (x * matrices) >= 0
    matrices.sub_(rate * x + rate * decay * matrices * agrees)


class Matrices:
    """The matrices of one shape with what Muon keeps of them, and its figures as tensors.

    As numbers they would be compiled in, and each step compiled anew.
    """

    def __init__(self, parameters):
        self.parameters = parameters
        rows, columns = parameters[0].shape
        self.scale = max(1.0, rows / columns) ** 0.5
        count = len(parameters)
        moment = (count, rows, 1) if rows >= columns else (count, 1, columns)
        self.momenta = torch.zeros(count, rows, columns, device=device)
        self.moments = torch.zeros(moment, device=device)
        self.figures = [torch.zeros(()) for _ in range(3)]

    def step(self, *, momentum, rate, decay):
        for figure, value in zip(self.figures, (momentum, rate * self.scale, decay), strict=True):
            figure.fill_(value)
        stacked = torch.stack(self.parameters)
        gradients = torch.stack([parameter.grad for parameter in self.parameters])
        step_matrices(stacked, gradients, self.momenta, self.moments, *self.figures)
        for parameter, stepped in zip(self.parameters, stacked, strict=True):
            parameter.copy_(stepped)

    def forget(self):
        self.momenta.zero_()
        self.moments.zero_()


of_blocks = list(model.blocks.parameters())
shapes = sorted({parameter.shape for parameter in of_blocks})
stacks = [Matrices([one for one in of_blocks if one.shape == shape]) for shape in shapes]
by_width = (WIDTH / TUNED_WIDTH) ** -0.5
groups = [
    ([model.head.weight], HEAD_LR * by_width, ADAM_BETAS, HEAD_DECAY),
    ([model.embedding.weight], EMBEDDING_LR * by_width, ADAM_BETAS, EMBEDDING_DECAY),
    (list(model.values.parameters()), EMBEDDING_LR * by_width, ADAM_BETAS, VALUE_DECAY),
    ([model.stream], 0.01 * SCALAR_LR, ADAM_BETAS, 0.0),
    ([model.first_stream], SCALAR_LR, (0.96, 0.95), 0.0),
]
others = torch.optim.AdamW(
    [
        {"params": params, "lr": rate, "betas": betas, "weight_decay": decay}
        for params, rate, betas, decay in groups
    ],
    eps=1e-10,
    fused=True,
)


def step_all(step, progress):
    """Step every parameter; `progress` is the share of the budget that is used up."""
    scale = 1.0
    if progress > 1 - WARMDOWN:
        left = (1 - progress) / WARMDOWN
        scale = left + (1 - left) * FINAL_LR
    for group, (_, rate, _, _) in zip(others.param_groups, groups, strict=True):
        group["lr"] = rate * scale
    others.step()
    start, end, steps = MOMENTUM
    momentum = start + (end - start) * min(1.0, step / steps)
    with torch.no_grad():
        for stack in stacks:
            stack.step(
                momentum=momentum, rate=MATRIX_LR * scale, decay=MATRIX_DECAY * (1 - progress)
            )
    model.zero_grad(set_to_none=True)


# Training


class Copies:
    """Batches on the device: the next is on its way while the device works on the last."""

    def __init__(self):
        self.slots = deque()
        self.may_overlap = on_gpu and CARD.get("pinned", True)
        if self.may_overlap:
            shape = (ROWS, SEQUENCE)
            for _ in range(2):
                pinned = [torch.empty(shape, dtype=torch.long, pin_memory=True) for _ in range(2)]
                self.slots.append((pinned, torch.cuda.Event()))

    def of(self, batch):
        """Return inputs and targets of a batch, on the device as soon as it looks at them."""
        if not self.may_overlap:
            return [part.to(device) for part in batch[:2]]
        pinned, copied = self.slots[0]
        self.slots.rotate(1)
        copied.synchronize()  # of two batches ago
        moved = []
        for kept, part in zip(pinned, batch[:2], strict=True):
            kept.copy_(part)
            moved.append(kept.to(device, non_blocking=True))
        copied.record()
        return moved


copies = Copies()
compiled = when_on_gpu(torch.compile(dynamic=False))(model)
accumulated = max(1, STEP_TOKENS // (ROWS * SEQUENCE))


def learn(batch):
    """Add a batch's share to the gradients and return its loss."""
    tokens, targets = copies.of(batch)
    with autocast_ctx:
        loss = compiled(tokens, targets)
    (loss * (LOSS_SCALE / accumulated)).backward()
    return loss.detach()


for step in range(WARMUP_STEPS if on_gpu else 1):
    for _ in range(accumulated):
        learn(warmup_batch(ROWS, SEQUENCE))
    step_all(step, 0.0)
model.initialise()
others.state.clear()
for stack in stacks:
    stack.forget()
gc.collect()
gc.freeze()  # a collection in between would stall the device
gc.disable()

batch = next(batches)
started_s = time.monotonic()
behind = deque()  # steps that the device may not have ended, with the loss of each
step = tokens_seen = 0
progress = 0.0
while progress < 1:
    for _ in range(accumulated):
        loss = learn(batch)
        batch = next(batches)
    step_all(step, progress)
    step += 1
    tokens_seen += accumulated * ROWS * SEQUENCE
    if on_gpu:
        value = torch.empty((), pin_memory=copies.may_overlap).copy_(loss, non_blocking=True)
        ended = torch.cuda.Event()
        ended.record()
        behind.append((ended, value))
        if len(behind) > STEPS_AHEAD:
            ended, loss = behind.popleft()
            ended.synchronize()
    if step % 50 == 0:
        rate = tokens_seen / (time.monotonic() - started_s)
        done, rounded = f"{progress:.1%}", f"{loss.item():.4f}"
        print(f"step {step} ({done}) | loss: {rounded}, {rate:,.0f} tokens/s", flush=True)
        if not loss.isfinite():
            raise SystemExit("nan: the loss is not finite")
    if TOKEN_BUDGET:
        progress = tokens_seen / TOKEN_BUDGET
    else:
        progress = (time.monotonic() - started_s) / TIME_BUDGET

evaluate_bpb(model, tokenizer, ROWS)
