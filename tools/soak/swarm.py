"""A swarm of real processes: a bootstrap node and members, each with a home, a key and a sandbox.

A member is `tools.soak.member`. The bootstrap node is the shipped program. Their contents are
queried while they run, and read from their stores afterwards.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from node.home.addresses import Address, parse_address
from node.home.home import Home
from node.home.invites import write_invite
from node.home.network_definition import Network
from node.home.networks import create_network
from node.store.store import Store
from protocol.errors import ArnodeError
from tests.protocol.examples import MANIFEST
from tools.dying import dying
from tools.soak.halves import Place
from tools.soak.member import member_topics
from trainer.host.processes import family_of

NETWORK: Final = "swarm"
TOPICS: Final = member_topics(NETWORK)
_STARTED_WITHIN_S = 120.0
_ANSWERED_WITHIN_S = 60.0
_STARTED_AT_ONCE = 4

Digests = dict[str, list[object]]


@dataclass(kw_only=True)
class Member:
    """One node's process, with the home that outlives it."""

    name: str
    home: Home
    place: Place
    process: asyncio.subprocess.Process
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def arrivals(self) -> Path:
        """The file with the log of its arrivals."""
        return self.home.root.with_suffix(".arrivals")

    async def ask(self, *words: str) -> dict[str, Any]:
        """Send the process a command and return its answer."""
        assert self.process.stdin is not None
        async with self._turn:
            self.process.stdin.write(" ".join(words).encode() + b"\n")
            return await self.read_message(_ANSWERED_WITHIN_S)

    async def read_message(self, within_s: float) -> dict[str, Any]:
        """Return the next line that the process prints."""
        assert self.process.stdout is not None
        async with asyncio.timeout(within_s):
            line = await self.process.stdout.readline()
        if not line:
            said = self.home.root.with_suffix(".log").read_text(errors="replace")
            raise ArnodeError(f"{self.name} ended: {said[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def family(self) -> list[int]:
        """Return the pids of its core, then of its network process and the sandbox around it."""
        return family_of(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all its processes at once."""
        for pid in self.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


class Swarm:
    """The members by number. `places` gives the place of each, 0 is the bootstrap node's."""

    def __init__(self, folder: Path, places: Callable[[int], Place]) -> None:
        self.folder = folder
        self.members: list[Member] = []
        self.bootstrap = Home(folder / "bootstrap")
        self.published_per_s = 0.0
        self._places = places
        self._invite = ""
        self._served: asyncio.subprocess.Process | None = None

    async def start(self, members: int) -> None:
        """Start the bootstrap node, then the members, and wait until all networks are up."""
        create_network(self.bootstrap, Network(name=NETWORK, tasks=(MANIFEST.id.hex(),)))
        place = self._places(0)
        command = ["-m", "node", "network", "bootstrap", "--network", NETWORK, "--http", "none"]
        self._served = await self._run(
            self.bootstrap, place, [*command, "--listen", place.listen], stdout=None
        )
        network = Network(name=NETWORK, bootstrap=(await self._address(),))
        self._invite = write_invite(network)
        for first in range(0, members, _STARTED_AT_ONCE):
            numbers = range(first, min(first + _STARTED_AT_ONCE, members))
            self.members += await asyncio.gather(*map(self._member, numbers))

    async def kill(self, members: Sequence[Member]) -> None:
        """Kill the cores and the network processes of some members with SIGKILL."""
        for member in members:
            member.signal(signal.SIGKILL)
        for member in members:
            await member.process.wait()

    async def restart(self, members: Sequence[Member]) -> None:
        """Restart killed members on their homes, and so with their keys."""
        for member in members:
            member.process = (await self._member(self.members.index(member))).process

    async def rate(self, records_per_s: float) -> None:
        """Have all members together publish `records_per_s` records a second."""
        self.published_per_s = records_per_s
        each = str(records_per_s / len(self.members))
        await asyncio.gather(*(member.ask("rate", each) for member in self.members))

    async def look(self) -> list[dict[str, Any]]:
        """Query the state of all members."""
        return [*await asyncio.gather(*(member.ask("look") for member in self.members))]

    async def until_connected(self, peers: int, *, within_s: float) -> None:
        """Wait until each member is connected to at least `peers` others."""
        async with asyncio.timeout(within_s):
            while any(  # noqa: ASYNC110 (other processes have no event)
                seen["peers"] < peers for seen in await self.look()
            ):
                await asyncio.sleep(1)

    async def seconds_to_agree(self, *, within_s: float) -> float | None:
        """Wait until all digests agree, also the bootstrap node's; None if they never do."""
        started_s = asyncio.get_running_loop().time()
        while (took_s := asyncio.get_running_loop().time() - started_s) < within_s:
            digests = [seen["digests"] for seen in await self.look()]
            if all(one == digests[0] for one in digests) and digests[0] == stored(self.bootstrap):
                return took_s
            await asyncio.sleep(0.5)
        return None

    def pids(self) -> list[int]:
        """Return the pids of all processes of all nodes."""
        served = family_of(self._served.pid) if self._served else []
        return [*served, *(pid for member in self.members for pid in member.family())]

    async def end(self) -> None:
        """End all processes that were started."""
        for member in self.members:
            member.signal(signal.SIGCONT)
            if member.process.stdin is not None:
                member.process.stdin.close()
        if self._served is not None and self._served.returncode is None:
            self._served.terminate()
        ending = [one.process for one in self.members] + ([self._served] if self._served else [])
        for process in ending:
            try:
                async with asyncio.timeout(30):
                    await process.wait()
            except TimeoutError:
                for pid in family_of(process.pid):
                    os.kill(pid, signal.SIGKILL)
                await process.wait()

    async def _member(self, number: int) -> Member:
        name = f"member-{number}"
        home, place = Home(self.folder / name), self._places(number + 1)
        words = ["-m", "tools.soak.member", str(home.root), place.listen, self._invite]
        process = await self._run(home, place, words, stdout=asyncio.subprocess.PIPE)
        member = Member(name=name, home=home, place=place, process=process)
        await member.read_message(_STARTED_WITHIN_S)
        return member

    async def _run(
        self, home: Home, place: Place, words: Sequence[str], *, stdout: int | None
    ) -> asyncio.subprocess.Process:
        home.root.parent.mkdir(parents=True, exist_ok=True)
        own = {name: value for name, value in os.environ.items() if not name.startswith("ARNODE_")}
        with home.root.with_suffix(".log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *place.prefix,
                *dying([sys.executable, *words]),
                env={**own, "ARNODE_HOME": str(home.root)},
                stdin=asyncio.subprocess.PIPE,
                stdout=log if stdout is None else stdout,
                stderr=log,
                start_new_session=True,
            )

    async def _address(self) -> Address:
        log = self.bootstrap.root.with_suffix(".log")
        async with asyncio.timeout(_STARTED_WITHIN_S):
            while True:
                for line in log.read_text(errors="replace").splitlines():
                    address = parse_address(line.partition("listening at ")[2])
                    if isinstance(address, Address):
                        return address
                await asyncio.sleep(0.1)


def stored(home: Home) -> Digests:
    """Return the digests of a store, computed from a new reading of it."""
    with Store.open_read_only(home) as store:
        digests = store.topics.indexes(TOPICS).digests()
    return {topic: [digests[topic][0], digests[topic][1].hex()] for topic in TOPICS}


@contextlib.asynccontextmanager
async def swarm(
    folder: Path, places: Callable[[int], Place], *, members: int
) -> AsyncIterator[Swarm]:
    """Run a swarm for the length of a block."""
    nodes = Swarm(folder, places)
    try:
        await nodes.start(members)
        yield nodes
    finally:
        await nodes.end()
