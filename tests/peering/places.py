"""Nodes for benchmarks: core, network process and store, each in its own process.

Costs are read from these processes, so that other load on the machine has little effect.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from node.home.addresses import Address, PeerId, parse_address
from node.home.home import Home
from node.home.keyfile import load_keys
from node.home.network_definition import Network
from node.network.messages import encode_message
from node.peering.membership import taking_part
from node.peering.network_process import NetworkProcess
from node.store.store import Store
from protocol.framing import Message
from protocol.records import MAIN_NET
from protocol.topics import all_subscriptions, subscriptions
from tests.peering.parts import ENDED, parts_of
from tests.protocol.examples import MANIFEST

_TICKS = os.sysconf("SC_CLK_TCK")


class Place:
    """A running node."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address: str = self._read_line()["address"]

    def members(self) -> int:
        """Return the number of records, each counted in all its topics. This costs little."""
        return int(self._ask("members")["members"])

    def look(self) -> dict[str, Any]:
        """Return other facts about the node, and its costs so far."""
        return self._ask("all")

    def _ask(self, what: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return self._read_line()

    def _read_line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said


@contextmanager
def place(
    home: Path,
    *addresses: str,
    hardware_class: str = "",
    secret: bytes = b"",
    dht: Sequence[str] = (),
    host: str = "127.0.0.1",
    within: Sequence[str] = (),
) -> Iterator[Place]:
    """Run a node in a home, with these bootstrap addresses, until the block ends.

    It subscribes to what a node of that hardware class does, or to everything. `secret` is that of
    a private network. `dht` lists servers of a DHT for its network's rendezvous. `host` is where it
    listens, and `within` is a prefix for its command.
    """
    settings = {
        "home": str(home),
        "bootstrap": addresses,
        "hardware_class": hardware_class,
        "secret": secret.hex(),
        "dht": dht,
        "listen": f"/ip4/{host}/tcp/0",
    }
    command = [*within, sys.executable, "-m", "tests.peering.places", json.dumps(settings)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Place(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)


async def _run(settings: Mapping[str, Any]) -> None:
    home, hardware_class = Home(Path(settings["home"])), settings["hardware_class"]
    tasks = [MANIFEST.id]
    bootstrap = [
        one for one in map(parse_address, settings["bootstrap"]) if isinstance(one, Address)
    ]
    asked: Counter[str] = Counter()
    with Store.open(home) as store:
        async with taking_part(
            Network(
                name=MAIN_NET,
                bootstrap=tuple(bootstrap),
                dht=tuple(settings["dht"]),
                secret=bytes.fromhex(settings["secret"]) or None,
            ),
            home=home,
            keys=load_keys(home),
            store=store,
            topics=(
                subscriptions(MAIN_NET, tasks, hardware_class)
                if hardware_class
                else all_subscriptions(MAIN_NET, tasks)
            ),
            listen=(settings["listen"],),
        ) as membership:
            _count_questions(membership.process, asked)
            # The sources of invented records do not exist, so asking for them is left out.
            membership.peering.fetcher._has_more = False
            await membership.process.wait_up()
            _say({"address": membership.addresses[0]})
            while asked_for := (await asyncio.to_thread(sys.stdin.readline)).strip():
                counts = [count for count, _ in membership.peering._indexes.digests().values()]
                seen: dict[str, Any] = {"members": sum(counts)}
                if asked_for == "all":
                    meeting, book = membership.rendezvous, membership.peering.dialler._book
                    seen |= {
                        "peers": len(membership.peers),
                        "met": meeting and meeting.last and asdict(meeting.last),
                        "tried": sum(one.tried_s > 0 for one in book.entries),
                        "lost": membership.process.lost_messages,
                        "asked": dict(asked),
                        **_costs(os.getpid()),
                    }
                _say(seen)


def _count_questions(process: NetworkProcess, asked: Counter[str]) -> None:
    """Count requests of each protocol, and the bytes of request and answer."""
    ask = process.ask

    async def counted(
        peer: PeerId, protocol: str, question: Message, *, timeout_s: float = 30.0
    ) -> Message:
        answer = await ask(peer, protocol, question, timeout_s=timeout_s)
        asked[f"{protocol} questions"] += 1
        asked[f"{protocol} bytes"] += len(encode_message(question)) + len(encode_message(answer))
        return answer

    process.ask = counted  # type: ignore[method-assign]


def _costs(core: int) -> dict[str, dict[str, float]]:
    """Return CPU seconds and memory of a core's processes, by role.

    Shared memory counts in part for each process, so that the numbers can be added.
    """
    cpu_s: dict[str, float] = {}
    memory_bytes: dict[str, float] = {}
    for pid, name in parts_of(core):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            shared_out = Path(f"/proc/{pid}/smaps_rollup").read_text().partition("\nPss:")[2]
        except ENDED:
            continue
        cpu_s[name] = (int(stat[11]) + int(stat[12])) / _TICKS
        memory_bytes[name] = 1_024 * int(shared_out.split()[0])
    return {"cpu_s": cpu_s, "memory_bytes": memory_bytes}


def _say(values: dict[str, Any]) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    asyncio.run(_run(json.loads(sys.argv[1])))
