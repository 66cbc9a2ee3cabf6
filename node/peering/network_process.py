"""The network process as a child of the core, restarted whenever it dies.

    async with NetworkProcess(settings, hidden=[home.root]) as network:
        network.serve("/arnode/hello/1", answer)
        async for event in network.events():
            …

Entering the block does not wait: the network is down until the process reports that it listens, and
again whenever the process dies. While the network is down, only `ask`, `dial` and `reserve` raise.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn, Self, cast
from weakref import WeakValueDictionary

from node.home.addresses import PeerId
from node.network.contract import (
    FRAMING,
    QUESTIONS,
    QUESTIONS_PER_PEER,
    NetworkSettings,
    check_gossip,
)
from node.network.errors import NetworkError
from node.network.messages import QUESTION_LIMIT_BYTES
from node.network.peer_budgets import Banned
from node.peering.carrier import Answer, Carrier, Event, GossipMessage
from node.peering.network_link import Inbox, NetworkLink, check_size
from node.peering.ports import Ports
from node.processes.channel import ProcessChannel
from node.processes.child import ChildProgram
from node.processes.supervisor import Supervisor
from protocol.errors import ArnodeError
from protocol.framing import Message

PROGRAM: Final = "node.network.program"
DIAL_S: Final = 30.0
PUBLISH_S: Final = 10.0
_log = logging.getLogger(__name__)


class NetworkProcess(Carrier):
    """A network process that is kept running for the time of a block."""

    def __init__(
        self, settings: NetworkSettings, *, hidden: Sequence[Path], ports: Ports | None = None
    ) -> None:
        """`hidden`: folders that the process must not see, the node's home first.

        `ports` chooses the listen addresses for each new process; without it the settings decide.
        """
        self._settings = settings
        self._ports = ports
        self._answers: dict[str, Answer] = {}
        self._inbox = Inbox()
        self._banned = Banned(time.monotonic)
        self._turns: WeakValueDictionary[PeerId, asyncio.Semaphore] = WeakValueDictionary()
        self._link: NetworkLink | None = None
        self._is_up = asyncio.Event()
        program = ChildProgram(
            name="the network process", module=PROGRAM, framing=FRAMING, hidden=tuple(hidden)
        )
        self._supervisor = Supervisor(program, self._live, on_death=self._note_death)
        self.fault: ArnodeError | None = None  # the reason it is down, if there is a fault

    async def __aenter__(self) -> Self:
        self._supervisor.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._supervisor.stop()

    @property
    def peer_id(self) -> PeerId | None:
        return None if self._link is None else self._link.peer_id

    @property
    def addresses(self) -> tuple[str, ...]:
        return () if self._link is None else self._link.addresses

    @property
    def peers(self) -> tuple[PeerId, ...]:
        return self._inbox.peers

    @property
    def lost_messages(self) -> int:
        """The number of gossip messages that arrived but were not read in time."""
        return self._inbox.lost_messages

    @property
    def open_streams(self) -> int:
        """The number of streams that peers and this node had open, at most half a minute ago."""
        return 0 if self._link is None else self._link.open_streams

    @property
    def ignored_messages(self) -> Mapping[str, int]:
        """The number of messages that the running process did not pass on, by reason.

        The figures are at most half a minute old.
        """
        return {} if self._link is None else self._link.ignored

    async def wait_up(self) -> None:
        """Wait until the network is up, possibly forever."""
        await self._is_up.wait()

    def events(self) -> AsyncIterator[Event]:
        return self._inbox.events()

    async def receive_gossip(self, most: int) -> list[GossipMessage]:
        return await self._inbox.receive_gossip(most)

    def serve(self, protocol: str, answer: Answer) -> None:
        self._answers[protocol] = answer
        if self._link is not None:
            self._link.start(self._link.call("serve", protocol))

    async def ask(
        self, peer: PeerId, protocol: str, question: Message, *, timeout_s: float = 30.0
    ) -> Message:
        # Only a few questions at a time for one peer.
        check_size(question, QUESTION_LIMIT_BYTES)
        turns = self._turns.setdefault(peer, asyncio.Semaphore(QUESTIONS_PER_PEER))
        async with _in_time(f"{peer} did not answer {protocol}", timeout_s), turns:
            return await self._up().call("ask", peer, protocol, timeout_s, question)

    async def dial(self, address: str) -> PeerId:
        async with _in_time(f"{address} was not reached", DIAL_S):
            peer = await self._up().call("dial", address)
        if not isinstance(peer, str):
            raise NetworkError(f"the network process named no peer at {address}")
        return PeerId(peer)

    async def reserve(self, relay: PeerId) -> None:
        async with _in_time(f"{relay} did not confirm a reservation", DIAL_S):
            await self._up().call("reserve", relay)

    async def publish(self, topic: str, data: bytes) -> None:
        check_gossip(topic, data, self._settings.topics)
        await self._try("publish", topic, data)

    async def disconnect(self, peer: PeerId) -> None:
        await self._try("disconnect", peer)

    async def drop(self, peer: PeerId, why: str) -> None:
        self._banned.add(peer)
        await self._try("drop", peer, why)

    def _up(self) -> NetworkLink:
        if self._link is None or self._link.peer_id is None:
            raise NetworkError("the network is down", "it restarts by itself")
        return self._link

    async def _try(self, name: str, *arguments: Message) -> None:
        try:
            async with asyncio.timeout(PUBLISH_S):
                await self._up().call(name, *arguments)
        except (NetworkError, TimeoutError) as fault:
            _log.debug("%s: %s", name, fault)

    async def _live(self, channel: ProcessChannel[Message]) -> NoReturn:
        if self._ports is not None:
            self._settings = replace(self._settings, listen=await self._ports.to_listen())
        max_questions = QUESTIONS + self._settings.max_peers
        link = self._link = NetworkLink(
            channel, self._inbox, self._answers, max_questions=max_questions
        )
        try:
            await channel.send(self._first_frame())
            await link.run(on_up=self._note_up, on_down=self._is_up.clear)
        finally:
            self._link = None

    def _note_death(self, why: ArnodeError, wait_s: float) -> bool:
        self.fault = why
        said = f"{why.message}; {why.hint}" if why.hint else why.message
        _log.warning("the network is down, next try in %g s: %s", wait_s, said)
        return True

    def _first_frame(self) -> Message:
        first = replace(self._settings, protocols=tuple(self._answers), banned=tuple(self._banned))
        return cast("Message", first.to_value())

    def _note_up(self) -> None:
        self.fault = None
        if self._ports is not None:
            self._ports.got(self.addresses)
        self._is_up.set()


@asynccontextmanager
async def _in_time(what: str, timeout_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise NetworkError(f"{what} within {timeout_s:g} s", "try another peer") from None
