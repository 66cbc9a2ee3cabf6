"""The peak of the card memory that the tensors of a script hold."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_BLOCK_BYTES: Final = 512  # torch's allocator hands out whole blocks


class Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A counter of storages on the card, from the operation that returns them until they are freed.

    It excludes the allocator's own memory, gaps between its blocks, and memory that libraries
    allocate.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held_bytes = self.most_bytes = 0
        self._storages: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Return True: count the work of compiled code, not of its compilation."""
        return True

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation and count the storages that it returns."""
        result = func(*args, **(kwargs or {}))
        for one in tree_leaves(result):
            if isinstance(one, torch.Tensor) and one.device.type == "cuda":
                self._note(one.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = id(storage)
        known = self._storages.get(key)
        if known is not None and known() is storage:
            return
        size = -(-storage.nbytes() // _BLOCK_BYTES) * _BLOCK_BYTES

        def dropped(_: object) -> None:
            self._storages.pop(key, None)
            self.held_bytes -= size

        self._storages[key] = weakref.ref(storage, dropped)
        self.held_bytes += size
        self.most_bytes = max(self.most_bytes, self.held_bytes)
