"""Classic BPF programs for seccomp, built as lists of instructions.

At the start of each rule the accumulator contains the system call's number. A rule that loads
another value reloads the number at its end. Source: seccomp(2), linux/filter.h, linux/seccomp.h.
"""

import struct
from collections.abc import Sequence
from typing import Final

from protocol.errors import SafetyError

LOAD_WORD: Final = 0x20
AND: Final = 0x54
JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT = 0x15, 0x35, 0x45
RETURN: Final = 0x06

# Offsets in struct seccomp_data: the number, the architecture, the arguments' lower words.
NUMBER, ARCHITECTURE = 0, 4
ARGUMENTS = (16, 24, 32, 40, 48, 56)
EVERY_BIT: Final = 0xFFFFFFFF
_UPPER_WORD = 4  # offset from the lower one: both architectures are little-endian

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
EPERM: Final = 0x00050001
ENOENT: Final = 0x00050000 | 2
ENOSYS: Final = 0x00050000 | 38
DONE: Final = 0x00050000  # nothing happens, but the call reports success
ASK: Final = 0x7FC00000  # ask the process that has the listener

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000


def statement(code: int, value: int) -> bytes:
    """Return an instruction that does not jump."""
    return struct.pack("HBBI", code, 0, 0, value)


def jump(code: int, value: int, if_true: int, if_false: int) -> bytes:
    """Return a test that skips `if_true` instructions if it is true, else `if_false`."""
    return struct.pack("HBBI", code, if_true, if_false, value)


def opening(machine: str) -> list[bytes]:
    """Return the first instructions: kill calls of another architecture or ABI, load the number.

    Raises SafetyError on an architecture without a table.
    """
    if machine not in _AUDIT_ARCH:
        raise SafetyError(
            f"no system-call table for the {machine} architecture",
            "arnode sandboxes run on x86-64 and aarch64 Linux",
        )
    return [
        statement(LOAD_WORD, ARCHITECTURE),
        jump(JUMP_EQUAL, _AUDIT_ARCH[machine], 1, 0),
        statement(RETURN, KILL),
        statement(LOAD_WORD, NUMBER),
        jump(JUMP_AT_LEAST, _X32_BIT, 0, 1),
        statement(RETURN, KILL),
    ]


def answer(number: int, value: int) -> list[bytes]:
    """Return instructions that return `value` for every call with this number."""
    return [jump(JUMP_EQUAL, number, 0, 1), statement(RETURN, value)]


def check_argument(
    number: int,
    argument: int,
    value: int,
    *,
    test: int = JUMP_EQUAL,
    refuse_if: bool = True,
    refusal: int = EPERM,
) -> list[bytes]:
    """Return instructions that refuse a call whose argument passes (or fails) a test.

    Arguments count from 0.
    """
    on_true, on_false = (0, 1) if refuse_if else (1, 0)
    return [
        jump(JUMP_EQUAL, number, 0, 4),
        statement(LOAD_WORD, ARGUMENTS[argument]),
        jump(test, value, on_true, on_false),
        statement(RETURN, refusal),
        statement(LOAD_WORD, NUMBER),
    ]


def allow_only(
    number: int,
    argument: int,
    ways: Sequence[int | tuple[int, int]],
    *,
    refusal: int = EPERM,
) -> list[bytes]:
    """Return instructions that refuse a call unless its argument has an allowed value.

    `ways` lists values, and pairs (mask, value) that allow every argument with
    `argument & mask == value`. Use it only for arguments of which the kernel reads 32 bits.
    """
    pairs = [way if isinstance(way, tuple) else (EVERY_BIT, way) for way in ways]
    body = []
    for left, (mask, value) in zip(range(len(pairs) - 1, -1, -1), pairs, strict=True):
        body += [
            statement(LOAD_WORD, ARGUMENTS[argument]),
            statement(AND, mask),
            jump(JUMP_EQUAL, value, 3 * left + 1, 0),
        ]
    return [
        jump(JUMP_EQUAL, number, 0, len(body) + 2),
        *body,
        statement(RETURN, refusal),
        statement(LOAD_WORD, NUMBER),
    ]


def allow_null(number: int, argument: int) -> list[bytes]:
    """Return instructions that refuse a call unless its argument, a pointer, is null."""
    lower = ARGUMENTS[argument]
    return [
        jump(JUMP_EQUAL, number, 0, 6),
        statement(LOAD_WORD, lower),
        jump(JUMP_EQUAL, 0, 0, 2),
        statement(LOAD_WORD, lower + _UPPER_WORD),
        jump(JUMP_EQUAL, 0, 1, 0),
        statement(RETURN, EPERM),
        statement(LOAD_WORD, NUMBER),
    ]
