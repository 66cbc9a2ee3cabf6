"""`python -m tools.soak.attackers ADDRESS FRAMES SEED`: fuzz a node over many connections.

It sends garbage at every layer: the lines before a handshake, noise, yamux, gossip, our protocols.
An attacker that is disconnected returns with a new peer id, until FRAMES frames were written. The
program prints how many connections that took and how many of them the node ended.
"""

import json
import logging
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import trio
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.pubsub.pb.rpc_pb2 import RPC
from libp2p.utils.varint import encode_varint_prefixed
from multiaddr import Multiaddr

from node.network.errors import NetworkError
from node.network.host import NetworkHost, running_host
from node.network.router import GOSSIP_PROTOCOL
from node.peering.messages import HELLO
from tests.network.arena import settings
from tests.network.attacks import pruning, signed, subscribing, wanting
from tools.soak.handlers import PROTOCOLS
from tools.soak.mutations import Mutator, flipped
from tools.soak.questions import RECORDS, TOPICS, framed, questions

AT_ONCE: Final = 24
FRAMES_PER_CONNECTION: Final = 100
_CONNECTION_S: Final = 2.0  # some frames leave a connection stuck
_BARE_SHARE: Final = 0.1  # share of sockets that never complete a handshake
_LINES: Final = (b"\x13/multistream/1.0.0\n", b"\x07/noise\n", b"\x0d/yamux/1.0.0\n", b"\x03na\n")

_ENDED = (BaseLibp2pError, NetworkError, trio.BrokenResourceError, OSError, KeyError)

Layer = Callable[["Attackers", "Attacker", random.Random], Awaitable[None]]


@dataclass(kw_only=True)
class Attacker:
    """A connected attacker with a peer id of its own."""

    host: NetworkHost
    victim: ID

    def connection(self) -> Any:
        """Return libp2p's connection to the victim. Raises NetworkError if it was ended."""
        connections = self.host._host.get_network().get_connections(self.victim)
        if not connections:
            raise NetworkError("the victim has ended the connection")
        return connections[0].muxed_conn

    async def write(self, protocol: str, data: bytes) -> None:
        stream = await self.host._host.new_stream(self.victim, [TProtocol(protocol)])
        await stream.write(data)
        await stream.close()


@dataclass(kw_only=True)
class Attackers:
    """All attackers, with their shared counts and mutators."""

    address: str
    frames: int
    seed: str
    written: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._questions = questions()
        self._mutators = {name: Mutator(some) for name, some in self._questions.items()}
        self._wires = Mutator([record.wire for record in RECORDS])

    async def run(self) -> None:
        """Write frames until their total is reached."""
        async with trio.open_nursery() as nursery:
            for worker in range(AT_ONCE):
                nursery.start_soon(self._work, random.Random(f"{self.seed}/{worker}"))

    async def _work(self, chance: random.Random) -> None:
        while self.written.total() < self.frames:
            is_bare = chance.random() < _BARE_SHARE
            with trio.move_on_after(_CONNECTION_S):
                try:
                    await (self._connect_bare_socket if is_bare else self._connect)(chance)
                except* _ENDED:
                    self.counts["ended by the node"] += 1

    async def _connect_bare_socket(self, chance: random.Random) -> None:
        """Open a plain socket, send handshake lines, some with flipped bits, then random bytes."""
        self.counts["bare sockets"] += 1
        port = int(Multiaddr(self.address).value_for_protocol("tcp"))
        async with await trio.open_tcp_stream("127.0.0.1", port) as socket:
            for line in (*_LINES[: chance.randrange(len(_LINES))], chance.choice(_LINES)):
                await socket.send_all(flipped(chance, line) if chance.random() < 0.3 else line)
                self.written["lines"] += 1
            await socket.send_all(chance.randbytes(chance.choice((1, 32, 2_000))))
            self.written["handshakes"] += 1

    async def _connect(self, chance: random.Random) -> None:
        seed = chance.randbytes(32)
        async with running_host(settings(listen=(), transport_seed=seed)) as host:
            victim = ID.from_string(await host.connect(self.address))
            self.counts["connections"] += 1
            attacker = Attacker(host=host, victim=victim)
            if chance.random() < 0.8:  # the node does not answer a peer without a hello
                await attacker.write(HELLO, framed(self._questions[HELLO][0]))
            for _ in range(FRAMES_PER_CONNECTION):
                name, layer = chance.choice(_LAYERS)
                await layer(self, attacker, chance)
                self.written[name] += 1

    async def ask(self, attacker: Attacker, chance: random.Random) -> None:
        protocol = chance.choice(PROTOCOLS)
        await attacker.write(protocol, self._mutators[protocol].frame(chance))

    async def gossip(self, attacker: Attacker, chance: random.Random) -> None:
        if chance.random() < 0.3:
            data = self._rpc(attacker, chance).SerializeToString()
        else:
            data = flipped(chance, self._rpc(attacker, chance).SerializeToString())
        await attacker.write(GOSSIP_PROTOCOL, encode_varint_prefixed(data))

    def _rpc(self, attacker: Attacker, chance: random.Random) -> RPC:
        roll = chance.randrange(4)
        if roll == 0:
            return subscribing(chance.choice((1, 50, 1_001)))
        if roll == 1:
            return pruning(chance.choice((1, 50, 1_001)))
        if roll == 2:
            return wanting(chance.randbytes(chance.choice((0, 32, 65))), chance.choice((1, 5_001)))
        wire = self._wires.payload(chance)
        return RPC(publish=[signed(attacker.host._host, wire, chance.choice(TOPICS))])

    async def frames_of_yamux(self, attacker: Attacker, chance: random.Random) -> None:
        header = chance.randbytes(8) + chance.choice((0, 1, 16, 2**32 - 1)).to_bytes(4, "big")
        if chance.random() < 0.9:  # a random header is hardly ever valid
            header = bytes((0, chance.choice((0, 1, 1, 2, 2)))) + header[2:]
        await attacker.connection().secured_conn.write(header)

    async def packets_of_noise(self, attacker: Attacker, chance: random.Random) -> None:
        below = attacker.connection().secured_conn.conn.read_writer.read_write_closer
        size = chance.choice((0, 16, 17, 65_535))
        await below.write(size.to_bytes(2, "big") + chance.randbytes(min(size, 300)))


_LAYERS: Final[tuple[tuple[str, Layer], ...]] = (
    *[("our protocols", Attackers.ask)] * 25,
    *[("gossip", Attackers.gossip)] * 8,
    *[("yamux", Attackers.frames_of_yamux)] * 5,
    ("noise", Attackers.packets_of_noise),
)


def main() -> None:
    """Run the attack and print its figures as JSON."""
    address, frames, seed = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    attackers = Attackers(address=address, frames=int(frames), seed=seed)
    trio.run(attackers.run)
    counts: dict[str, int] = dict(attackers.counts)
    print(json.dumps({"frames": attackers.written.total(), "by_layer": attackers.written} | counts))


if __name__ == "__main__":
    main()
