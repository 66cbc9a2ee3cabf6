"""A home's page served as a node serves it, in a thread of the test."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from node.home.control_socket import Message
from node.home.home import Home
from node.reporting.experiment import experiment_found
from node.reporting.now import NowDocument
from node.reporting.peers import peers_document
from node.reporting.queries import Nothing
from node.reporting.status import status_document
from node.store.store import Store
from node.web.commands import DONE, Answer, TagExperiment
from node.web.listening import LOOPBACK, listening
from node.web.serving import Served, serving
from node.web.site import Site
from node.web.tokens import Credentials, Tokens
from tests.node.examples import HARDWARE_CLASS, KEY
from tests.web.page.full_store import HOSTILE

_WAIT_S = 60
PROPOSERS: tuple[dict[str, Message], ...] = (
    {
        "name": "search",
        "share": 0.55,
        "slots": 611,
        "gain_per_hour": 0.25,
        "device_hours": 4.5,
        "usd": 0.0,
        "waiting": None,
    },
    {
        "name": f"claude#{HOSTILE[1]}",
        "share": 0.45,
        "slots": 1,
        "gain_per_hour": None,
        "device_hours": 0.0,
        "usd": 1.25,
        "waiting": HOSTILE[0],
    },
)
PLANNER: dict[str, Message] = {
    "model": HOSTILE[1],
    "aim": f"Look at the schedule.\n{HOSTILE[0]}",
    "written": 1_700_000_000,
    "waiting": None,
}


class ServedHome:
    """The page of a home with a running node, whose commands are kept in `requests`."""

    def __init__(self, home: Home, port: int = 0) -> None:
        self.home = home
        self.port = port
        self.requests: list[tuple[str, dict[str, Message]]] = []
        self.now: NowDocument = {"now": at_work("LEARNING_RATE → 0.7")}
        self._served: Served | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="page")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(_WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._end is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_WAIT_S)

    @property
    def url(self) -> str:
        """Where it is, for a browser."""
        assert self._served is not None
        return self._served.listener.browser_url

    def link(self, *, steers: bool = True) -> str:
        """Return a link that opens it once."""
        assert self._served is not None
        return self._served.link("steer" if steers else "read")

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        site = Site(
            home=self.home,
            kind="node",
            net="main",
            credentials=Credentials(tokens=Tokens.drawn(), fleet_key="k" * 40),
            answers=self._answers(),
            now=lambda: self.now,
        )
        with listening(LOOPBACK, self.port) as listener:
            self.port = listener.port
            async with serving(site, listener) as self._served:
                self._ready.set()
                await self._end.wait()

    def _answers(self) -> Mapping[str, Answer]:
        def kept(name: str, answer: Any) -> Answer:
            async def handle(asked: Any) -> Any:
                self.requests.append((name, msgspec.structs.asdict(asked)))
                return answer

            return handle

        async def status(_: Nothing) -> Any:
            with Store.open_read_only(self.home) as store:
                document = status_document(store, author=KEY.public, net="main", sandbox="test")
                lines: Any = document["lines"]
                more: Any = {"proposers": [*PROPOSERS], "planner": PLANNER}
                return {**document, "lines": [{**one, **more} for one in lines]}

        async def peers(_: Nothing) -> Any:
            with Store.open_read_only(self.home) as store:
                return peers_document(store, None, lambda _: "unknown")

        paused = {"paused": True, "until": None, "runs_ended": 0, "seconds_lost": 0.0}

        async def tag(asked: TagExperiment) -> Any:
            with Store.open(self.home) as store:
                entry, _ = experiment_found(store, asked.id)
                return {"tags": [*store.tags.change(entry.id, add=asked.add, remove=asked.remove)]}

        return {
            "tag": tag,
            "status": status,
            "peers": peers,
            "pause": kept("pause", paused),
            "resume": kept("resume", DONE),
            "stop": kept("stop", DONE),
            "verify": kept("verify", {"job": 1}),
            "note": kept("note", {"ts": 1_700_000_000_000}),
        }


def at_work(title: str) -> Any:
    """Return what a node says that is at a run of this title."""
    return {
        "title": title,
        "stage": "screen",
        "text": "first run",
        "seconds": 12.0,
        "also_running": 1,
        "paused": False,
        "until": None,
        "runs": [
            {
                "title": title,
                "stage": "screen",
                "text": "first run",
                "seconds": 12.0,
                "curve": [(step, 2.4 + 3.1 / (1 + step / 9)) for step in range(5, 125, 5)],
            },
            {
                "title": HOSTILE[0],
                "stage": "screen",
                "text": "first run",
                "seconds": 3.0,
                "curve": [(step, 2.5 + 3.0 / (1 + step / 8)) for step in range(5, 45, 5)],
            },
        ],
        "next": [{"title": HOSTILE[2], "stage": "recheck", "text": "second run"}],
        "evidence": {"pairs": 3, "share": 0.4, "gain": 0.02, "lower": -0.01, "upper": 0.05},
        "messages": [HOSTILE[0], HOSTILE[1], "kept  1.4600  +2.5 sd"],
        "device": {
            "class": HARDWARE_CLASS,
            "load": 0.7,
            "memory_bytes": 3 << 30,
            "memory_total_bytes": 16 << 30,
        },
        "runs_done": 311,
        "runs_per_hour": 210.0,
        "counted_share": 0.8,
    }


def at_address(url: str) -> str:
    """Return a URL with the address in place of the name, which only browsers look up."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{LOOPBACK}:{parts.port}").geturl()
