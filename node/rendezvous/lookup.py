"""Finds the servers closest to a key, and who provides it: six questions at once, closest first.

As in Kademlia (Maymounkov & Mazières, 2002), but one that answers to nobody: at most 60 questions
in 45 seconds, one at each machine, whatever the answers say.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import trio

from node.network.errors import NetworkError
from node.rendezvous.kademlia import BUCKET, Answer, Place, distance

AT_ONCE: Final = 6
MOST_QUESTIONS: Final = 60
LOOKUP_S: Final = 45.0

Ask = Callable[[Place], Awaitable[Answer]]  # raises NetworkError


@dataclass(slots=True)
class Lookup:
    """One lookup. `own` is this node's id, which is asked nothing; `ask` puts the question.

    Afterwards `closest` are the servers that answered, `providers` who provides the key, each with
    the servers that say so.
    """

    key: bytes
    own: bytes
    ask: Ask
    providers: dict[Place, set[bytes]] = field(default_factory=dict)
    questions: int = 0
    _known: dict[bytes, list[Place]] = field(default_factory=dict)  # not asked yet, by peer
    _far: dict[bytes, int] = field(default_factory=dict)  # how, by peer that may be asked
    _answered: dict[bytes, Place] = field(default_factory=dict)
    _asking: set[bytes] = field(default_factory=set)
    _hosts: set[str] = field(default_factory=set)  # that were asked
    _has_changed: trio.Event = field(default_factory=trio.Event)

    @property
    def closest(self) -> tuple[Place, ...]:
        """The closest servers that answered, the closest first."""
        ranked = sorted(self._answered, key=self._far.__getitem__)
        return tuple(self._answered[peer] for peer in ranked[:BUCKET])

    async def run(self, entries: Iterable[Place]) -> None:
        """Begin with these servers, and go on until nobody closer is heard of."""
        self._hear(entries)
        with trio.move_on_after(LOOKUP_S):
            async with trio.open_nursery() as nursery:
                for _ in range(AT_ONCE):
                    nursery.start_soon(self._work)

    def note(self, server: Place, answer: Answer) -> None:
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

    def _next(self) -> Place | None:
        """Return the closest that was not asked yet, unless enough of those closer answered."""
        if self.questions >= MOST_QUESTIONS:
            return None
        answered = 0
        for peer in sorted(self._far, key=self._far.__getitem__):
            answered += peer in self._answered
            if answered >= BUCKET:
                return None
            if peer in self._answered or peer in self._asking:
                continue
            while self._known[peer]:
                place = self._known[peer].pop(0)
                if place.host not in self._hosts:
                    return place
            del self._far[peer]  # it answers nowhere
        return None

    def _hear(self, places: Iterable[Place]) -> None:
        for place in places:
            if place.peer == self.own or place.host in self._hosts:
                continue
            known = self._known.setdefault(place.peer, [])
            if place not in known:
                known.append(place)
                self._far[place.peer] = distance(self.key, place.peer)
