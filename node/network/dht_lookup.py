"""A search for the servers closest to a key and for the key's providers.

The search works as in Kademlia (Maymounkov & Mazières, 2002): it asks six servers at a time, the
closest first. Unlike in Kademlia, answers cannot prolong the search: it sends at most 60 questions
in 45 seconds, at most one to each host. Among the closest servers it prefers those that most
servers name. Once eight servers have answered, it skips servers that only one server names. Such a
server may be invented or long dead, and asking it costs seconds.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import trio

from node.network.errors import NetworkError
from node.network.kademlia import BUCKET, Answer, DhtPeer, distance

AT_ONCE: Final = 6
MOST_QUESTIONS: Final = 60
LOOKUP_S: Final = 45.0
_FEW: Final = 8  # answers, from which on one server's word is not enough
_TRUSTED: Final = 2  # servers that must name a peer then

Ask = Callable[[DhtPeer], Awaitable[Answer]]  # raises NetworkError


@dataclass(slots=True)
class Lookup:
    """The state of one lookup of `key`.

    `own` is this node's id; this node is never asked. `ask` asks a peer about the key.
    After `run`, `closest` holds the servers that answered. `providers` holds the key's providers,
    each with the servers that named it.
    """

    key: bytes
    own: bytes
    ask: Ask
    providers: dict[DhtPeer, set[bytes]] = field(default_factory=dict)
    questions: int = 0
    _known: dict[bytes, list[DhtPeer]] = field(
        default_factory=dict
    )  # addresses not asked yet, by peer
    _far: dict[bytes, int] = field(default_factory=dict)  # distances from the key
    _named: Counter[bytes] = field(default_factory=Counter)  # number of servers that name a peer
    _answered: dict[bytes, DhtPeer] = field(default_factory=dict)
    _asking: set[bytes] = field(default_factory=set)
    _hosts: set[str] = field(default_factory=set)  # hosts that were asked
    _has_changed: trio.Event = field(default_factory=trio.Event)

    @property
    def closest(self) -> tuple[DhtPeer, ...]:
        """The servers closest to the key among those that answered, the closest first."""
        ranked = sorted(self._answered, key=self._far.__getitem__)
        return tuple(self._answered[peer] for peer in ranked[:BUCKET])

    async def run(self, entries: Iterable[DhtPeer]) -> None:
        """Ask the servers in `entries`, and then closer ones until no server names a closer one."""
        self._note_peers(entries, by=_TRUSTED)
        with trio.move_on_after(LOOKUP_S):
            async with trio.open_nursery() as nursery:
                for _ in range(AT_ONCE):
                    nursery.start_soon(self._work)

    def note(self, server: DhtPeer, answer: Answer) -> None:
        """Store the key's providers that a server names, except this node."""
        for one in answer.providers:
            if one.peer != self.own:
                self.providers.setdefault(one, set()).add(server.peer)

    async def _work(self) -> None:
        while True:
            place = self._next()
            if place is None:
                if not self._asking:
                    return
                await self._has_changed.wait()
                continue
            self.questions += 1
            self._hosts.add(place.host)
            self._asking.add(place.peer)
            try:
                answer = await self.ask(place)
            except NetworkError:
                pass  # try another address of the peer, or another peer
            else:
                self._answered[place.peer] = place
                self.note(place, answer)
                self._note_peers(answer.closer)
            finally:
                self._asking.discard(place.peer)
                self._has_changed.set()
                self._has_changed = trio.Event()

    def _next(self) -> DhtPeer | None:
        """Return the address to ask next, or None if no address qualifies now."""
        if self.questions >= MOST_QUESTIONS:
            return None
        least = 1 if len(self._answered) < _FEW else _TRUSTED
        open_ = [peer for peer in self._closest_open() if self._named[peer] >= least]
        # The list is sorted by distance, so `max` returns the closest of equals.
        best = max(open_, key=self._named.__getitem__, default=None)
        return None if best is None else self._known[best].pop(0)

    def _closest_open(self) -> list[bytes]:
        """Return the peers not asked yet that may be among the closest, closest first.

        Peers farther from the key than the 20 closest servers that answered are left out.
        """
        answered, found = 0, []
        for peer in sorted(self._far, key=self._far.__getitem__):
            answered += peer in self._answered
            if answered >= BUCKET:
                break
            if peer in self._answered or peer in self._asking:
                continue
            self._known[peer] = [one for one in self._known[peer] if one.host not in self._hosts]
            if self._known[peer]:
                found.append(peer)
            else:
                del self._far[peer]  # no address is left to ask
        return found[:BUCKET]

    def _note_peers(self, places: Iterable[DhtPeer], *, by: int = 1) -> None:
        """Store addresses of peers. `by` is added to the count of servers that name each peer."""
        named = [place for place in places if place.peer != self.own]
        self._named.update(dict.fromkeys({place.peer for place in named}, by))
        for place in named:
            known = self._known.setdefault(place.peer, [])
            if place.host not in self._hosts and place not in known:
                known.append(place)
                self._far[place.peer] = distance(self.key, place.peer)
