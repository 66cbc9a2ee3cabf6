"""Every attribute of what torch and numpy let a script have was read by somebody and sorted.

It may be read of anything (`KNOWN`), is no script's own (`TAKEN`), or is harmless and free: a
script that defines it itself may use it. What a new version adds is in none, and is named here.
"""

import importlib
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from agent.source.allowed import MODULES
from agent.source.attributes import KNOWN, TAKEN
from agent.source.operators import listed

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
# What is had without being named: of a call, an attribute, a hook.
HAD = (
    *(np.dtype, np.generic, np.ufunc, torch.Generator, torch.UntypedStorage, torch.TypedStorage),
    *(torch.autograd.function.FunctionCtx, torch.device, torch.dtype, torch.layout, torch.Size),
)
# Figures, texts and arithmetic: all that whoever takes such a name for an own one reaches too.
HARMLESS = listed(
    """
    _add_grad _adjust _anneal_func _apply _base _ceil_div _compute_batch_chunk_size _conj
    _conv_forward _cosine_anneal _count_flops _ff_block _flatten _found_inf_per_device _get_name
    _get_scale_async _grad _grad_fn _handle_no_batch_input _indices _init _init_group
    _init_is_better _init_scale_fn _initial_step _is_better _is_initial _is_view _linear_anneal
    _max_vals _mha_block _min_vals _neg_view _nnz _numel _reduce_lr _reset _reset_parameters
    _sa_block _set_param _unflatten _update_lr _values _version alignment base byteorder
    check_input default_capture_stream descr event_id f fields filename flags identity iexp
    initialize_parameters is_hpu kind machep materialize metadata names nargs negep new nexp nin
    nout ntypes num replicate resolve_dtypes scale_fn signature str stream_id to_save types
    volatile
    """
)


def kinds() -> Iterator[type]:
    """Yield the classes that the allow-list names, and those that values of them hand out."""
    for path, names in MODULES.items():
        if path.split(".")[0] in {"torch", "numpy"}:
            module = importlib.import_module(path)
            yield from (
                value for name in names if isinstance(value := getattr(module, name, None), type)
            )
    yield from HAD


def unsorted_names(of: Iterable[type]) -> dict[str, str]:
    """Return each attribute that is in no table, with a class that has it."""
    sorted_names = KNOWN | TAKEN | HARMLESS
    return {
        name: kind.__name__
        for kind in of
        for name in dir(kind)
        if not name.startswith("__") and name not in sorted_names
    }


def test_every_attribute_within_reach_was_sorted() -> None:
    pinned = dict(
        line.split(";")[0].strip().split("==")
        for line in CONSTRAINTS.read_text().splitlines()
        if line.startswith(("torch==", "numpy=="))
    )
    for package, wanted in pinned.items():
        if version(package).split("+")[0] != wanted:
            pytest.skip(f"the tables are about {package} {wanted}, not {version(package)}")
    assert unsorted_names(kinds()) == {}


def test_a_new_method_would_be_found() -> None:
    class Newer(torch.Tensor):
        def load_from_address(self) -> None: ...

    assert unsorted_names([Newer]) == {"load_from_address": "Newer"}


def test_no_name_is_in_two_tables() -> None:
    assert frozenset() == KNOWN & TAKEN == KNOWN & HARMLESS == TAKEN & HARMLESS
