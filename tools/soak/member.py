"""One node of a swarm as a process: the core's side of the network as it ships, no research.

    python -m tools.soak.member HOME LISTEN INVITE

It reports on standard output when its network is up. Then it answers each line on standard input
by one line of JSON, and ends with its input:

    rate R    publish R records a second from now on, like a node's experiments (0: none)
    look      report digests, peers and this process's resources

Arrivals are logged in HOME.arrivals, one line per record: its id, how it came (`own`, `gossip`,
`sync`), and the nanoseconds of the machine's monotonic clock, which all processes share.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from node.home.clock import clock_ms
from node.home.config import Config
from node.home.home import Home
from node.home.invites import read_invite
from node.home.keyfile import identity_of, load_keys
from node.home.network_definition import Network
from node.line.open_task import Subject
from node.line.record_writer import RecordWriter
from node.peering.membership import Membership, taking_part
from node.peering.record_reader import Read
from node.store.blobs import Blobs
from node.store.intake import IntakeReport
from node.store.store import Store
from protocol.record_kinds import Origin
from protocol.rerun import prove_seeds, rerun_seed
from protocol.runs import Env, Role, Run
from protocol.source import Source
from protocol.topics import subscriptions
from tests.protocol.examples import MANIFEST

HARDWARE_CLASS: Final = "cpu-x86_64"
# One in so many of a node's experiments …
_CONFIRMED: Final = 20  # … ends a promotion trial that passed, and is adopted
_RERUN: Final = 12  # … is followed by a re-run of another author's claim
_NOISE: Final = 30
_RECORDS_EACH: Final = 3.3  # records per experiment that follow from these
_PROGRAM: Final = "".join(f"LAYER_{number} = {number * 37 % 101}\n" for number in range(150))
_LEVEL_NANO: Final = 1_250_000_000


class Arrivals:
    """A log of the records that a store imports, how and when."""

    def __init__(self, file: TextIOWrapper, store: Store) -> None:
        self.own = 0  # records made here, counted since a node drops all but its newest intents
        self._file = file
        self._take = store.intake.take
        vars(store.intake)["take"] = self._noting

    def note(self, ids: Iterable[bytes], way: str) -> None:
        """Log records as arriving now."""
        now = time.monotonic_ns()
        noted = [f"{one.hex()} {way} {now}\n" for one in ids]
        self.own += len(noted) if way == "own" else 0
        self._file.writelines(noted)
        self._file.flush()

    def _noting(self, read: Read, *, now_ms: int, net: str, introducer: str | None) -> IntakeReport:
        report = self._take(read, now_ms=now_ms, net=net, introducer=introducer)
        task = asyncio.current_task()
        self.note(report.new, "gossip" if task and task.get_name() == "hearing" else "sync")
        return report


class Author:
    """A publisher of records like those of experiments, with invented scores."""

    def __init__(
        self, record_writer: RecordWriter, store: Store, blobs: Blobs, arrivals: Arrivals
    ) -> None:
        self._record_writer = record_writer
        self._store = store
        self._blobs = blobs
        self._arrivals = arrivals
        self._chance = random.Random(record_writer.author)
        self._base = blobs.put_source(Source.of({"train.py": _PROGRAM.encode()}))
        self._number = store.records.count(record_writer.author)
        self.rate = 0.0
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Publish at the rate until cancelled, and catch up after delays."""
        due_s = time.monotonic()
        while True:
            if not self.rate:
                self.changed.clear()
                await self.changed.wait()
                due_s = time.monotonic()
            due_s += self._chance.expovariate(self.rate / _RECORDS_EACH)
            await asyncio.sleep(due_s - time.monotonic())
            if self.rate:
                await self._experiment()

    async def _experiment(self) -> None:
        self._number += 1
        record_writer, number = self._record_writer, self._number
        with self._store.transaction():
            intent = record_writer.intent(self._base, f"Layer {number}", ttl_s=600)
        self._arrivals.note([intent.id], "own")
        await asyncio.sleep(self._chance.uniform(0, 0.1))  # stands for the run, only shorter
        line = f"LAYER_{number % 150} = {self._chance.random()}\n"
        source = Source.of({"train.py": (_PROGRAM + line).encode()})
        tree = self._blobs.put_source(source)
        is_confirmed = number % _CONFIRMED == 0
        pairs = range(4 if is_confirmed else 1)
        runs = [self._run(role) for _ in pairs for role in ("base", "candidate")]
        with self._store.transaction():
            patch = record_writer.patch(
                self._base,
                tree,
                title=f"Layer {number}",
                why="It was never tried.",
                parents=(),
                origin=Origin(proposer="search"),
            )
            result = record_writer.result(
                patch.id,
                self._base,
                tree,
                stage="confirm" if is_confirmed else "screen",
                runs=runs,
                note="",
                has_verdict=is_confirmed,
            )
            made = [patch, result]
            if is_confirmed:
                made.append(record_writer.adoption(self._base, tree, evidence=result.id))
            if number % _RERUN == 0:
                made.append(
                    record_writer.rerun(
                        base=self._base,
                        tree=tree,
                        target=None,
                        proof=(proof := self._re_run_proof(tree)),
                        runs=self._rerun(proof),
                        again=None,
                        verdict="confirmed",
                        alpha_millionths=50_000,
                        max_pairs=20,
                    )
                )
            if number % _NOISE == 0:
                made.append(record_writer.noise(self._base, [self._run("base") for _ in range(2)]))
        self._arrivals.note([one.id for one in made], "own")

    def _re_run_proof(self, tree: bytes) -> bytes:
        return prove_seeds(self._record_writer.key, target=None, base=self._base, tree=tree)

    def _rerun(self, proof: bytes) -> Sequence[Run]:
        return [
            self._run(role, seed=rerun_seed(proof, pair))
            for pair in range(2)
            for role in ("base", "candidate")
        ]

    def _run(self, role: Role, seed: int | None = None) -> Run:
        nano = _LEVEL_NANO + self._chance.randrange(10_000_000)
        return Run(
            seed=self._chance.randrange(1 << 30) if seed is None else seed,
            role=role,
            status="ok",
            metric_nano=nano,
            secret_nano=nano + 1_000,
            ms=3_000,
            cpu_ms=2_900,
            serve_ms=500,
            tokens=153_600,
            peak_mem_bytes=410_000_000,
        )


async def _serve(home: Home, network: Network, listen: str, store: Store) -> None:
    keys, blobs = load_keys(home), Blobs(home.blobs)
    topics = member_topics(network.name)
    with home.root.with_suffix(".arrivals").open("a", encoding="ascii") as file:
        arrivals = Arrivals(file, store)
        record_writer = RecordWriter(
            store=store,
            blobs=blobs,
            identity=identity_of(keys, Config(net=network.name)),
            subject=Subject(
                manifest=MANIFEST,
                source=Source.of({"train.py": _PROGRAM.encode()}),
                hardware_class=HARDWARE_CLASS,
                env=Env(),
            ),
            clock_ms=clock_ms,
        )
        author = Author(record_writer, store, blobs, arrivals)
        with store.transaction():
            record_writer.announce()
        arrivals.note((record.id for record in store.records.own()), "own")
        async with taking_part(
            network, home=home, keys=keys, store=store, topics=topics, listen=(listen,)
        ) as membership:
            publishing = asyncio.create_task(author.run())
            await membership.process.wait_up()
            _print_json({"up": True})
            async for words in _lines():
                match words:
                    case ["rate", rate]:
                        author.rate = float(rate)
                        author.changed.set()
                        _print_json({"rate": author.rate})
                    case ["look"]:
                        looked = _look(membership, store, topics, publishing)
                        _print_json({"made": arrivals.own, **looked})
            publishing.cancel()


def member_topics(net: str) -> tuple[str, ...]:
    """Return the topics that every member of a swarm subscribes to."""
    return subscriptions(net, [MANIFEST.id], HARDWARE_CLASS)


def _look(
    membership: Membership, store: Store, topics: Sequence[str], publishing: "asyncio.Task[None]"
) -> dict[str, object]:
    if publishing.done():
        publishing.result()
    digests = membership.peering.syncer._indexes.digests()
    return {
        "digests": {topic: [digests[topic][0], digests[topic][1].hex()] for topic in topics},
        "records": store.records.count(),
        "peers": len(membership.peers),
        "lost": membership.process.lost_messages,
        "streams": membership.process.open_streams,
        "failures": dict(membership.peering.failures),
        "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "tasks": len(asyncio.all_tasks()),
    }


async def _lines() -> AsyncIterator[list[str]]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield line.decode("ascii").split()


def _print_json(what: dict[str, object]) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    """Run the member until standard input ends."""
    home = Home(Path(sys.argv[1]))
    network = read_invite(sys.argv[3])
    with home.lock(), Store.open(home) as store:
        asyncio.run(_serve(home, network, sys.argv[2], store))


if __name__ == "__main__":
    main()
