"""A replacement for the `kernels` package: attention from torch, no code downloaded from a hub.

Scripts of autoresearch's family call `get_kernel(...)` at import. They then use either
`flash_attn_interface.flash_attn_func` or `flash_attn_func`.
"""

from types import SimpleNamespace

import torch
from torch.nn.functional import scaled_dot_product_attention


def get_kernel(name: str, *_: object, **__: object) -> SimpleNamespace:
    """Return an object shaped like the flash-attention kernel package, for any name."""
    interface = SimpleNamespace(flash_attn_func=flash_attn_func)
    return SimpleNamespace(
        name=name, flash_attn_interface=interface, flash_attn_func=flash_attn_func
    )


def flash_attn_func(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softmax_scale: float | None = None,
) -> torch.Tensor:
    """Return attention over [batch, time, heads, head size].

    With `causal`, each token attends to at most `window_size[0]` tokens before it; -1 means all.
    """
    query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))
    if key.size(1) != query.size(1):  # grouped queries
        repeats = query.size(1) // key.size(1)
        key, value = (tensor.repeat_interleave(repeats, dim=1) for tensor in (key, value))
    left = window_size[0]
    if causal and left >= 0:
        rows = torch.arange(query.size(2), device=query.device)
        distance = rows[:, None] - rows[None, :]
        mask = (distance >= 0) & (distance <= left)
        out = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=softmax_scale)
    else:
        out = scaled_dot_product_attention(query, key, value, is_causal=causal, scale=softmax_scale)
    return out.transpose(1, 2)
