"""The worker: a separate process that asks a model. Its standard input is a socket to the core.

The first frame on that socket contains all settings and the key, so none of them appears in
arguments or environment. The process ends when the socket closes. It cannot see the node's home, no
other process of the user can read its memory, and it writes no file.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import socket
import sys
from dataclasses import dataclass, field
from typing import Final

from agent.worker.exchange import without_key
from agent.worker.messages import FRAMING, Cancel, Down, FromWorker, ModelSettings, WorkerRequest
from agent.worker.model import LiteLlm
from protocol.framing import ChannelError

# litellm takes 200 MB; the rest is for bodies of 8 MiB as Python objects.
MEMORY_BYTES: Final = 3 << 30
MAX_OPEN: Final = 32  # concurrent questions
_SET_DUMPABLE: Final = 4  # prctl(2)


def main() -> None:
    """Serve the core on standard input until the core closes it."""
    logging.disable()  # litellm and its dependencies would log prompts and answers
    keep_to_oneself()
    asyncio.run(serve(socket.socket(fileno=sys.stdin.fileno())))
    # Threads of litellm may hang; their results are not needed.
    os._exit(0)


def keep_to_oneself() -> None:
    """Hide this process's memory from others, forbid it to write files, and limit its memory."""
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "this process cannot be made undumpable")
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_DATA, MEMORY_BYTES),
    ):
        resource.setrlimit(limit, (most, most))


async def serve(core: socket.socket) -> None:
    """Answer questions until the other end of the socket closes."""
    reader, writer = await asyncio.open_unix_connection(sock=core)
    try:
        match await FRAMING.receive(reader.readexactly):
            case ModelSettings() as settings if model := await _opened(settings, writer):
                await Answering(model, reader, writer).run()
    except (ChannelError, OSError):
        return  # the core has closed the channel
    finally:
        writer.transport.abort()


async def _opened(settings: ModelSettings, writer: asyncio.StreamWriter) -> LiteLlm | None:
    """Return the model after sending its facts, or None after sending the reason."""
    try:
        model = LiteLlm(settings)
        facts = model.facts()
    except ImportError as fault:
        is_missing = fault.name == "litellm"
        detail = without_key(str(fault), key=settings.api_key)
        await _send(writer, Down(reason="not_installed" if is_missing else "fault", detail=detail))
        return None
    except Exception as fault:  # noqa: BLE001 (a supervisor: the core restarts the worker)
        detail = without_key(f"{type(fault).__name__}: {fault}", key=settings.api_key)
        await _send(writer, Down(reason="fault", detail=detail))
        return None
    await _send(writer, facts)
    return model


async def _send(writer: asyncio.StreamWriter, message: FromWorker) -> None:
    writer.write(FRAMING.frame(message))
    await writer.drain()


@dataclass(slots=True)
class Answering:
    """The open questions, one asyncio task each."""

    model: LiteLlm
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _open: dict[int, asyncio.Task[None]] = field(default_factory=dict, init=False)

    async def run(self) -> None:
        """Accept questions until the channel ends.

        Raises:
            ChannelError: the channel ended, or an unexpected frame arrived.
        """
        while True:
            match await FRAMING.receive(self.reader.readexactly):
                case WorkerRequest() as ask if (
                    ask.id not in self._open and len(self._open) < MAX_OPEN
                ):
                    self._open[ask.id] = asyncio.create_task(self._answer(ask))
                case Cancel(id=number):
                    if answering := self._open.get(number):
                        answering.cancel()
                case unexpected:
                    raise ChannelError(f"an unexpected frame: {unexpected.kind}")

    async def _answer(self, ask: WorkerRequest) -> None:
        try:
            answer = await self.model.ask(ask)
            with contextlib.suppress(OSError):  # the core has gone
                await _send(self.writer, answer)
        finally:
            del self._open[ask.id]
