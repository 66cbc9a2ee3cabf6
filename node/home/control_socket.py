"""The control socket: commands send the running node one request over a 0600 unix socket.

Each request gets one reply. Messages are msgpack in the frames of `protocol.framing`, at most 1 MiB
each. The socket is in a 0700 folder, so only this user can connect; messages are checked
nevertheless. Errors are sent as message, hint and exit code, so that the command reports the same
error as the node.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final, Self, TypeAlias

from protocol.errors import (
    ArnodeError,
    ConfigurationError,
    NotRunningError,
    Rejected,
    SafetyError,
    UsageError,
)
from protocol.framing import LENGTH, ChannelError, Message, plain_framing

__all__ = ["ControlServer", "Handler", "Message", "call", "document", "is_running", "nonsense"]

Handler: TypeAlias = Callable[[Mapping[str, Message]], Awaitable[Message]]

FRAME_LIMIT_BYTES = 1 << 20
REQUEST_TIMEOUT_S = 10.0  # to send a request, not to answer it
_FRAMING: Final = plain_framing(FRAME_LIMIT_BYTES)
_ADDRESS_LIMIT_BYTES = 100  # sun_path holds 108, see unix(7)
_NOT_RUNNING_HINT = "`arnode start` runs one"
_RESTART_HINT = "restart it, so that it has this version: `arnode stop`, `arnode start`"
_ANY_VERSION: Final = "stop"  # the command that a node accepts from any version
_log = logging.getLogger(__name__)


async def _unknown_command(_: Mapping[str, Message]) -> Message:
    raise UsageError("the running node does not know this command", _RESTART_HINT)


@cache
def _version() -> str:
    """Return arnode's version. A node that was started before an upgrade reports an older one."""
    from importlib import metadata  # slow, and not every command needs it

    return metadata.version("arnode")


class ControlServer:
    """A server that answers commands; an asynchronous context manager.

    `otherwise` answers commands that are not in `handlers`.
    """

    def __init__(
        self,
        path: Path,
        handlers: Mapping[str, Handler],
        *,
        otherwise: Handler = _unknown_command,
    ) -> None:
        self._path = path
        self._handlers = handlers
        self._otherwise = otherwise
        self._server: asyncio.Server | None = None
        _version()  # cache it now, since an upgrade may replace the installed version

    async def __aenter__(self) -> Self:
        if is_running(self._path):
            raise ConfigurationError(
                f"another node answers on {self._path}",
                "stop it with `arnode stop`, or set ARNODE_HOME to another folder",
            )
        self._path.unlink(missing_ok=True)  # left by a node that was killed
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _address(self._path) as address:
                listener.bind(address)
            self._path.chmod(0o600)
        except BaseException:
            listener.close()
            raise
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(TimeoutError, ConnectionError, ChannelError):
                async with asyncio.timeout(REQUEST_TIMEOUT_S):
                    request = await _FRAMING.receive(reader.readexactly)
                writer.write(_frame(await self._answer(request)))
                async with asyncio.timeout(REQUEST_TIMEOUT_S):
                    await writer.drain()
        finally:
            writer.close()

    async def _answer(self, request: Message) -> Message:
        try:
            command, arguments = _checked_request(request)
            handler = self._handlers.get(command, self._otherwise)
            reply: Message = {"value": await handler(arguments)}
            _frame(reply)
        except ArnodeError as fault:
            return _fault(fault)
        except Exception:  # noqa: BLE001 (a supervisor: one bad command must not end the node)
            _log.exception("a command failed")
            return _fault(
                ArnodeError(
                    "the running node failed to execute the command", "see `arnode home logs`"
                )
            )
        return reply


def call(
    path: Path,
    command: str,
    arguments: Mapping[str, Message] | None = None,
    *,
    timeout_s: float = 30.0,
) -> Message:
    """Send one command to the running node and return its reply.

    Raises NotRunningError if no node runs, and the error that the node reports.
    """
    request = _frame(
        {"command": command, "arguments": dict(arguments or {}), "version": _version()}
    )
    with _connected(path, timeout_s) as connection:
        try:
            connection.sendall(request)
            reply = _received(connection)
        except TimeoutError as fault:
            raise ArnodeError(
                f"the node did not answer `{command}` within {timeout_s:g} s",
                "see `arnode home logs`; it may be busy for a moment",
            ) from fault
        except ConnectionError as fault:
            raise NotRunningError(
                "the node stopped before it answered", "see `arnode home logs`"
            ) from fault
    return _value_of(reply)


def document(reply: Message) -> dict[str, Message]:
    """Return a reply that is a document (a map). Raises ArnodeError if it is something else."""
    if not isinstance(reply, dict):
        raise nonsense()
    return reply


def nonsense() -> ArnodeError:
    """Return the error for a reply of an unexpected form."""
    return ArnodeError("the node's answer is invalid", "see `arnode home logs`")


def is_running(path: Path) -> bool:
    """Return True if a node answers on this socket."""
    try:
        with _connected(path, REQUEST_TIMEOUT_S):
            return True
    except NotRunningError:
        return False


@contextmanager
def _connected(path: Path, timeout_s: float) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            with _address(path) as address:
                connection.connect(address)
        except (FileNotFoundError, NotADirectoryError, ConnectionError) as fault:
            raise NotRunningError("no node is running on this home", _NOT_RUNNING_HINT) from fault
        except PermissionError as fault:
            raise ConfigurationError(
                f"{path} belongs to another user", "run as the user who started the node"
            ) from fault
        yield connection


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """Yield a path that is short enough for a socket address, however long the home's path is."""
    if len(os.fsencode(path)) <= _ADDRESS_LIMIT_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _frame(message: Message) -> bytes:
    try:
        return _FRAMING.frame(message)
    except ChannelError as fault:
        raise ArnodeError(
            "a message to or from the node is over 1 MiB", "request less at once"
        ) from fault


def _received(connection: socket.socket) -> Message | Rejected:
    """Return the one message that the node sends before it closes the connection."""
    with connection.makefile("rb") as stream:
        frame = stream.read(LENGTH.size + FRAME_LIMIT_BYTES)
    head, data = frame[: LENGTH.size], frame[LENGTH.size :]
    if len(head) < LENGTH.size or LENGTH.unpack(head) != (len(data),):
        raise ConnectionResetError
    return _FRAMING.decode(data)


def _checked_request(request: Message) -> tuple[str, Mapping[str, Message]]:
    match request:
        case {"command": str() as command, "arguments": dict() as arguments, **rest}:
            version = rest.get("version")
            if command != _ANY_VERSION and version != _version():
                raise UsageError(
                    f"the running node is arnode {_version()},"
                    f" this command is {version or 'older'}",
                    _RESTART_HINT,
                )
            return command, arguments
    raise UsageError("that is not a request to a node", "use the `arnode` command")


def _fault(fault: ArnodeError) -> Message:
    return {"message": fault.message, "hint": fault.hint, "exit_code": fault.exit_code}


def _value_of(reply: Message | Rejected) -> Message:
    match reply:
        case {"value": value}:
            return value
        case {"message": str() as message, "hint": str() as hint, "exit_code": int() as code}:
            kinds = (UsageError, NotRunningError, ConfigurationError, SafetyError)
            kind = next((kind for kind in kinds if kind.exit_code == code), ArnodeError)
            raise kind(message, hint)
    raise ArnodeError("the node's reply is invalid", "restart it: `arnode stop`, `arnode start`")
