"""The base exception of arnode, and `Rejected`, the value for untrusted input that is invalid.

    ArnodeError                  exit 1   something failed here
    ├── UsageError               exit 2   an invalid flag or argument
    ├── NotRunningError          exit 3   the command needs a running node
    ├── ConfigurationError       exit 6   fix config, home or machine first
    └── SafetyError              exit 7   refused before anything ran: no sandbox, untrusted path

Each carries one line that says what is wrong and one that says how to fix it. Invalid input from a
peer or a candidate never raises an exception. It returns a `Rejected`, a value with a reason.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Final

_MAX_DESCRIPTION: Final = 160  # characters


class ArnodeError(Exception):
    """Base of every error that a user may see.

    `message` says what is wrong, `hint` how to fix it. `printed` is the end of a failed program's
    output; it is untrusted.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "", *, printed: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.printed = printed


class UsageError(ArnodeError):
    """An invalid flag or argument."""

    exit_code = 2


class NotRunningError(ArnodeError):
    """A command that needs a running node, while no node answers."""

    exit_code = 3


class ConfigurationError(ArnodeError):
    """A fault in the configuration, the home folder or the machine that must be fixed first."""

    exit_code = 6


class SafetyError(ArnodeError):
    """A refusal for safety, before anything ran."""

    exit_code = 7


@dataclass(frozen=True, slots=True)
class Rejected:
    """Untrusted input that was not accepted, and the reason."""

    reason: str


def describe_fault(fault: BaseException | str) -> str:
    """Return a fault as one line of at most 160 printable ASCII characters; it may be untrusted."""
    if isinstance(fault, BaseException):
        fault = first_fault(fault)
    text = fault if isinstance(fault, str) else f"{type(fault).__name__}: {fault}"
    return re.sub(r"[^\x20-\x7e]+", " ", text)[:_MAX_DESCRIPTION]


def first_fault(fault: BaseException) -> BaseException:
    """Return the first exception in a (nested) group; return any other exception as it is."""
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault
