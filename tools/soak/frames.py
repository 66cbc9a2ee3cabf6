"""Fuzzed frames for all handlers at once, in batches, so that a later call can resume."""

import asyncio
import json
import logging
import random
import resource
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio
from libp2p.peer.id import ID

from node.network.errors import LINE_EVERY_S
from node.peering.messages import HELLO
from protocol.errors import Rejected
from protocol.records import parse_record
from tools.soak.handlers import PROTOCOLS, Handlers, joined, names
from tools.soak.mutations import Mutator
from tools.soak.questions import RECORDS, framed, questions

WORKERS: Final = 16
_PEERS: Final = 200
_BATCH: Final = 10_000
_FRAMES_PER_GOSSIP: Final = 10  # frames per additional gossip message
_GROWTH_MB: Final = 64
_SPARE: Final = 2  # trio keeps idle threads for a while


class Lines(logging.Handler):
    """A log handler that counts lines and keeps those about failures."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0
        self.failures: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        if record.exc_info or record.levelno >= logging.ERROR:
            self.failures.append(self.format(record)[:2_000])


@contextmanager
def counted_lines() -> Iterator[Lines]:
    """Count all log lines of this process during a block."""
    lines, root = Lines(), logging.getLogger()
    root.addHandler(lines)
    try:
        yield lines
    finally:
        root.removeHandler(lines)


@dataclass(frozen=True, kw_only=True)
class Vitals:
    """The resources that a process uses."""

    memory_mb: float
    descriptors: int
    threads: int
    tasks: int
    core_tasks: int

    @classmethod
    def of(cls, handlers: Handlers) -> "Vitals":
        """Return the usage of this process."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            memory_mb=round(pages * resource.getpagesize() / 2**20, 1),
            descriptors=len([*Path("/proc/self/fd").iterdir()]),
            threads=threading.active_count(),
            tasks=trio.lowlevel.current_statistics().tasks_living,
            core_tasks=len(asyncio.all_tasks(handlers.core.loop)),
        )

    def is_much_like(self, other: "Vitals") -> bool:
        """Return True if usage has not grown since `other`."""
        return (
            self.memory_mb <= other.memory_mb + _GROWTH_MB
            and self.descriptors <= other.descriptors + _SPARE
            and self.threads <= other.threads + _SPARE
            and self.tasks <= other.tasks + WORKERS
            and self.core_tasks <= other.core_tasks + WORKERS
        )


@dataclass(kw_only=True)
class Fuzzing:
    """A fuzzer of one pair of handlers. `counts` is by outcome."""

    handlers: Handlers
    seed: str
    counts: Counter[str] = field(default_factory=Counter)
    peers: list[ID] = field(default_factory=lambda: names(_PEERS + 1))

    def __post_init__(self) -> None:
        self._questions = questions()
        self._mutators = {name: Mutator(some) for name, some in self._questions.items()}
        self._wires = Mutator([record.wire for record in RECORDS])
        self._answers: list[bytes] = []

    async def greet(self) -> None:
        """Let all peers say hello, and keep the answers to the honest peer's requests."""
        (hello,) = map(framed, self._questions[HELLO])
        for peer in self.peers:
            assert await self.handlers.handle(peer, HELLO, hello)
        self._answers = await self._ask_honestly()
        assert all(self._answers)

    async def run(self, batch: int, frames: int) -> None:
        """Have frames handled, then check that the honest peer gets the same answers as before."""
        async with trio.open_nursery() as nursery:
            for worker in range(WORKERS):
                count = len(range(worker, frames, WORKERS))
                nursery.start_soon(self._work, f"{self.seed}/{batch}/{worker}", worker, count)
        self._gossip(random.Random(f"{self.seed}/{batch}/gossip"), frames // _FRAMES_PER_GOSSIP)
        assert await self._ask_honestly() == self._answers

    async def _work(self, seed: str, worker: int, count: int) -> None:
        chance = random.Random(seed)
        peers = self.peers[worker:_PEERS:WORKERS]
        for number in range(count):
            protocol = chance.choice(PROTOCOLS)
            # One frame in 20 is of a random protocol.
            mutator = self._mutators[
                protocol if chance.random() < 0.95 else chance.choice(PROTOCOLS)
            ]
            data = mutator.frame(chance)
            answer = await self.handlers.handle(peers[number % len(peers)], protocol, data)
            self.counts["faulty" if answer is None else "answered" if answer else "refused"] += 1

    def _gossip(self, chance: random.Random, count: int) -> None:
        wires = [self._wires.payload(chance) for _ in range(count)]
        forwarder = chance.choice(self.peers)
        valid = sum(not isinstance(parse_record(wire), Rejected) for wire in wires)
        rejected = self.handlers.ingest_gossip(forwarder, wires)
        # Known payloads with a wrong signature count as neither.
        assert valid + rejected <= count, "the network's side and the core judge differently"
        self.counts["gossip valid"] += valid
        self.counts["gossip rejected"] += rejected
        self.counts["gossip known"] += count - valid - rejected

    async def _ask_honestly(self) -> list[bytes]:
        honest = self.peers[_PEERS]
        return [
            await self.handlers.handle(honest, name, framed(payload)) or b""
            for name, payloads in self._questions.items()
            if name != HELLO
            for payload in payloads
        ]


@dataclass(kw_only=True)
class Progress:
    """The progress of a fuzzing over all calls, with its findings."""

    frames: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "Progress":
        """Read the progress from a file, or return an empty one."""
        if not path.exists():
            return cls()
        said = json.loads(path.read_text())
        return cls(**{**said, "counts": Counter(said["counts"])})

    def write(self, path: Path) -> None:
        """Write the progress to a file."""
        path.write_text(json.dumps(vars(self)))


def fuzz_frames(kept: Path, frames: int, *, seed: str, batch: int = _BATCH) -> dict[str, object]:
    """Have `frames` frames handled in all; return the figures. `kept` holds the progress."""
    progress = Progress.read(kept)
    begun, started_s = progress.frames, time.monotonic()
    vitals: list[Vitals] = []

    async def fuzz() -> None:
        async with joined(RECORDS) as handlers:
            fuzzing = Fuzzing(handlers=handlers, seed=seed, counts=progress.counts)
            await fuzzing.greet()
            while progress.frames < frames:
                await fuzzing.run(progress.frames // batch, batch)
                progress.frames += batch
                progress.problems += handlers.surprises
                handlers.surprises.clear()
                progress.write(kept)
                vitals.append(Vitals.of(handlers))
                print(f"  {progress.frames} of {frames} frames", file=sys.stderr, flush=True)
            if handlers.core.ended:
                progress.problems.append(handlers.core.ended)

    with counted_lines() as lines:
        trio.run(fuzz)
    taken_s = time.monotonic() - started_s
    progress.problems += lines.failures
    if lines.count > _PEERS * (1 + taken_s / LINE_EVERY_S):
        progress.problems.append(f"{lines.count} lines in the log")
    # The first sample is after a batch, when caches have filled.
    if vitals and not vitals[-1].is_much_like(vitals[0]):
        progress.problems.append("it uses more than before")
    return {
        "frames": progress.frames,
        "outcomes": dict(sorted(progress.counts.items())),
        "microseconds_each": round(taken_s * 1e6 / max(1, progress.frames - begun), 1),
        "lines": lines.count,
        "vitals": [vars(one) for one in (vitals[:1] + vitals[-1:])],
        "problems": progress.problems,
        "holds": not progress.problems,
    }
