"""Finds the servers closest to a key, and who provides it: six questions at once, closest first.

As in Kademlia (Maymounkov & Mazières, 2002), but one that answers to nobody: at most 60 questions
in 45 seconds, one at each machine, whatever the answers say. Of the closest it asks whom most
servers name, and once some have answered nobody whom one alone names: what a liar invents, and what
died long ago, costs seconds each.
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
_FEW: Final = 8  # servers that answered, before which one's word is enough
_TRUSTED: Final = 2  # servers that name somebody

Ask = Callable[[DhtPeer], Awaitable[Answer]]  # raises NetworkError


@dataclass(slots=True)
class Lookup:
    """One lookup. `own` is this node's id, which is asked nothing; `ask` puts the question.

    Afterwards `closest` are the servers that answered, `providers` who provides the key, each with
    the servers that say so.
    """

    key: bytes
    own: bytes
    ask: Ask
    providers: dict[DhtPeer, set[bytes]] = field(default_factory=dict)
    questions: int = 0
    _known: dict[bytes, list[DhtPeer]] = field(default_factory=dict)  # not asked yet, by peer
    _far: dict[bytes, int] = field(default_factory=dict)  # how, by peer that may be asked
    _named: Counter[bytes] = field(default_factory=Counter)  # by how many, by peer
    _answered: dict[bytes, DhtPeer] = field(default_factory=dict)
    _asking: set[bytes] = field(default_factory=set)
    _hosts: set[str] = field(default_factory=set)  # that were asked
    _has_changed: trio.Event = field(default_factory=trio.Event)

    @property
    def closest(self) -> tuple[DhtPeer, ...]:
        """The closest servers that answered, the closest first."""
        ranked = sorted(self._answered, key=self._far.__getitem__)
        return tuple(self._answered[peer] for peer in ranked[:BUCKET])

    async def run(self, entries: Iterable[DhtPeer]) -> None:
        """Begin with these servers, and go on until nobody closer is heard of."""
        self._hear(entries, by=_TRUSTED)
        with trio.move_on_after(LOOKUP_S):
            async with trio.open_nursery() as nursery:
                for _ in range(AT_ONCE):
                    nursery.start_soon(self._work)

    def note(self, server: DhtPeer, answer: Answer) -> None:
        """Take in who provides the key as a server says, this node left out."""
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
                pass  # another of its places, or another peer
            else:
                self._answered[place.peer] = place
                self.note(place, answer)
                self._hear(answer.closer)
            finally:
                self._asking.discard(place.peer)
                self._has_changed.set()
                self._has_changed = trio.Event()

    def _next(self) -> DhtPeer | None:
        """Return whom to ask next, None if nobody is worth it now."""
        if self.questions >= MOST_QUESTIONS:
            return None
        least = 1 if len(self._answered) < _FEW else _TRUSTED
        open_ = [peer for peer in self._closest_open() if self._named[peer] >= least]
        # Of equals the closest: they are in this order.
        best = max(open_, key=self._named.__getitem__, default=None)
        return None if best is None else self._known[best].pop(0)

    def _closest_open(self) -> list[bytes]:
        """Return who is not asked yet of those closer than the last that counts, closest first."""
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
                del self._far[peer]  # it answers nowhere
        return found[:BUCKET]

    def _hear(self, places: Iterable[DhtPeer], *, by: int = 1) -> None:
        """Take in whom `by` servers name."""
        named = [place for place in places if place.peer != self.own]
        self._named.update(dict.fromkeys({place.peer for place in named}, by))
        for place in named:
            known = self._known.setdefault(place.peer, [])
            if place.host not in self._hosts and place not in known:
                known.append(place)
                self._far[place.peer] = distance(self.key, place.peer)
