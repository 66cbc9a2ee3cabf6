"""A stub that replaces a program in its evaluator's sandbox, and calls it in another sandbox.

The evaluator's sandbox has no code of the program. Each import of the stub, in any process, opens
a connection to the broker (`trainer.program.harness.evaluator`) through two named pipes. The stub's
text names their folder, so a child process finds them even if it inherits no descriptors. For each
connection the program runs in a new sandbox, which ends with the connection. A reply is plain data
or an error message, decoded here within limits.
"""

import contextlib
import inspect
import itertools
import os
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from trainer.program.harness.codec import Undecodable
from trainer.program.harness.crossing import (
    CALL,
    CALLABLE,
    GET,
    LOAD,
    MISSING,
    RAISED,
    REFUSED,
    VALUE,
    NotPlain,
    packed,
    plain,
    unpacked,
)
from trainer.program.harness.tags import MESSAGE, REFUSAL

ASKED: Final = struct.Struct(">cI")  # before each request: its tag and size
SIZE: Final = struct.Struct(">I")  # before each reply
CONTROL: Final = "control"
REQUESTS, REPLIES = ".requests", ".replies"
_TEXT: Final = '''"""Stands for the program that is measured: its functions are called by value."""

import sys as _sys

_sys.path.extend(one for one in {paths!r} if one not in _sys.path)
from trainer.program.harness.stub import stand_in as _stand_in

_stand_in(globals(), {place!r})
'''
_KINDS: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.KEYWORD_ONLY,
    inspect.Parameter.VAR_KEYWORD,
)
_numbers = itertools.count()


class ProgramError(RuntimeError):
    """An exception that the program raised, as text, or an invalid reply."""


def stub_text(place: Path, paths: Sequence[str]) -> str:
    """Return the text of the stub's file. `paths` are the import paths of arnode's code."""
    return _TEXT.format(paths=list(paths), place=str(place))


def stand_in(namespace: dict[str, Any], place: str) -> None:
    """Fill the namespace of a module, or of executed text, with the program's names.

    Existing names are not replaced. Raises ProgramError if the program cannot be imported.
    """
    connection = _Connection(Path(place))
    if namespace.get("__name__") == "__main__":
        connection.refuse("the evaluator runs the program as a script, and a stub has no output")
    # The program's names are untrusted: they replace neither dunder names nor existing ones.
    names = {
        name: entry
        for name, entry in connection.ask(LOAD).items()
        if name.isidentifier() and not name.startswith("__") and name not in namespace
    }
    for name, (kind, parameters) in names.items():
        if kind == CALLABLE:
            namespace[name] = _function(connection, name, parameters)
    if namespace.get("__spec__") is None:  # attributes of executed text are never looked up
        for name, (kind, _) in names.items():
            if kind == VALUE:
                with contextlib.suppress(AttributeError):
                    namespace[name] = _attribute(connection, name)
    namespace["__getattr__"] = lambda name: _attribute(connection, name)
    namespace["__dir__"] = lambda: sorted({*names, *namespace})


def _attribute(connection: "_Connection", name: str) -> Any:
    """Return an attribute of the program. Raises AttributeError if it is missing."""
    if name.startswith("__"):
        raise AttributeError(f"module has no attribute {name!r}")
    kind, value = connection.exchange(GET, name)
    if kind == CALLABLE:
        return _function(connection, name, value)
    if kind == MISSING:
        raise AttributeError(value)
    if kind == REFUSED:
        connection.refuse(str(value))
    return _valued(kind, value)


def _function(connection: "_Connection", name: str, parameters: Any) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        return connection.ask(CALL, name, arguments, named)

    call.__name__ = call.__qualname__ = str(name)
    with contextlib.suppress(TypeError, ValueError, IndexError):
        call.__signature__ = inspect.Signature([  # type: ignore[attr-defined]
            inspect.Parameter(
                one,
                _KINDS[kind],
                default=None if may_lack else inspect.Parameter.empty,
            )
            for one, kind, may_lack in parameters
        ])  # fmt: skip
    return call


def _valued(kind: str, value: Any) -> Any:
    if kind == VALUE:
        return value
    raise ProgramError(str(value) if kind == RAISED else "the program sent an invalid reply")


class _Connection:
    """One load of the program. It is opened again in a fork, and after a failed exchange."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._owner = 0
        self._requests = self._replies = -1

    def ask(
        self, what: str, name: str = "", arguments: Sequence[Any] = (), named: Any = None
    ) -> Any:
        """Return the value of the program's reply. Raises ProgramError."""
        kind, value = self.exchange(what, name, arguments, named)
        if kind == REFUSED:
            self.refuse(str(value))
        return _valued(kind, value)

    def exchange(
        self, what: str, name: str = "", arguments: Sequence[Any] = (), named: Any = None
    ) -> tuple[str, Any]:
        """Return the kind of the program's reply, and the reply."""
        try:
            given = [plain(one, f"argument {at} of {name}()") for at, one in enumerate(arguments)]
            called = {
                key: plain(one, f"argument {key!r} of {name}()")
                for key, one in (named or {}).items()
            }
        except NotPlain as fault:
            self.refuse(str(fault))
        with self._lock:
            try:
                if self._owner != os.getpid():
                    self._open()
                    if what != LOAD:
                        self._said(packed((LOAD, "", [], {})))
                said = self._said(packed((what, name, given, called)))
            except BaseException:
                self._close()
                raise
        try:
            kind, value = unpacked(said)
        except (Undecodable, TypeError, ValueError) as fault:
            raise ProgramError(f"the program's reply cannot be read: {fault}") from fault
        return str(kind), value

    def refuse(self, why: str) -> NoReturn:
        """End the run, because a value is not plain data. Raises NotPlain."""
        with self._lock:
            if self._owner != os.getpid():
                self._open()
            self._send(REFUSAL, why.encode("utf-8", "replace"))
        raise NotPlain(why)

    def _open(self) -> None:
        self._forget()
        name = f"{os.getpid()}-{next(_numbers)}"
        requests, replies = (self._place / f"{name}{end}" for end in (REQUESTS, REPLIES))
        os.mkfifo(requests)
        os.mkfifo(replies)
        control = os.open(self._place / CONTROL, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(control, f"{name}\n".encode())
        finally:
            os.close(control)
        self._requests = os.open(requests, os.O_WRONLY | os.O_CLOEXEC)
        self._replies = os.open(replies, os.O_RDONLY | os.O_CLOEXEC)
        self._owner = os.getpid()

    def _said(self, request: bytes) -> bytes:
        """Send a request, and return the reply."""
        self._send(MESSAGE, request)
        (size,) = SIZE.unpack(self._read(SIZE.size))
        return self._read(size)

    def _send(self, tag: bytes, request: bytes) -> None:
        data = memoryview(ASKED.pack(tag, len(request)) + request)
        while data:
            data = data[os.write(self._requests, data) :]

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            chunk = os.read(self._replies, min(1 << 20, size - len(data)))
            if not chunk:
                raise ProgramError("the program has ended")
            data += chunk
        return bytes(data)

    def _close(self) -> None:
        self._forget()
        self._owner = 0

    def _forget(self) -> None:
        """Close the pipes. In a fork, the parent's stay open."""
        for descriptor in (self._requests, self._replies):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._requests = self._replies = -1

    def __del__(self) -> None:
        self._forget()
