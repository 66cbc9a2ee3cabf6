"""An attack over many connections on a node with a network process and a store.

Meanwhile the node records results and answers its control socket, like a working node. An honest
peer sends it requests all the time, and must have all its records in the end.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from node.home.control_socket import ControlServer, call
from node.home.control_socket import Message as Answered
from node.home.home import Home
from node.network.errors import NetworkError
from node.peering.book import AddressBook
from node.peering.messages import PEERS, Known, write
from node.peering.network_process import NetworkProcess
from node.peering.record_reader import RecordReader
from node.peering.service import Peering
from node.processes.child import LINES_PER_MINUTE
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.records import Record
from tests.peering.members import ALL_TOPICS, KEYS, NOW_MS
from tests.peering.networks import own_program, programs, settings
from tests.protocol.examples import INSIGHT
from tools.soak.frames import counted_lines
from tools.soak.questions import RECORDS

_EVERY_S: Final = 0.1
_LEAST_SHARE: Final = 0.5  # of the records expected on an otherwise idle machine
_USER_WAITS_S: Final = 2.0
_ASKED_EVERY_S: Final = 0.5
_ANSWERED_WITHIN_S: Final = 10.0
_ARRIVES_WITHIN_S: Final = 60.0
_SETTLED_S: Final = 15.0  # half-open connections have ended by then
_GROWTH_MB: Final = 64
_UNANSWERED_SHARE: Final = 0.02


@dataclass(kw_only=True)
class Node:
    """A node's core and its network process."""

    home: Home
    process: NetworkProcess
    store: Store
    peering: Peering

    def take(self, records: list[Record]) -> None:
        """Import records into the store."""
        report = self.store.intake.ingest([record.wire for record in records], now_ms=NOW_MS)
        assert not report.rejected

    async def until_has(self, records: Iterable[Record]) -> None:
        """Wait until the store has these records."""
        async with asyncio.timeout(_ARRIVES_WITHIN_S):
            while not all(self.store.records.has(one.id) for one in records):  # noqa: ASYNC110 (the store has no event)
                await asyncio.sleep(_EVERY_S)


@asynccontextmanager
async def running_node(home: Home) -> AsyncIterator[Node]:
    """Run a node that listens on loopback for the length of a block."""
    reader = RecordReader()
    with Store.open(home) as store:
        process = NetworkProcess(settings(topics=frozenset(ALL_TOPICS)), hidden=[home.root])
        peering = Peering(
            process,
            store,
            Blobs(home.blobs),
            net="main",
            author=bytes(32),
            software="fuzzed 1",
            topics=ALL_TOPICS,
            book=AddressBook(clock=time.time, chance=random.Random(1)),
            reader=reader,
            now_ms=lambda: NOW_MS,
        )
        control = ControlServer(home.socket, {"status": _status})
        async with aclosing(reader), process, control, asyncio.TaskGroup() as group:
            running = group.create_task(peering.run())
            await process.wait_up()
            yield Node(home=home, process=process, store=store, peering=peering)
            running.cancel()


async def _status(_: object) -> Answered:
    return {"is": "at work"}


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The resources that the network process uses."""

    memory_mb: float
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> "Usage":
        """Return the usage of a process."""
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        return cls(
            memory_mb=round(int(status["VmRSS"].split()[0]) / 1024, 1),
            descriptors=len([*Path(f"/proc/{pid}/fd").iterdir()]),
            threads=int(status["Threads"]),
        )

    def is_much_like(self, other: "Usage") -> bool:
        """Return True if usage has not grown since `other`."""
        return (
            self.memory_mb <= other.memory_mb + _GROWTH_MB
            and self.descriptors <= other.descriptors
            and self.threads <= other.threads
        )


@dataclass(kw_only=True)
class Watched:
    """Measurements of the core during an attack.

    They are the event loop's delays, the waiting times of the user and of an honest peer, the
    number of that peer's unanswered requests, and the records made.
    """

    late_s: list[float] = field(default_factory=list)
    user_waited_s: list[float] = field(default_factory=list)
    honest_waited_s: list[float] = field(default_factory=list)
    unanswered: int = 0
    recorded: list[Record] = field(default_factory=list)

    @asynccontextmanager
    async def watching(self, honest: Node, victim: Node) -> AsyncIterator[None]:
        """Measure for the length of a block."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(work)
                for work in (self.record(victim), self.control(victim), self.ask(honest, victim))
            ]
            yield
            for task in tasks:
                task.cancel()

    async def record(self, victim: Node) -> None:
        """Make a record every now and then, until cancelled."""
        while True:
            due_s = time.monotonic() + _EVERY_S
            await asyncio.sleep(_EVERY_S)
            self.late_s.append(time.monotonic() - due_s)
            body = replace(INSIGHT, message=f"insight {len(self.recorded)}")
            with victim.store.transaction():
                self.recorded.append(victim.store.append_own(KEYS[2], body, ts_ms=NOW_MS))

    async def control(self, victim: Node) -> None:
        """Ask for the victim's status like its user, until cancelled."""
        while True:
            asked_s = time.monotonic()
            await asyncio.to_thread(call, victim.home.socket, "status")
            self.user_waited_s.append(time.monotonic() - asked_s)
            await asyncio.sleep(_ASKED_EVERY_S)

    async def ask(self, honest: Node, victim: Node) -> None:
        """Send the victim a request every now and then, until cancelled."""
        assert victim.process.peer_id is not None
        while True:
            asked_s = time.monotonic()
            try:
                await honest.process.ask(
                    victim.process.peer_id,
                    PEERS,
                    write(Known(known=1)),
                    timeout_s=_ANSWERED_WITHIN_S,
                )
                self.honest_waited_s.append(time.monotonic() - asked_s)
            except NetworkError:
                self.unanswered += 1
            await asyncio.sleep(_ASKED_EVERY_S)


def fuzz_connections(home: Path, frames: int, *, seed: str) -> dict[str, Any]:
    """Have `frames` frames written to a node, and return the figures."""
    started_s = time.monotonic()
    with counted_lines() as lines:
        figures = asyncio.run(_attacked(home, frames, seed))
    problems = [*figures.pop("problems"), *lines.failures]
    minutes = 1 + (time.monotonic() - started_s) / 60
    # One more line a minute reports that others were dropped.
    if lines.count > 2 * (LINES_PER_MINUTE + 1) * minutes:
        problems.append(f"{lines.count} lines in the log")
    return {**figures, "lines": lines.count, "problems": problems, "holds": not problems}


async def _attacked(home: Path, frames: int, seed: str) -> dict[str, Any]:
    watched = Watched()
    async with running_node(Home(home / "victim")) as victim:
        pid = own_program()
        victim.take(RECORDS)
        async with running_node(Home(home / "honest")) as honest:
            await honest.process.dial(victim.process.addresses[0])
            await honest.until_has(RECORDS)
            before = Usage.of(pid)
            began_s = time.monotonic()
            async with watched.watching(honest, victim):
                said = await _attack(victim, frames, seed)
            took_s = time.monotonic() - began_s
            problems = await _problems_after(victim, honest, watched, pid, before)
            after = Usage.of(pid)
    if watched.unanswered > _UNANSWERED_SHARE * len(watched.honest_waited_s):
        problems.append(f"an honest peer was left without {watched.unanswered} answers")
    if len(watched.recorded) < _LEAST_SHARE * took_s / _EVERY_S:
        problems.append(f"only {len(watched.recorded)} records were made in {took_s:.0f} s")
    if max(watched.user_waited_s) > _USER_WAITS_S:
        problems.append("the control socket was not answered in time")
    return {
        **said,
        "seconds": round(took_s, 1),
        "recorded": len(watched.recorded),
        "loop_late_ms": _of(watched.late_s),
        "user_waited_ms": _of(watched.user_waited_s),
        "honest_waited_ms": _of(watched.honest_waited_s),
        "honest_unanswered": watched.unanswered,
        "before": vars(before),
        "after": vars(after),
        "problems": problems,
    }


async def _problems_after(
    victim: Node, honest: Node, watched: Watched, pid: int, before: Usage
) -> list[str]:
    problems = [f"{name} failed" for name in victim.peering.failures + honest.peering.failures]
    if pid not in programs(os.getpid()) or victim.process.fault is not None:
        return [*problems, "the network process has ended"]
    try:
        await honest.until_has(watched.recorded)
    except TimeoutError:
        problems.append("an honest peer has not got what was recorded")
    settled_s = time.monotonic() + _SETTLED_S
    while not Usage.of(pid).is_much_like(before):
        if time.monotonic() > settled_s:
            return [*problems, "the network process uses more than before"]
        await asyncio.sleep(_EVERY_S)
    return problems


def _of(seconds: list[float]) -> dict[str, float]:
    """Return the median, the 99th percentile and the maximum of times, in milliseconds."""
    ordered = sorted(seconds) or [0.0]
    points = {"p50": len(ordered) // 2, "p99": len(ordered) * 99 // 100, "most": -1}
    return {name: round(ordered[at] * 1000, 1) for name, at in points.items()}


async def _attack(victim: Node, frames: int, seed: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tools.soak.attackers",
        victim.process.addresses[0],
        str(frames),
        seed,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    figures: dict[str, Any] = json.loads(said)
    return figures
