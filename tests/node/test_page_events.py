"""Events: changes reach every listener, and one that reconnects gets what it missed."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession

from node.home.home import Home
from node.reporting.now import DeviceDocument, RunningDocument
from node.store.store import Store
from node.web import events as module
from node.web import watching
from node.web.events import Events, Kind
from node.web.reading import Library
from tests.node.line_writers import keep, line_writer_of, with_baseline
from tests.node.page import Visitor, visiting


class Frames:
    """The events of a stream, as they come."""

    def __init__(self, visitor: Visitor, last: str | None = None) -> None:
        self._visitor = visitor
        self._last = last

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Frames"]:
        headers = {"Authorization": f"Bearer {self._visitor.token}"}
        if self._last is not None:
            headers["Last-Event-ID"] = self._last
        url = self._visitor.served.url + "api/v1/events"
        async with ClientSession() as http, http.get(url, headers=headers) as response:
            assert response.status == 200
            assert response.content_type == "text/event-stream"
            self._content = response.content
            yield self

    async def next(self, kind: Kind) -> tuple[str, Any]:
        """Return the id and the data of the next event of a kind."""
        while True:
            frame = (await self._content.readuntil(b"\n\n")).decode()
            lines = dict(line.split(": ", 1) for line in frame.strip().splitlines())
            if lines.get("event") == kind:
                return lines["id"], msgspec.json.decode(lines["data"])


def test_a_new_experiment_reaches_listeners(home: Home, store: Store) -> None:
    with_baseline(home, store)

    async def work() -> None:
        async with asyncio.timeout(20), visiting(home) as visitor:
            async with Frames(visitor).listening() as frames:
                await frames.next("now")  # the first look is over
                keep(line_writer_of(home, store), "0.2")
                _, row = await frames.next("experiment")
                assert row["decision"] == "kept"
                last, record = await frames.next("record")
                assert record["own"] is True
            async with Frames(visitor, last).listening() as again:
                keep(line_writer_of(home, store), "0.3")
                number, row = await again.next("experiment")
                assert int(number.rpartition("-")[2]) > int(last.rpartition("-")[2])

    asyncio.run(work())


@pytest.mark.parametrize("last", ["nonsense", "0000-5", "-1", "a-b-c"])
def test_who_comes_back_with_an_id_of_another_life_is_informed_of_a_gap(
    home: Home, last: str
) -> None:
    async def work() -> None:
        async with (
            asyncio.timeout(20),
            visiting(home) as visitor,
            Frames(visitor, last).listening() as frames,
        ):
            await frames.next("gap")

    asyncio.run(work())


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 15, "٣", "-1", "", "\udcff"])
def test_an_id_of_this_life_with_an_odd_number_means_a_gap_or_nothing_new(number: str) -> None:
    async def work() -> None:
        events = Events(_nothing)
        events.publish("record", {"id": "1"})
        missed = b"".join(events._missed(f"{events._life}-{number}"))
        assert b"event: gap" in missed or missed == b""

    asyncio.run(work())


def test_who_reads_too_slowly_is_informed_of_a_gap_and_nobody_waits(home: Home) -> None:
    async def work() -> None:
        events = Events(_nothing)
        async with events.listening() as queue:
            for number in range(500):
                events.publish("record", {"id": str(number)})
            assert queue.qsize() <= 201
            assert queue.get_nowait() is None

    asyncio.run(work())


async def _nothing() -> list[tuple[Kind, Mapping[str, Any]]]:
    return []


def test_too_many_listeners_are_refused_and_go_without_a_trace(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_LISTENERS", 2)

    async def work() -> None:
        async with (
            asyncio.timeout(20),
            visiting(home) as visitor,
            Frames(visitor).listening() as first,
            Frames(visitor).listening(),
        ):
            await first.next("now")
            assert (await visitor.get("events")).status == 503

    asyncio.run(work())


@pytest.mark.parametrize("hundreds", [20, pytest.param(100, marks=pytest.mark.soak)])
def test_thousands_of_silent_connections_keep_nobody_out(home: Home, hundreds: int) -> None:
    async def work() -> None:
        async with asyncio.timeout(60), visiting(home) as visitor:
            port, held = visitor.served.port, list[asyncio.StreamWriter]()
            for _ in range(hundreds):
                opening = (asyncio.open_connection("127.0.0.1", port) for _ in range(100))
                opened = await asyncio.gather(*opening)
                held += [writer for _, writer in opened]
                for writer in held[:-300]:  # as many as a user may hold open
                    writer.close()
                del held[:-300]
            assert (await visitor.get("session")).status == 200
            for writer in held:
                writer.close()

    asyncio.run(work())


def test_what_never_stands_still_is_reported_with_the_rest_and_seldom_by_itself(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.records.last_number() < 1
    at_s = 0.0
    monkeypatch.setattr(watching.time, "monotonic", lambda: at_s)
    device: DeviceDocument = {
        "class": "cpu",
        "load": 0.5,
        "memory_bytes": 1,
        "memory_total_bytes": 2,
    }
    running: RunningDocument = {
        "title": "a step",
        "stage": "screen",
        "text": "trying it",
        "seconds": 1.0,
        "also_running": 0,
        "paused": False,
        "until": None,
        "runs": [],
        "next": [],
        "evidence": None,
        "messages": [],
        "device": device,
        "runs_done": 3,
        "runs_per_hour": 60.0,
        "counted_share": 0.9,
    }

    async def work() -> None:
        nonlocal at_s
        async with Library(home, "main") as library:
            watch = watching.ChangeWatch(library, lambda: {"now": {**running}})

            async def reports() -> bool:
                return "now" in [kind for kind, _ in await watch()]

            assert await reports()
            running["device"] = {**device, "memory_bytes": 2}
            running["seconds"] = 1.5
            assert not await reports()
            running["runs_done"] = 4
            assert await reports()
            at_s += 2.9
            assert not await reports()
            at_s += 0.2
            assert await reports()

    asyncio.run(work())


def test_a_server_that_closes_waits_for_nobody_who_listens(home: Home) -> None:
    async def work() -> None:
        async with asyncio.timeout(20):
            async with visiting(home) as visitor, Frames(visitor).listening() as frames:
                await frames.next("now")
                leaving = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - leaving < module.HEARTBEAT_S / 2

    asyncio.run(work())
