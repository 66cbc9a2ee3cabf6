"""The code that answers peers, complete except for sockets.

It consists of a network process's stream handlers on trio, the core's answers on asyncio and the
channel between them. Streams are written in advance.
"""

import asyncio
import contextlib
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Final, cast
from unittest import mock

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.id import ID

from node.home.addresses import PeerId
from node.network import program
from node.network.building import HostSettings
from node.network.contract import FRAMING, QUESTIONS, NetworkSettings
from node.network.errors import FrameError
from node.network.host import NetworkHost, running_host
from node.network.peer_budgets import Allowance, CostKind
from node.peering.messages import BLOB, HELLO, PEERS, SYNC
from node.peering.network_link import Inbox, NetworkLink
from node.processes.channel import ProcessChannel
from protocol.errors import ArnodeError
from protocol.framing import Message
from protocol.records import Record
from tests.peering.members import ALL_TOPICS, Clock, Member, member
from tests.peering.test_fetching import BASE, PATCH_RECORD
from tests.peering.wires import Wires

PROTOCOLS: Final = (HELLO, SYNC, BLOB, PEERS)
# Rate limits have their own tests and are off here.
_ENDLESS: Final = Allowance(per_s=1e9, burst=1e12)
_ALLOWANCES: Final = dict.fromkeys((CostKind.QUESTIONS, CostKind.BYTES, CostKind.STREAMS), _ENDLESS)
_ENDED_WITHIN_S: Final = 20.0


class WrittenStream:
    """A libp2p stream on which the peer has already written everything."""

    def __init__(self, peer: ID, data: bytes) -> None:
        self.muxed_conn = SimpleNamespace(peer_id=peer)
        self.answers = bytearray()
        self._data = data
        self._at = 0

    async def read(self, size: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._at >= len(self._data):
            raise StreamEOF
        self._at += size
        return self._data[self._at - size : self._at]

    async def write(self, data: bytes) -> None:
        self.answers += data

    async def close(self) -> None:
        pass

    async def reset(self) -> None:
        self._at = len(self._data)


@dataclass(kw_only=True)
class Handlers:
    """The running handlers. `surprises` are faults that a frame must not cause."""

    host: NetworkHost
    core: "Core"
    faults: Counter[PeerId] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        incidents = self.host._incidents
        note = incidents.note

        def noting(peer: PeerId, where: str, fault: BaseException | str) -> None:
            self.faults[peer] += 1
            if not isinstance(fault, str | FrameError):
                self.surprises.append(f"{where}: {fault!r}")
            note(peer, where, fault)

        vars(incidents)["note"] = noting

    async def handle(self, peer: ID, protocol: str, data: bytes) -> bytes | None:
        """Have a stream's bytes handled; return the answer, or None after a fault.

        A peer may have only one stream at a time.
        """
        stream, name = WrittenStream(peer, data), PeerId(str(peer))
        before = self.faults[name]
        handler: Any = self.host._host.multiselect.handlers[TProtocol(protocol)]
        await handler(stream)
        return None if self.faults[name] > before else bytes(stream.answers)

    def ingest_gossip(self, peer: ID, wires: Sequence[bytes]) -> int:
        """Give gossip messages to the core and return how many it rejected.

        The core knows all valid records among them already.
        """
        ingest = self.core.member.peering._ingest.ingest(PeerId(str(peer)), wires)
        taken = asyncio.run_coroutine_threadsafe(ingest, self.core.loop).result(_ENDED_WITHIN_S)
        assert not taken.new
        return len(taken.rejected)


@dataclass(kw_only=True)
class Core:
    """A member with a store, in its own thread, at one end of a channel."""

    member: Member
    channel: ProcessChannel[Message]
    loop: asyncio.AbstractEventLoop
    ended: str = ""  # the reason, once it has ended


@contextlib.contextmanager
def core_at(end: socket.socket, records: Sequence[Record]) -> Iterator[Core]:
    """Run a core that has these records and answers requests from the channel."""
    found: list[Core] = []
    is_up = threading.Event()

    async def serve() -> None:
        settings = NetworkSettings(
            transport_seed=b"f" * 32,
            listen=(),
            topics=tuple(ALL_TOPICS),
            protocols=tuple(PROTOCOLS),
        )
        with member(Wires(), "fuzzed", Clock()) as one:
            one.take([*records, PATCH_RECORD])
            one.blobs.put_source(BASE)
            channel = await ProcessChannel.over(end, FRAMING)
            await channel.send(cast("Message", settings.to_value()))
            core = Core(member=one, channel=channel, loop=asyncio.get_running_loop())
            found.append(core)
            link = NetworkLink(channel, Inbox(), one.carrier._answers, max_questions=QUESTIONS)
            try:
                await link.run(on_up=is_up.set, on_down=is_up.clear)
            except ArnodeError as fault:
                core.ended = fault.message
            channel.close()
            await asyncio.sleep(0.1)  # the transport closes a few loop iterations later

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        if not is_up.wait(_ENDED_WITHIN_S):
            raise TimeoutError("the network's side did not come up")
        yield found[0]
    finally:
        thread.join(_ENDED_WITHIN_S)


@contextlib.asynccontextmanager
async def joined(records: Sequence[Record]) -> AsyncIterator[Handlers]:
    """Run handlers that are connected to a core with these records."""
    ours, theirs = socket.socketpair()
    hosts: list[NetworkHost] = []

    @contextlib.asynccontextmanager
    async def noted(settings: HostSettings) -> AsyncIterator[NetworkHost]:
        async with running_host(replace(settings, allowances=_ALLOWANCES)) as host:
            hosts.append(host)
            yield host

    with mock.patch.object(program, "running_host", noted):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(program.serve_core, theirs)
            manager = core_at(ours, records)
            core = await trio.to_thread.run_sync(manager.__enter__)
            try:
                yield Handlers(host=hosts[0], core=core)
            finally:
                core.loop.call_soon_threadsafe(core.channel.close)
                await trio.to_thread.run_sync(manager.__exit__, None, None, None)


def names(count: int) -> list[ID]:
    """Return `count` peer ids."""
    seeds = (number.to_bytes(32, "big") for number in range(count))
    return [ID.from_pubkey(create_new_key_pair(seed).public_key) for seed in seeds]
