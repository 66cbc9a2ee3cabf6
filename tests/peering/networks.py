"""Network processes over loopback, and how they look from outside."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from pathlib import Path
from typing import TypeVar

from node.home.addresses import PeerId
from node.network.contract import NetworkSettings
from node.peering.carrier import Connected, Disconnected, Event, GossipMessage
from node.peering.network_process import NetworkProcess
from protocol.framing import Message
from protocol.topics import news_topic
from tests.protocol.examples import MANIFEST

TOPIC = news_topic("main", MANIFEST.id)
ECHO = "/arnode/echo/1"
PATIENCE_S = 90.0

Happening = TypeVar("Happening", Connected, Disconnected, GossipMessage)


def settings(**changes: object) -> NetworkSettings:
    plain: dict[str, object] = {
        "transport_seed": secrets.token_bytes(32),
        "listen": ("/ip4/127.0.0.1/tcp/0",),
        "topics": (TOPIC,),
    }
    return NetworkSettings(**(plain | changes))


@contextlib.asynccontextmanager
async def network(
    *, hidden: tuple[Path, ...] = (), **changes: object
) -> AsyncIterator[NetworkProcess]:
    """Yield a running network that answers each request with the request and its sender."""
    async with NetworkProcess(settings(**changes), hidden=hidden) as process:
        process.serve(ECHO, echo)
        await process.wait_up()
        yield process


async def echo(peer: PeerId, question: Message) -> Message:
    return [peer, question]


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run a test on asyncio, with a time limit."""
    asyncio.run(in_time(test))


async def in_time(test: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run a test, with a time limit."""
    async with asyncio.timeout(PATIENCE_S):
        await test()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that has no event."""
    while not condition():  # noqa: ASYNC110 (of other processes there is no event)
        await asyncio.sleep(0.02)


async def until_event(events: AsyncIterator[Event], kind: type[Happening]) -> Happening:
    """Return the next event of a kind."""
    async for event in events:
        if isinstance(event, kind):
            return event
    raise AssertionError("events ended")


def programs(ancestor: int) -> list[int]:
    """Return the process ids of network programs below a process, without their sandboxes."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            argv = (folder / "cmdline").read_bytes().split(b"\0")
            is_program = b"python" in argv[0] and any(
                b"node.network.program" in one for one in argv
            )
            if is_program and ancestor in ancestors(int(folder.name)):
                found.append(int(folder.name))
    return sorted(found)


def ancestors(pid: int) -> Iterator[int]:
    """Yield a process's parents, nearest first."""
    while pid > 1:
        stat = Path(f"/proc/{pid}/stat").read_text()
        pid = int(stat.rpartition(")")[2].split()[1])
        yield pid


def is_alive(pid: int) -> bool:
    """Return True if a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def own_program(*, besides: Collection[int] = ()) -> int:
    """Return the process id of this test's only network program."""
    (pid,) = set(programs(os.getpid())) - {*besides}
    return pid
