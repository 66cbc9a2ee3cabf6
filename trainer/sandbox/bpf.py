"""Classic BPF as seccomp reads it: a program is a list of instructions, put together here.

Between two rules of a program the accumulator holds the system call's number; a rule that loads
something else loads the number again. Source: seccomp(2), linux/filter.h, linux/seccomp.h.
"""

import struct
from typing import Final

from protocol.errors import SafetyError

LOAD_WORD: Final = 0x20
AND: Final = 0x54
JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT = 0x15, 0x35, 0x45
RETURN: Final = 0x06

# Where struct seccomp_data has the number, the architecture and the arguments' lower words.
NUMBER, ARCHITECTURE = 0, 4
ARGUMENTS = (16, 24, 32, 40)

ALLOW: Final = 0x7FFF0000
KILL: Final = 0x80000000
EPERM: Final = 0x00050001
ENOSYS: Final = 0x00050000 | 38
DONE: Final = 0x00050000  # nothing happens and the caller is told that it did
ASK: Final = 0x7FC00000  # whoever holds the listener

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000


def statement(code: int, value: int) -> bytes:
    """Return an instruction that does not jump."""
    return struct.pack("HBBI", code, 0, 0, value)


def jump(code: int, value: int, if_true: int, if_false: int) -> bytes:
    """Return an instruction that skips as many as it is told, whether its test holds or not."""
    return struct.pack("HBBI", code, if_true, if_false, value)


def opening(machine: str) -> list[bytes]:
    """Return the first instructions: kill who calls by another convention, load the number.

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
    """Answer every call of a number."""
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
    """Refuse a call whose argument, counted from 0, passes (or fails) a test."""
    on_true, on_false = (0, 1) if refuse_if else (1, 0)
    return [
        jump(JUMP_EQUAL, number, 0, 4),
        statement(LOAD_WORD, ARGUMENTS[argument]),
        jump(test, value, on_true, on_false),
        statement(RETURN, refusal),
        statement(LOAD_WORD, NUMBER),
    ]


def allow_only(
    number: int, argument: int, values: tuple[int, ...], *, mask: int | None = None
) -> list[bytes]:
    """Refuse a call whose argument, or what a mask leaves of it, is none of some values."""
    masked = [] if mask is None else [statement(AND, mask)]
    among = [jump(JUMP_EQUAL, value, len(values) - at, 0) for at, value in enumerate(values)]
    return [
        jump(JUMP_EQUAL, number, 0, len(masked) + len(among) + 3),
        statement(LOAD_WORD, ARGUMENTS[argument]),
        *masked,
        *among,
        statement(RETURN, EPERM),
        statement(LOAD_WORD, NUMBER),
    ]
