"""Compilation with Inductor and Triton for a card that does not exist; no kernel is launched.

ptxas compiles kernels to machine code, so kernels that exceed a card's shared memory or registers
are rejected as on the card. The code that calls them then runs on fakes: it allocates and frees
memory as usual, and a launch does nothing. This uses private names of torch 2.13 and triton 3.7.
"""

import os
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import torch
import triton
from torch._subclasses import fake_impls
from torch._subclasses.fake_tensor import FakeTensorMode
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.driver import CudaDriver

_WARP: Final = 32
_MOST_THREADS: Final = 1024


@dataclass
class Kernels:
    """The number of compiled kernel configurations, and the most shared memory of one."""

    count: int = 0
    shared_bytes: int = 0


class _Driver(CudaDriver):  # type: ignore[misc]
    """A driver that reports the fake card to Triton; Inductor looks for its class."""

    def __init__(self, kernels: Kernels) -> None:
        def load_binary(name: str, binary: bytes, shared: int, device: int) -> tuple[int, ...]:
            kernels.count += 1
            kernels.shared_bytes = max(kernels.shared_bytes, shared)
            return 1, 1, 0, 0, _MOST_THREADS  # module, function, registers, spills, threads

        shared = int(os.environ["FAKE_GPU_SHARED"])
        self.utils = SimpleNamespace(
            get_device_properties=lambda _device: {"max_shared_mem": shared},
            load_binary=load_binary,
            unload_module=lambda _module: None,
        )
        self.launcher_cls = lambda _source, _metadata: lambda *_: None
        self.get_device_capability = torch.cuda.get_device_capability
        self.get_current_stream = lambda _device: 0
        self.get_current_device = lambda: 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", int(os.environ["FAKE_GPU_SM"]), _WARP)


def compile_for_nothing() -> Kernels:
    """Record all kernels compiled from now on, without ever launching them."""
    from torch._inductor import config
    from torch._inductor.fx_passes import joint_graph, post_grad
    from torch._inductor.runtime import triton_heuristics

    kernels = Kernels()
    triton.runtime.driver.set_active(_Driver(kernels))
    config.compile_threads = 1  # other processes would look for the card themselves
    config.use_static_cuda_launcher = False  # it loads compiled kernels
    config.joint_graph_constant_folding = False  # it computes constants on the card
    config.shape_padding = False  # it times the padding on the card
    for passes in (joint_graph, post_grad):
        _look_for_patterns_on_cpu(passes)
    heuristics: Any = triton_heuristics.CachingAutotuner
    heuristics.run = lambda *_args, **_options: None
    _allocate_fakes()
    return kernels


def _look_for_patterns_on_cpu(passes: Any) -> None:
    """Trace patterns of operations on the CPU; they use tensors of their own."""
    init = passes.lazy_init
    passes.lazy_init = lambda *_: init(torch.device("cpu"))


def _allocate_fakes() -> None:
    """Replace the functions that compiled code calls by their C++ names."""
    guards: Any = torch._C._dynamo.guards
    guards._empty_strided_cuda = lambda size, stride, dtype: torch.empty_strided(
        size, stride, dtype=dtype, device="cuda"
    )
    guards._reinterpret_tensor = lambda tensor, size, stride, offset=0: torch.as_strided(
        tensor, size, stride, tensor.storage_offset() + offset
    )
    torch._C._cuda_getCurrentRawStream = lambda device: 0
    # Kernels get values from tensors on the CPU.
    implementations: Any = fake_impls.op_implementations_dict
    implementations[torch.ops.aten._local_scalar_dense.default] = _some_number
    # Otherwise nothing is compiled while the mode is on.
    FakeTensorMode.ignore_compile_internals = classmethod(  # type: ignore[method-assign,assignment]
        lambda _cls: True
    )


def _some_number(_mode: object, _function: object, tensor: torch.Tensor) -> float | int | bool:
    if tensor.dtype is torch.bool:
        return False
    return 1.0 if tensor.dtype.is_floating_point else 1
