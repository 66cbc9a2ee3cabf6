"""The host's end of the link with the core: calls in, events out (`node.network.contract`).

If the core is slow, peers wait or are refused, so this process's memory stays bounded. One trio
task writes to the core. Every other task hands it one frame and waits until the frame is taken, so
no more frames wait than there are tasks. Gossip waits in a bounded queue; messages that do not fit
are lost and counted. Connects and disconnects are sent as the changes since the last report.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Final
from weakref import WeakValueDictionary

import trio

from node.home.addresses import PeerId
from node.network.asking import QuestionStreams
from node.network.contract import ANSWER_S, QUESTIONS, QUESTIONS_PER_PEER, NetworkSettings
from node.network.errors import (
    FrameError,
    FrameMalformedError,
    FrameStalledError,
    FrameTooLongError,
    NetworkError,
)
from node.network.frames import QUESTIONS_READ, FrameStream
from node.network.gossip import Validator
from node.network.host import NetworkHost
from node.network.peer_budgets import BudgetVerdict, CostKind
from node.network.presence import Connected
from protocol.errors import ArnodeError, describe_fault
from protocol.framing import Message

FAREWELL_S: Final = 5.0  # on a busy machine even writing a short answer takes a while
READ_S: Final = 1.0  # for the peer to read: js-libp2p loses data sent just before a connection ends
_log = logging.getLogger(__name__)

Call = Callable[..., Awaitable[Message]]


@dataclass(frozen=True)
class _Question:
    """A peer's question that the core is answering, with the channel for the answer.

    `is_done` is set once the answer is written or abandoned.
    """

    peer: PeerId
    answers: trio.MemorySendChannel[Message]
    is_done: trio.Event = field(default_factory=trio.Event)


class CoreLink:
    """A link that carries frames between a running host and the core until the channel closes."""

    def __init__(self, host: NetworkHost, core: FrameStream, nursery: trio.Nursery) -> None:
        self._host = host
        self._core = core
        self._nursery = nursery
        self._outgoing, self._to_send = trio.open_memory_channel[Message](0)
        self._has_changed = trio.Event()
        self._numbers = count()
        self._open: dict[int, _Question] = {}
        self._last_answered: WeakValueDictionary[PeerId, _Question] = WeakValueDictionary()
        self._waiting: Counter[PeerId] = Counter()  # questions without an answer
        self._parting: set[PeerId] = set()  # they get no more answers and are disconnected soon
        self._max_peers = 0
        self._turns: WeakValueDictionary[PeerId, trio.Semaphore] = WeakValueDictionary()
        self._asking = QuestionStreams(host, nursery)
        self._calls: dict[str, Call] = {
            "dial": self._dial,
            "disconnect": host.disconnect,
            "drop": self._drop,
            "publish": host.publish,
            "reserve": host.reserve,
            "ask": self._ask,
            "serve": self._serve,
            "ping": self._ping,
        }

    async def run(self, settings: NetworkSettings, validator: Validator) -> None:
        """Serve the protocols and topics that the settings name until the channel ends."""
        self._max_peers = settings.max_peers
        for protocol in settings.protocols:
            await self._serve(protocol)
        for peer in settings.banned:
            await self._host.drop(peer)
        self._nursery.start_soon(self._write)
        self._nursery.start_soon(self._asking.run)
        self._host.tracker.on_event(self._note_change)
        for topic in settings.topics:
            await self._host.subscribe(topic, validator)
        await self._outgoing.send(["up", self._host.peer_id, list(self._host.addresses)])
        self._nursery.start_soon(self._report_changes)
        self._nursery.start_soon(self._report_gossip)
        await self._take_calls()

    # To the core

    async def _write(self) -> None:
        """Write frames to the core; report a new peer before its first message."""
        async for frame in self._to_send:
            try:
                for change in self._host.tracker.presence.changes():
                    await self._core.send(
                        ["connected", change.peer, change.address, change.is_relayed, change.host]
                        if isinstance(change, Connected)
                        else ["disconnected", change.peer]
                    )
                if frame is not None:
                    await self._core.send(frame)
            except FrameError:
                # The core has gone.
                self._nursery.cancel_scope.cancel()
                return

    def _note_change(self) -> None:
        self._has_changed.set()

    async def _report_changes(self) -> None:
        self._host.tracker.look()
        self._has_changed.set()
        while True:
            await self._has_changed.wait()
            self._has_changed = trio.Event()
            await self._outgoing.send(None)

    async def _report_gossip(self) -> None:
        reported = 0
        async for message in self._host.messages:
            if (lost := self._host.lost_messages) != reported:
                reported = lost
                await self._outgoing.send(["lost", lost])
            await self._outgoing.send(["gossip", message.topic, message.forwarder, message.data])

    # Peers' questions

    async def _serve(self, protocol: str) -> None:
        self._host.serve(protocol, partial(self._answer, protocol), QUESTIONS_READ)

    async def _answer(self, protocol: str, peer: PeerId, frames: FrameStream) -> None:
        """Answer a peer's questions on one stream, in order.

        At most `QUESTIONS_PER_PEER` of a peer's questions are read and answered at a time, which
        bounds the memory that a peer can fill. An idle stream, kept for later questions, does not
        count.
        """
        turns = self._turns.setdefault(peer, trio.Semaphore(QUESTIONS_PER_PEER))
        try:
            while True:
                await frames.await_next()
                async with turns:
                    before = frames.received_bytes
                    question = await frames.receive()
                    self._host.tracker.look()
                    size_bytes = frames.received_bytes - before
                    if not await self._may_ask(peer, size_bytes) or not await self._pass_on(
                        protocol, peer, question, frames
                    ):
                        break
        except FrameStalledError:
            pass  # not a fault: the peer's machine may have been suspended
        await frames.reset()

    async def _may_ask(self, peer: PeerId, size_bytes: int) -> bool:
        if peer in self._parting:
            return False
        verdicts = {
            self._host.spend(peer, CostKind.QUESTIONS, 1),
            self._host.spend(peer, CostKind.BYTES, size_bytes),
        }
        if BudgetVerdict.DROP in verdicts:
            await self._host.drop(peer)
        most = QUESTIONS if self._waiting[peer] else QUESTIONS + self._max_peers
        return verdicts == {BudgetVerdict.ALLOWED} and len(self._open) < most

    async def _pass_on(
        self, protocol: str, peer: PeerId, question: Message, frames: FrameStream
    ) -> bool:
        """Pass a question to the core and its answer to the peer.

        Return False if a step fails or the answer is late.
        """
        number = next(self._numbers)
        to_answer, answers = trio.open_memory_channel[Message](1)
        asked = self._open[number] = _Question(peer, to_answer)
        self._waiting[peer] += 1
        try:
            with trio.fail_after(ANSWER_S):
                await self._outgoing.send(["question", number, peer, protocol, question])
                answer = await answers.receive()
            await frames.send(answer)
        except (trio.TooSlowError, trio.EndOfChannel):
            return False
        except FrameTooLongError as fault:
            _log.warning("an answer to %s was not sent: %s", protocol, fault.message)
            return False
        finally:
            self._end(number)
            self._waiting -= Counter([peer])
            asked.is_done.set()
        return True

    def _end(self, number: int) -> None:
        """Forget a question; a later answer to it is ignored."""
        waiting = self._open.pop(number, None)
        if waiting is not None:
            waiting.answers.close()

    # The core's calls

    async def _take_calls(self) -> None:
        while True:
            try:
                frame = await self._core.receive()
            except FrameError:
                return
            match frame:
                case ["answer", int(number), answer]:
                    if number in self._open:  # else the peer has gone
                        question = self._open[number]
                        question.answers.send_nowait(answer)
                        self._last_answered[question.peer] = question
                        self._end(number)
                case ["refuse", int(number)]:
                    self._end(number)
                case [str(name), int(number), *arguments] if name in self._calls:
                    self._nursery.start_soon(self._run_call, name, number, arguments)
                case _:
                    _log.error("the core sent a frame that is not a call")

    async def _run_call(self, name: str, number: int, arguments: list[Message]) -> None:
        try:
            result = await self._calls[name](*arguments)
        except ArnodeError as fault:
            await self._outgoing.send(["failed", number, fault.message, fault.hint])
        except Exception as fault:  # noqa: BLE001 (a supervisor: one call ends no other)
            _log.warning("%s failed: %s", name, describe_fault(fault))
            await self._outgoing.send(
                ["failed", number, f"{name} failed: {describe_fault(fault)}", ""]
            )
        else:
            await self._outgoing.send(["done", number, result])

    async def _dial(self, address: str) -> Message:
        peer = await self._host.connect(address)
        self._host.tracker.look()
        return peer

    async def _drop(self, peer: PeerId, why: str) -> None:
        _log.warning("dropped %s: %s", peer, describe_fault(why))
        # The last answer may contain the reason: give the peer time to read it.
        self._parting.add(peer)
        if (answered := self._last_answered.get(peer)) is not None:
            with trio.move_on_after(FAREWELL_S):
                await answered.is_done.wait()
        await trio.sleep(READ_S)
        await self._host.drop(peer)
        self._parting.discard(peer)

    async def _ping(self) -> Message:
        await trio.lowlevel.checkpoint()
        return [self._host.open_streams, dict(self._host.ignored_messages)]

    async def _ask(
        self, peer: PeerId, protocol: str, timeout_s: float, question: Message
    ) -> Message:
        try:
            with trio.fail_after(timeout_s):
                return await self._asking.ask(peer, protocol, question)
        except trio.TooSlowError:
            raise NetworkError(
                f"{peer} did not answer {protocol} within {timeout_s:g} s", "ask another peer"
            ) from None
        except FrameError as fault:
            if isinstance(fault, FrameMalformedError | FrameTooLongError):
                self._host.report(peer, f"{protocol}: {fault.message}")
            raise NetworkError(
                f"{peer} did not answer {protocol}: {fault.message}", "ask another peer"
            ) from fault
