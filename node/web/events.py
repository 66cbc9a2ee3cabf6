"""Changes as server-sent events, which a page can resume where it was.

Each has a number; the last thousand are kept. A client that reads too slowly, or returns after more
than that, receives a `gap` and reads everything again: the node never waits for one. Nothing is
looked at while nobody listens.
"""

import asyncio
import re
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import msgspec
from aiohttp import web

from node.web.problems import HttpFault

Kind: TypeAlias = Literal["now", "experiment", "record", "job", "notes", "gap", "status"]

HEARTBEAT_S: Final = 15.0
_LOOK_S: Final = 0.5
_KEPT: Final = 1_000
_MOST_LISTENERS: Final = 64
_MOST_WAITING: Final = 200  # of one listener, who is told of a gap beyond
_WRITE_S: Final = 10.0
_NUMBER: Final = re.compile("[0-9]{1,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that changed; `number` counts from 1 in the life of a server."""

    number: int
    kind: Kind
    data: bytes

    def frame(self, life: str) -> bytes:
        """Return what is sent of it. The data is one line, as JSON is."""
        return b"id: %b-%d\nevent: %b\ndata: %b\n\n" % (
            life.encode(),
            self.number,
            self.kind.encode(),
            self.data,
        )


# None: something was left out. "end": nothing more comes.
_Waiting: TypeAlias = Event | Literal["end"] | None
# Looks once, and returns what changed since it looked before.
Look: TypeAlias = Callable[[], Awaitable[list[tuple[Kind, Mapping[str, Any]]]]]


class Events:
    """Hands on what a look finds, while anybody listens."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._life = secrets.token_hex(4)
        self._kept: deque[Event] = deque(maxlen=_KEPT)
        self._number = 0
        self._listeners: set[asyncio.Queue[_Waiting]] = set()
        self._heard = asyncio.Event()

    async def run(self) -> None:
        """Look twice a second, while somebody listens, until cancelled."""
        while True:
            await self._heard.wait()
            for kind, document in await self._look():
                self.tell(kind, document)
            await asyncio.sleep(_LOOK_S)

    def tell(self, kind: Kind, document: Mapping[str, Any]) -> None:
        """Hand something on to everybody who listens, and keep it for those who come back."""
        self._number += 1
        event = Event(number=self._number, kind=kind, data=msgspec.json.encode(document))
        self._kept.append(event)
        for queue in self._listeners:
            if queue.qsize() >= _MOST_WAITING:
                _forget(queue)
                queue.put_nowait(None)
            queue.put_nowait(event)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Answer a request with events, from behind the last one that it has seen."""
        if len(self._listeners) >= _MOST_LISTENERS:
            raise HttpFault(503, "too many listen already", "close a page that is open elsewhere")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        )
        await response.prepare(request)
        async with self.listening() as queue:
            missed = self._missed(request.headers.get("Last-Event-ID"))
            try:
                await _send(response, b": listening\n\n" + b"".join(missed))
                while frame := await self._next(queue):
                    await _send(response, frame)
            except TimeoutError:
                _cut(request)  # what it has not read would keep the connection open
            except ConnectionError:
                pass
        return response

    def end(self) -> None:
        """End all streams, for which a server that closes would wait."""
        for queue in self._listeners:
            queue.put_nowait("end")

    async def _next(self, queue: "asyncio.Queue[_Waiting]") -> bytes:
        """Return the next frame, none at the end."""
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                event = await queue.get()
        except TimeoutError:
            return b": still here\n\n"
        if event == "end":
            return b""
        return self._gap() if event is None else event.frame(self._life)

    def _missed(self, last: str | None) -> list[bytes]:
        """Return the frames behind an id; one that is not known any more means a gap."""
        if last is None:
            return []
        life, _, number = last.rpartition("-")
        oldest = self._kept[0].number if self._kept else self._number + 1
        if life != self._life or not _NUMBER.fullmatch(number) or int(number) + 1 < oldest:
            return [self._gap()]
        return [one.frame(self._life) for one in self._kept if one.number > int(number)]

    def _gap(self) -> bytes:
        return Event(number=self._number, kind="gap", data=b"{}").frame(self._life)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["asyncio.Queue[_Waiting]"]:
        queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._listeners.add(queue)
        self._heard.set()
        try:
            yield queue
        finally:
            self._listeners.discard(queue)
            if not self._listeners:
                self._heard.clear()


def _forget(queue: "asyncio.Queue[_Waiting]") -> None:
    while not queue.empty():
        queue.get_nowait()


def _cut(request: web.Request) -> None:
    if isinstance(request.transport, asyncio.WriteTransport):
        request.transport.abort()


async def _send(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(_WRITE_S):
        await response.write(data)
