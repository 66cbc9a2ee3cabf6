"""The core's link to one network process: calls, events, peers' questions.

Frames are those of `node.network.contract`; any other frame ends the link. When the link ends,
every open call fails and no peer is connected any more.

Events and gossip wait in an inbox; each of the two has one reader, which may be slow. The events
that wait are the changes since the last report (`node.network.presence`). The queue of gossip is
bounded: messages that do not fit are lost, counted, and left to reconciliation.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Final, NoReturn

from node.home.addresses import PeerId
from node.network.contract import ANSWER_S
from node.network.errors import NetworkError
from node.network.messages import FRAME_LIMIT_BYTES, encode_message
from node.network.presence import Connected, Presence
from node.peering.carrier import Answer, Event, GossipMessage
from node.processes.channel import Calls, ProcessChannel
from protocol.errors import ArnodeError
from protocol.framing import ChannelError, Message

GOSSIP_QUEUE: Final = 1024  # 16 KiB each at most
PING_EVERY_S: Final = 20.0
PONG_S: Final = 60.0
# Far above any setting; a process that reports more is broken.
PEERS_LIMIT: Final = 4096
_log = logging.getLogger(__name__)


class Inbox:
    """A queue of events and gossip for the core."""

    def __init__(self) -> None:
        self._presence = Presence()
        self._gossip: deque[GossipMessage] = deque()
        self._has_news, self._has_gossip = asyncio.Event(), asyncio.Event()
        self.lost_messages = 0

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """The connected peers."""
        return self._presence.peers

    def arrive(self, connected: Connected) -> None:
        """Add a connected peer."""
        self._presence.arrive(connected)
        self._has_news.set()

    def leave(self, peer: PeerId) -> None:
        """Remove a peer."""
        self._presence.leave(peer)
        self._has_news.set()

    def leave_all(self) -> None:
        """Remove all peers."""
        self._presence.clear()
        self._has_news.set()

    def add_gossip(self, message: GossipMessage) -> None:
        """Store a message, if there is room."""
        if len(self._gossip) >= GOSSIP_QUEUE:
            self.lost_messages += 1
            return
        self._gossip.append(message)
        self._has_gossip.set()

    async def events(self) -> AsyncIterator[Event]:
        """Yield the connected peers, then each change, without end. One caller only."""
        self._presence.forget_reported()
        while True:
            for change in self._presence.changes():
                yield change
            self._has_news.clear()
            await self._has_news.wait()

    async def receive_gossip(self, most: int) -> list[GossipMessage]:
        """Wait for messages and return at most `most` of them. One caller only."""
        while not self._gossip:
            self._has_gossip.clear()
            await self._has_gossip.wait()
        return [self._gossip.popleft() for _ in range(min(most, len(self._gossip)))]


class NetworkLink:
    """The core's end of one channel, from its first frame to its last."""

    def __init__(
        self,
        channel: ProcessChannel[Message],
        inbox: Inbox,
        answers: Mapping[str, Answer],
        *,
        max_questions: int,
    ) -> None:
        self._channel = channel
        self._inbox = inbox
        self._answers = answers
        self._max_questions = max_questions
        self._calls: Calls[Message] = Calls()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open_questions = 0
        self._lost_there = 0
        self.peer_id: PeerId | None = None
        self.addresses: tuple[str, ...] = ()
        self.open_streams = 0  # at the last ping
        self.ignored: dict[str, int] = {}  # number of messages so far, by reason; at the last ping

    async def run(self, *, on_up: Callable[[], None], on_down: Callable[[], None]) -> NoReturn:
        """Handle frames until the channel ends.

        Raises:
            ChannelError: it has ended.
            NetworkError: the process reports that it ends, or breaks the protocol.
        """
        self.start(self._watch())
        try:
            while True:
                self._take(await self._channel.receive(), on_up)
        finally:
            self.peer_id, self.addresses = None, ()
            on_down()  # at once, since `_finish` takes a while
            await self._finish()

    async def call(self, name: str, *arguments: Message) -> Message:
        """Send the process a call, and return the result.

        Raises:
            NetworkError: the call failed, or the process has ended.
        """
        with self._calls.open() as (number, result):
            try:
                await self._channel.send([name, number, *arguments])
            except ChannelError as fault:
                raise _is_down() from fault
            return await result

    def start(self, work: Coroutine[object, object, object]) -> None:
        """Run a coroutine in the background until the link ends; log its exceptions."""
        task = asyncio.create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Coroutine[object, object, object]) -> None:
        try:
            await work
        except (NetworkError, ChannelError) as fault:
            _log.debug("%s", fault.message)
        except Exception:  # noqa: BLE001 (a supervisor: one task ends no other)
            _log.exception("the core's side of the network failed")

    async def _finish(self) -> None:
        self._calls.fail_all(_is_down())
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._inbox.leave_all()

    async def _watch(self) -> None:
        """End the link to a process that no longer answers pings."""
        while True:
            await asyncio.sleep(PING_EVERY_S)
            try:
                async with asyncio.timeout(PONG_S):
                    self._look(await self.call("ping"))
            except TimeoutError:
                _log.warning("the network process has not answered for %g s", PONG_S)
                self._channel.close()
                return

    def _look(self, seen: Message) -> None:
        match seen:
            case [int(streams), dict(ignored)]:
                self.open_streams = streams
                self.ignored = {
                    why: number for why, number in ignored.items() if isinstance(number, int)
                }
            case _:
                _log.warning("the network process sent an invalid answer to a ping")
                self._channel.close()

    def _take(self, frame: Message, on_up: Callable[[], None]) -> None:
        match frame:
            case ["gossip", str(topic), str(peer), bytes(data)]:
                self._inbox.add_gossip(
                    GossipMessage(topic=topic, forwarder=PeerId(peer), data=data)
                )
            case ["done", int(number), value]:
                self._calls.answer(number, value)
            case ["failed", int(number), str(message), str(hint)]:
                self._calls.fail(number, NetworkError(message, hint))
            case ["question", int(number), str(peer), str(protocol), question]:
                self._take_question(number, PeerId(peer), protocol, question)
            case [
                "connected",
                str(peer),
                (str() | None) as address,
                bool(is_relayed),
                (str() | None) as host,
            ]:
                if len(self._inbox.peers) >= PEERS_LIMIT:
                    raise NetworkError("the network process reports too many peers")
                self._inbox.arrive(
                    Connected(peer=PeerId(peer), address=address, is_relayed=is_relayed, host=host)
                )
            case ["disconnected", str(peer)]:
                self._inbox.leave(PeerId(peer))
            case ["lost", int(messages)]:
                self._inbox.lost_messages += max(0, messages - self._lost_there)
                self._lost_there = messages
            case ["up", str(peer), list(addresses)]:
                self.peer_id, self.addresses = PeerId(peer), tuple(map(str, addresses))
                on_up()
            case ["down", str(message), str(hint)]:
                raise NetworkError(message, hint)
            case _:
                raise NetworkError("the network process sent an invalid frame")

    def _take_question(self, number: int, peer: PeerId, protocol: str, question: Message) -> None:
        if self._open_questions >= self._max_questions:
            raise NetworkError("the network process passed on too many requests")
        self._open_questions += 1
        self.start(self._answer(number, peer, protocol, question))

    async def _answer(self, number: int, peer: PeerId, protocol: str, question: Message) -> None:
        try:
            reply: list[Message] = ["refuse", number]
            try:
                async with asyncio.timeout(ANSWER_S):
                    answer = await self._answers[protocol](peer, question)
                check_size(answer, FRAME_LIMIT_BYTES)
                reply = ["answer", number, answer]
            except (ArnodeError, TimeoutError) as fault:
                _log.debug("a request of %s was not answered: %s", protocol, fault)
            except Exception:  # noqa: BLE001 (a supervisor: it ends this question only)
                _log.exception("answering %s failed", protocol)
            await self._channel.send(reply)
        finally:
            self._open_questions -= 1


def check_size(message: Message, limit_bytes: int) -> None:
    """Check that a message is not too long for peers to read.

    Raises:
        NetworkError: it is over the limit.
    """
    size = len(encode_message(message))
    if size > limit_bytes:
        raise NetworkError(
            f"the message has {size} bytes, more than {limit_bytes}", "send less at once"
        )


def _is_down() -> NetworkError:
    return NetworkError("the network is down", "it restarts by itself")
