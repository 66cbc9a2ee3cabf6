"""The line of a program's output that says why it failed.

Compilers, interpreters and test runners rarely print that line last: a summary, a version or a
warning follows. The output is untrusted. It is shown to people and proposers and decides nothing.
"""

import re
from collections.abc import Sequence
from typing import Final

_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
# A traceback's frames are indented; groups of exceptions have bars in front.
_TRACEBACK: Final = re.compile(r"[ |+-]*(Exception Group )?Traceback \(most recent call last\):")
_RAISED: Final = re.compile(r"[ |+-]*(?!File )[A-Za-z_][\w.]*(: .+)?")
_FRAME: Final = re.compile(r"[ |+-]*(  |\|  |File )")
# Errors that fit in one line. `error: 0.3` may be a figure that a program prints on purpose.
_ERRORS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"[^\s:][^:]*:\d+(:\d+)?:? (fatal )?error\b.*",  # gcc, clang, tsc
        r"(fatal )?[Ee]rror(\[\w+\])?: (?![-+.\d]).*",  # rustc, cargo, gfortran
        r"\S*\.go:\d+:\d+: .+",
        r"(\S*/)?(ld|rust-lld|ld\.\w+): (error: )?(?!warning|.*: in function ).+",
        r"\S.*: undefined reference to .+",
        r"make(\[\d+\])?: \*\*\* .+",
        r"(Uncaught )?([A-Za-z]+\.)*[A-Za-z]*(Error|Exception)( \[\w+\])?: .+",  # Node.js, Java
        r"thread '.*'.* panicked at .+",
        r"panic: .+",
        r"not ok \d+ - .+|✖ .+",  # `node --test`: TAP, and its readable form
        r".*: (line )?\d+: .*(command not found|not found|unbound variable)",
        r".*: (line )?\d+: .*([Nn]o such file or directory|[Pp]ermission denied|[Ss]yntax error.*)",
    )
)
_AFTER: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"Node\.js v\d.*",
        r".*\bRuntimeWarning: .*",
        r".*\btracemalloc\b.*",
        r"note: run with `RUST_BACKTRACE=.*",
        r"compilation terminated\.",
        r"collect2: .*",
        r"[\^~| ]+",
        r"\s+at .*",  # a frame of a JavaScript traceback
        r"For more information about this error, .*",
        r"[}\])]+",
    )
)


def cause_in(output: str) -> str | None:
    """Return the line of output that says why the program failed; None if the output is empty.

    This is the end of the last traceback, else the first error, else the last line except those
    that usually follow an error.
    """
    lines = [_COLOURS.sub("", line).rstrip() for line in output.splitlines()]
    lines = [line for line in lines if line.strip()]
    found = _raised(lines) or _first_error(lines) or _last(lines)
    return None if found is None else found.strip()


def _raised(lines: Sequence[str]) -> str | None:
    """Return the line in which the last traceback names its exception."""
    begins = [at for at, line in enumerate(lines) if _TRACEBACK.fullmatch(line)]
    after = lines[begins[-1] + 1 :] if begins else []
    return next(
        (line.lstrip(" |+-") for line in after if _RAISED.fullmatch(line) and not _is_frame(line)),
        None,
    )


def _is_frame(line: str) -> bool:
    return line.startswith(" ") and _FRAME.match(line) is not None and "|" not in line


def _first_error(lines: Sequence[str]) -> str | None:
    for at, line in enumerate(lines):
        if not any(pattern.fullmatch(line.strip()) for pattern in _ERRORS):
            continue
        is_where = "panicked at" in line and at + 1 < len(lines)  # the message is in the next line
        return f"{line} {lines[at + 1].strip()}" if is_where else line
    return None


def _last(lines: Sequence[str]) -> str | None:
    said = [line for line in lines if not any(one.fullmatch(line) for one in _AFTER)]
    return (said or lines or [""])[-1] or None
