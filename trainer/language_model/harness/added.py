"""A Triton kernel, in a file of its own so that it is imported only if Triton is installed."""

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]
def add_kernel(left, right, total, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: N803
    """Add two vectors whose length is a multiple of BLOCK."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(total + at, tl.load(left + at) + tl.load(right + at))
