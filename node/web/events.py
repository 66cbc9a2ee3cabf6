"""Server-sent events about changes, which a page can resume after a disconnect.

Each event has a number, and the last thousand are kept. A client that reads too slowly or misses
more than that receives a `gap` and reloads everything. The node never waits for a client. It looks
for changes only while a client is listening.
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

Kind: TypeAlias = Literal[
    "now", "experiment", "record", "job", "proposal", "notes", "gap", "status"
]

HEARTBEAT_S: Final = 15.0
_LOOK_S: Final = 0.5
_KEPT: Final = 1_000
_MOST_LISTENERS: Final = 64
_MOST_WAITING: Final = 200  # events queued for one listener; beyond that it gets a gap
_WRITE_S: Final = 10.0
_NUMBER: Final = re.compile("[0-9]{1,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A change. `number` counts from 1 at each start of the server."""

    number: int
    kind: Kind
    data: bytes

    def frame(self, life: str) -> bytes:
        """Return the event in the wire format. `life` identifies this start of the server."""
        return b"id: %b-%d\nevent: %b\ndata: %b\n\n" % (
            life.encode(),
            self.number,
            self.kind.encode(),
            self.data,
        )


# None: events were dropped. "end": the stream ends.
_Waiting: TypeAlias = Event | Literal["end"] | None
# Returns the changes since the previous call.
Look: TypeAlias = Callable[[], Awaitable[list[tuple[Kind, Mapping[str, Any]]]]]


class Events:
    """A distributor of changes to all listeners. `look` finds the changes."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._life = secrets.token_hex(4)
        self._kept: deque[Event] = deque(maxlen=_KEPT)
        self._number = 0
        self._listeners: set[asyncio.Queue[_Waiting]] = set()
        self._has_listeners = asyncio.Event()

    async def run(self) -> None:
        """Look for changes twice a second while there are listeners, until cancelled."""
        while True:
            await self._has_listeners.wait()
            for kind, document in await self._look():
                self.publish(kind, document)
            await asyncio.sleep(_LOOK_S)

    def publish(self, kind: Kind, document: Mapping[str, Any]) -> None:
        """Send an event to all listeners, and keep it for those that reconnect."""
        self._number += 1
        event = Event(number=self._number, kind=kind, data=msgspec.json.encode(document))
        self._kept.append(event)
        for queue in self._listeners:
            if queue.qsize() >= _MOST_WAITING:
                _forget(queue)
                queue.put_nowait(None)
            queue.put_nowait(event)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Answer a request with a stream of events after the last one that the client has seen.

        Raises HttpFault 503 if there are 64 listeners already.
        """
        if len(self._listeners) >= _MOST_LISTENERS:
            raise HttpFault(
                503, "too many pages are open already", "close a page that is open elsewhere"
            )
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
                _cut(request)  # unread data would keep the connection open
            except ConnectionError:
                pass
        return response

    def end(self) -> None:
        """End all streams, since a closing server would wait for them."""
        for queue in self._listeners:
            queue.put_nowait("end")

    async def _next(self, queue: "asyncio.Queue[_Waiting]") -> bytes:
        """Return the next frame, or empty bytes at the end."""
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                event = await queue.get()
        except TimeoutError:
            return b": still here\n\n"
        if event == "end":
            return b""
        return self._gap() if event is None else event.frame(self._life)

    def _missed(self, last: str | None) -> list[bytes]:
        """Return the frames after a `Last-Event-ID`, or a gap if that id is no longer known."""
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
        self._has_listeners.set()
        try:
            yield queue
        finally:
            self._listeners.discard(queue)
            if not self._listeners:
                self._has_listeners.clear()


def _forget(queue: "asyncio.Queue[_Waiting]") -> None:
    while not queue.empty():
        queue.get_nowait()


def _cut(request: web.Request) -> None:
    if isinstance(request.transport, asyncio.WriteTransport):
        request.transport.abort()


async def _send(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(_WRITE_S):
        await response.write(data)
