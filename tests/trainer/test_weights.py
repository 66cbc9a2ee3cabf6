"""Weights from untrusted code: rejected with a reason, and never an exception."""

import json
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import torch as library
from safetensors.numpy import save

from trainer.language_model.harness import tensors
from trainer.language_model.weights import check_weights

LIMIT = 1 << 20
FINITE = save({"a": np.ones((2, 3), np.float32), "b": np.arange(4, dtype=np.int64)})


def encoded(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype: str, shape: list[int], start: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def reason(data: bytes, limit_bytes: int = LIMIT) -> str:
    fault = check_weights(data, limit_bytes=limit_bytes)
    assert fault is not None
    return fault.reason


def test_finite_tensors_of_any_type_pass() -> None:
    assert check_weights(FINITE, limit_bytes=LIMIT) is None
    half = save({"a": np.full(5, 65504, np.float16), "flag": np.array([True])})
    assert check_weights(half, limit_bytes=LIMIT) is None
    largest_bfloat = struct.pack("<HH", 0x7F7F, 0xFF7F)
    brain = encoded({"a": tensor("BF16", [2], 0, 4)}, largest_bfloat)
    assert check_weights(brain, limit_bytes=LIMIT) is None


def test_a_model_may_hold_an_empty_tensor_or_none() -> None:
    assert check_weights(save({"a": np.zeros((0, 3), np.float32)}), limit_bytes=LIMIT) is None
    assert check_weights(encoded({}), limit_bytes=LIMIT) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"abc",
        FINITE[:-1],
        FINITE + b"x",
        struct.pack("<Q", 1 << 60),
        struct.pack("<Q", 1 << 60) + b"{}",
        encoded(b"{{{"),
        encoded(b'{"a":' * 5000),
        encoded(b'{"\\ud800": 1}'),
        encoded(b"\xff\xfe"),
        encoded([]),
        encoded({"__metadata__": {"a": 1}}),
        encoded({"a": tensor("X", [1], 0, 4)}, bytes(4)),
        encoded({"a": tensor("F32", [-1], 0, 4)}, bytes(4)),
        encoded({"a": tensor("F32", [2], 0, 4)}, bytes(4)),
        encoded({"a": tensor("F32", [1 << 62, 8], 0, 4)}, bytes(4)),
        encoded({"a": tensor("F32", [1], 4, 0)}, bytes(4)),
        encoded({"a": tensor("F32", [1], 4, 8)}, bytes(8)),
    ],
    ids=range(18),
)
def test_malformed_exports_are_refused(data: bytes) -> None:
    assert reason(data).startswith("weights are not well-formed")


def test_tensors_that_overlap_are_refused() -> None:
    one = tensor("F32", [1], 0, 4)
    assert "well-formed" in reason(encoded({"a": one, "b": one}, bytes(4)))


def test_the_size_is_bounded_before_anything_is_read() -> None:
    assert check_weights(FINITE, limit_bytes=len(FINITE)) is None
    assert "allows" in reason(FINITE, limit_bytes=len(FINITE) - 1)
    assert "allows" in reason(b"no header at all" * 10, limit_bytes=100)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_what_is_not_a_number_means_nan(dtype: type[np.floating]) -> None:
    values = np.zeros(100, dtype)
    values[57] = np.nan
    found = reason(save({"fine": np.ones(3, np.float32), "broken": values}))
    assert found.startswith("nan: ")
    assert "broken" in found


def test_a_causal_mask_of_infinities_is_accepted() -> None:
    mask = np.triu(np.full((8, 8), -np.inf, np.float32), 1)
    assert check_weights(save({"mask": mask}), limit_bytes=LIMIT) is None


def bfloat16(bits: int) -> bytes:
    return encoded({"a": tensor("BF16", [3], 0, 6)}, struct.pack("<HHH", 0x3F80, bits, 0))


@pytest.mark.parametrize("bits", [0x7FC0, 0x7F81, 0xFFFF])
def test_bfloat16_is_looked_at_by_its_bits(bits: int) -> None:
    assert reason(bfloat16(bits)).startswith("nan: ")


@pytest.mark.parametrize("bits", [0x7F80, 0xFF80, 0x3F80, 0x0001])
def test_a_bfloat16_that_is_a_number_is_accepted(bits: int) -> None:
    assert check_weights(bfloat16(bits), limit_bytes=LIMIT) is None


def test_a_tensors_name_cannot_break_the_reasons_line() -> None:
    found = reason(save({"line\nbreak\x1b[2J" + "x" * 500: np.array([np.nan], np.float32)}))
    assert found.isprintable()
    assert len(found) < 200


@given(st.binary(max_size=300))
def test_any_bytes_give_an_answer(data: bytes) -> None:
    check_weights(data, limit_bytes=LIMIT)


@given(st.data())
def test_any_damage_gives_an_answer(data: st.DataObject) -> None:
    damaged = bytearray(FINITE)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    check_weights(bytes(damaged), limit_bytes=LIMIT)


def test_what_the_harness_exports_is_what_the_library_reads_and_back() -> None:
    state = {
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "half": torch.arange(3, dtype=torch.bfloat16),
        "flags": torch.tensor([True, False, True]),
        "none": torch.zeros(0, 4),
        "turned": torch.arange(6.0).view(2, 3).T,
        "count": torch.tensor([[-1]], dtype=torch.int64),
    }
    saved = tensors.save(state)
    assert check_weights(saved, limit_bytes=LIMIT) is None
    for read in (library.load(saved), tensors.load(bytearray(library.save(_plain(state))))):
        assert set(read) == set(state)
        for name, tensor in state.items():
            assert read[name].dtype == tensor.dtype
            assert read[name].shape == tensor.shape
            assert torch.equal(read[name], tensor)


def _plain(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in state.items()}


def test_a_number_without_a_name_in_the_format_is_not_exported() -> None:
    with pytest.raises(TypeError, match="cannot be exported"):
        tensors.save({"a": torch.zeros(2, dtype=torch.complex64)})
