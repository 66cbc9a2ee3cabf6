"""The search for a network's nodes in libp2p's public DHT, under the network's name.

This is the core's side of `node.network.dht_program`. Once this node can be dialled, it is
announced under a key derived from the network's name and the day, and it looks for other nodes
under that key. Addresses go to the address book, which bounds how many are tried and how often.
"""

import asyncio
import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from node.home.addresses import Address, parse_address
from node.home.clock import is_in_future
from node.home.network_definition import Network
from node.network.contract import FRAMING
from node.network.dht_contract import (
    KEYS,
    MOST_SENT,
    RENDEZVOUS_S,
    RendezvousRequest,
    RendezvousResult,
    key_of,
)
from node.processes.child import ChildProgram
from protocol.errors import Rejected
from protocol.framing import ChannelError, Message

ALONE_S: Final = 1200.0  # between two rendezvous while no peer is connected
SETTLED_S: Final = 3 * 3600.0
_LOOKED_S = 1.0
_DAY_S = 86_400
_log = logging.getLogger("node.peering")


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRendezvous:
    """The outcome of the last rendezvous.

    `at_s`: seconds since 1970. `fault`: the reason it failed, if it did.
    """

    at_s: float
    found: int = 0  # peers
    asked: int = 0  # questions
    answered: int = 0
    announced: int = 0
    fault: str | None = None


class Rendezvous:
    """A search for other nodes, which works while `run` is running.

    `reached_at` returns where this node can be dialled, `peers` returns the number of connected
    peers, and `found` is called with the addresses of a rendezvous. `clock`: seconds since 1970,
    which may jump.
    """

    def __init__(
        self,
        network: Network,
        transport_seed: bytes,
        *,
        hidden: Sequence[Path],
        reached_at: Callable[[], tuple[str, ...]],
        peers: Callable[[], int],
        found: Callable[[Sequence[Address]], None],
        clock: Callable[[], float],
    ) -> None:
        self._network = network
        self._transport_seed = transport_seed
        self._program = ChildProgram(
            name="the process that asks the DHT",
            module="node.network.dht_program",
            framing=FRAMING,
            hidden=tuple(hidden),
        )
        self._reached_at = reached_at
        self._peers = peers
        self._found = found
        self._clock = clock
        self._announced: tuple[str, ...] = ()
        self.last: LastRendezvous | None = None

    @property
    def next_s(self) -> float:
        """The time of the next rendezvous, in seconds since 1970; 0 before the first."""
        if self.last is None:
            return 0.0
        is_settled = self._peers() > 0 and self._to_announce() == self._announced
        return self.last.at_s + (SETTLED_S if is_settled else ALONE_S)

    async def run(self) -> None:
        """Look for nodes whenever that is due. Never returns."""
        while True:
            is_waiting = is_in_future(self.next_s, self._clock(), most_s=SETTLED_S)
            if self._reached_at() and not is_waiting:
                self.last = await self._look_up()
                self._say(self.last)
            await asyncio.sleep(_LOOKED_S)

    async def _look_up(self) -> LastRendezvous:
        self._announced = self._to_announce()
        request = RendezvousRequest(
            transport_seed=self._transport_seed,
            entries=self._network.dht,
            keys=self._keys(),
            addresses=self._announced,
        )
        try:
            async with asyncio.timeout(RENDEZVOUS_S), self._program.running() as channel:
                await channel.send(cast("Message", request.to_value()))
                result = _read(await channel.receive())
        except (ChannelError, OSError, TimeoutError) as fault:
            return LastRendezvous(at_s=self._clock(), fault=str(fault) or "it took too long")
        if isinstance(result, Rejected):
            return LastRendezvous(at_s=self._clock(), fault=result.reason)
        read = [parse_address(text) for text in result.found]
        found = [one for one in read if isinstance(one, Address)]
        self._found(found)
        return LastRendezvous(
            at_s=self._clock(),
            found=len({address.key for address in found}),
            asked=result.asked,
            answered=result.answered,
            announced=result.announced,
        )

    def _keys(self) -> tuple[bytes, ...]:
        """Return today's and yesterday's keys: clocks differ, and providers stay for a day."""
        days = [self._clock() - _DAY_S * ago for ago in range(KEYS)]
        return tuple(key_of(self._network.name, _day(one)) for one in days)

    def _to_announce(self) -> tuple[str, ...]:
        """Return this node's direct addresses only: those at relays are invalid by tomorrow."""
        read = {text: parse_address(text) for text in self._reached_at()}
        direct = [
            text for text, one in read.items() if isinstance(one, Address) and one.relay is None
        ]
        return tuple(direct[:MOST_SENT])

    def _say(self, last: LastRendezvous) -> None:
        again_min = ALONE_S / 60
        if last.fault is not None:
            _log.warning("the DHT cannot be reached, next try in %g min: %s", again_min, last.fault)
        elif not last.answered:
            _log.warning("no DHT server answered, next try in %g min", again_min)
        elif last.found:
            _log.info(
                "the DHT names %d peers; %d of its servers answered, %d know this node",
                *(last.found, last.answered, last.announced),
            )
        elif not self._peers():
            _log.info(
                "no peer found yet (%d DHT servers answered); next try in %g min. "
                "`arnode network invite` prints a line to invite someone",
                *(last.answered, again_min),
            )


def _read(answer: Message) -> RendezvousResult | Rejected:
    match answer:
        case ["found", dict() as value]:
            return RendezvousResult.from_value(value)
        case ["down", str(message), str(_)]:
            return Rejected(message)
    return Rejected("an invalid answer")


def _day(at_s: float) -> str:
    return dt.datetime.fromtimestamp(at_s, dt.UTC).date().isoformat()
