"""Limits on peers' use of the core: budgets, counts of faults, and turns for questions.

Answering a question of a hundred bytes takes 1 to 10 ms, a question of a hundred kilobytes 40 ms.
The event loop that runs the research answers questions one after the other, within a share of its
time. The time for a peer's answers is added to the peer's debt and to the debt of its IP address;
both decrease over time. Small questions of peers with little debt come first, and some of that time
is reserved for them. Other questions follow, the smallest debt first. So a peer that asks for much
waits for peers that ask for little, no matter how many ids it uses, and is refused if it goes on.
The clock is in seconds.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from node.home.addresses import PeerId
from node.network.messages import encode_message
from node.network.peer_budgets import (
    PEERS_TRACKED,
    Allowance,
    Bucket,
    BudgetVerdict,
    CostKind,
    PeerLimits,
    Recent,
)
from node.peering.carrier import Answer, Carrier
from node.peering.messages import M, RefusedError
from protocol.errors import Rejected
from protocol.framing import Message

SHARE: Final = 0.25
# Available at once after a quiet time, so that a newcomer's pages need not wait.
BURST_S: Final = 5.0
# The part of `BURST_S` that only small questions of peers with little debt may use.
KEPT_S: Final = 2.0
SMALL_BYTES: Final = 4_096  # a hundred ids; a question for a page or for a part of a blob
LITTLE_DEBT_S: Final = 0.5
FORGIVEN: Final = 0.05  # seconds of debt forgiven in each second
# For peers over IPv6 or through a relay, whose addresses are not known.
_ELSEWHERE: Final = "elsewhere"
_LOOPBACK: Final = "127."

HostOf = Callable[[PeerId], str | None]
_log = logging.getLogger("node.peering")


class Misbehaviour:
    """The faults and the overuse of each peer. Reconnecting does not reset them.

    A few faults are forgiven, one a minute (`peer_budgets.ALLOWANCES`), since versions differ.
    Beyond `PEERS_TRACKED` peers, those unseen for longest are forgotten. `clock` is in seconds.
    """

    def __init__(self, carrier: Carrier, clock: Callable[[], float]) -> None:
        self._carrier = carrier
        # For questions and answers of peers, which only the core reads. The network process has its
        # own limits for the data that it handles itself (`NetworkHost._sent_limits`).
        self._asked_limits = PeerLimits(clock)

    async def blame(self, peer: PeerId, why: str, *, times: int = 1) -> None:
        """Count `times` faults against a peer, and drop it if it has too many."""
        _log.info("peer %s: %s", peer, why)
        if self._asked_limits.spend(peer, CostKind.FAULTS, times) is BudgetVerdict.DROP:
            await self._carrier.drop(peer, why)

    async def checked(self, peer: PeerId, what: str, question: M | Rejected) -> M:
        """Return the question if it is valid. Otherwise blame the peer and raise RefusedError."""
        if isinstance(question, Rejected):
            await self.blame(peer, f"{what} that is invalid: {question.reason}")
            raise RefusedError(f"{what} that is invalid: {question.reason}")
        return question

    async def allows(self, peer: PeerId, kind: CostKind, amount: float) -> bool:
        """Spend `amount` from a peer's budget for a kind of cost; return True if enough was left.

        A peer far beyond its budget is dropped.
        """
        verdict = self._asked_limits.spend(peer, kind, amount)
        if verdict is BudgetVerdict.DROP:
            await self._carrier.drop(peer, f"it asks for too much: {kind.name.lower()}")
        return verdict is BudgetVerdict.ALLOWED


@dataclass(eq=False, kw_only=True)
class _Asked:
    """A question that waits for its turn or is being answered."""

    peer: PeerId
    size_bytes: int
    turn: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class ServiceQuota:
    """A queue of peers' questions. `host_of` returns a peer's IPv4 address, if known."""

    def __init__(
        self,
        misbehaviour: Misbehaviour,
        clock: Callable[[], float],
        *,
        host_of: HostOf = lambda _peer: None,
    ) -> None:
        self._misbehaviour = misbehaviour
        self._clock = clock
        self._host_of = host_of
        self._debts: Recent[str, tuple[float, float]] = Recent(2 * PEERS_TRACKED)
        self._for_all = Bucket(clock, Allowance(per_s=SHARE, burst=BURST_S))
        self._for_others = Bucket(clock, Allowance(per_s=SHARE, burst=BURST_S - KEPT_S))
        self._waiting: list[_Asked] = []
        self._arrived = asyncio.Event()
        self._taking_turns: asyncio.Task[None] | None = None

    def limiting(self, answer: Answer) -> Answer:
        """Return `answer`, wrapped so that each question first waits for its turn."""
        return partial(self._answer_in_turn, answer)

    async def _answer_in_turn(self, answer: Answer, peer: PeerId, question: Message) -> Message:
        if not await self._misbehaviour.allows(peer, CostKind.TIME, 0.0):
            raise RefusedError("its requests took too much time")
        asked = _Asked(peer=peer, size_bytes=len(encode_message(question)))
        self._waiting.append(asked)
        self._arrived.set()
        if self._taking_turns is None or self._taking_turns.done():
            self._taking_turns = asyncio.create_task(self._take_turns())
        try:
            await asked.turn.wait()
            started_s = self._clock()
            try:
                return await answer(peer, question)
            finally:
                await self._note(peer, self._clock() - started_s)
        finally:  # also if the asking peer has gone or waited too long
            asked.ended.set()
            with contextlib.suppress(ValueError):
                self._waiting.remove(asked)

    async def _take_turns(self) -> None:
        while self._waiting:
            self._arrived.clear()
            asked = min(self._waiting, key=self._rank)
            pacer = self._for_all if self._is_light(asked) else self._for_others
            wait_s = pacer.wait_s(0.0)
            if wait_s > 0:
                await wait_for(self._arrived, wait_s)  # a smaller question may arrive meanwhile
                continue
            self._waiting.remove(asked)
            asked.turn.set()
            await asked.ended.wait()
            await asyncio.sleep(0)  # let other tasks run

    async def _note(self, peer: PeerId, took_s: float) -> None:
        for pacer in (self._for_all, self._for_others):
            pacer.wait_s(took_s)  # the next question waits for this
        for debtor in {str(peer), self._host(peer)}:
            self._debts[debtor] = (self._debt_s(debtor) + took_s, self._clock())
        await self._misbehaviour.allows(peer, CostKind.TIME, took_s)

    def _rank(self, asked: _Asked) -> tuple[bool, float, float]:
        """Return a question's sort key. Questions with equal keys keep the order of arrival."""
        debts_s = (self._debt_s(self._host(asked.peer)), self._debt_s(asked.peer))
        return (not self._is_light(asked), *debts_s)

    def _is_light(self, asked: _Asked) -> bool:
        return asked.size_bytes <= SMALL_BYTES and self._debt_s(asked.peer) < LITTLE_DEBT_S

    def _debt_s(self, debtor: str) -> float:
        debt_s, at_s = self._debts.get(debtor, (0.0, 0.0))
        return max(0.0, debt_s - (self._clock() - at_s) * FORGIVEN)

    def _host(self, peer: PeerId) -> str:
        """Return a key for the debt of a peer's IP address; for a peer on this machine, its id."""
        host = self._host_of(peer)
        if host is None:
            return _ELSEWHERE
        return peer if host.startswith(_LOOPBACK) else host


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, for at most `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
