"""The one exception root, and the value that stands for somebody else's bad input.

    ArnodeError                  exit 1   something failed here
    ├── UsageError               exit 2   a flag or argument that cannot be meant
    ├── NotRunningError          exit 3   the command needs a running node
    ├── ConfigurationError       exit 6   config, home or machine must be mended first
    └── SafetyError              exit 7   refused beforehand: no sandbox, foreign path

Each carries one line that says what is wrong and one that says how to mend it. A peer's or a
candidate's bad input is never an exception: it is a `Rejected`, a value with a reason.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Final

_MAX_DESCRIPTION: Final = 160  # characters


class ArnodeError(Exception):
    """Base of every error a user may see: `message` says what is wrong, `hint` how to mend it.

    `printed` is the end of what a failed program printed, which anybody may have written.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "", *, printed: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.printed = printed


class UsageError(ArnodeError):
    """A flag or argument that cannot be meant."""

    exit_code = 2


class NotRunningError(ArnodeError):
    """The command needs a running node and none answers."""

    exit_code = 3


class ConfigurationError(ArnodeError):
    """The configuration, the home folder or the machine must be mended first."""

    exit_code = 6


class SafetyError(ArnodeError):
    """Refused beforehand for safety; nothing ran."""

    exit_code = 7


@dataclass(frozen=True, slots=True)
class Rejected:
    """Somebody else's input that is not accepted, and why."""

    reason: str


def describe_fault(fault: BaseException | str) -> str:
    """Return one line of at most 160 printable ASCII characters; a peer may have written them."""
    if isinstance(fault, BaseException):
        fault = first_fault(fault)
    text = fault if isinstance(fault, str) else f"{type(fault).__name__}: {fault}"
    return re.sub(r"[^\x20-\x7e]+", " ", text)[:_MAX_DESCRIPTION]


def first_fault(fault: BaseException) -> BaseException:
    """Return the first exception of a group, however deep; any other is its own first."""
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault
