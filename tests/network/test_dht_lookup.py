"""A lookup finds the closest servers and the providers within its budget."""

from collections.abc import Callable, Iterable
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from node.network.dht_contract import key_of
from node.network.dht_lookup import AT_ONCE, LOOKUP_S, MOST_QUESTIONS, Lookup
from node.network.errors import NetworkError
from node.network.kademlia import BUCKET, Answer, DhtPeer, distance
from tests.network.arena import run

KEY = key_of("main", "2026-03-01")
OWN = b"own"


def server(number: int, *, host: str | None = None) -> DhtPeer:
    """Return one of 65,536 servers, each on a machine of its own."""
    host = host or f"11.0.{number >> 8}.{number & 255}"
    return DhtPeer(peer=b"server" + number.to_bytes(2, "big"), host=host, port=4001)


def by_distance(servers: Iterable[DhtPeer]) -> list[DhtPeer]:
    return sorted(servers, key=lambda one: distance(KEY, one.peer))


class Servers:
    """Servers that know some closer ones; `behave` makes some of them lie."""

    def __init__(
        self, count: int, behave: Callable[[DhtPeer], Answer | None] | None = None
    ) -> None:
        self.all = by_distance(server(number) for number in range(count))
        self.asked: list[DhtPeer] = []
        self.most_at_once = 0
        self._now = 0
        self._behave = behave or (lambda _: None)

    async def ask(self, place: DhtPeer) -> Answer:
        self.asked.append(place)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await trio.sleep(0.001)
            if (answer := self._behave(place)) is not None:
                return answer
            if place not in self.all:
                raise NetworkError("nobody there")
            at = self.all.index(place)
            return Answer(providers=(), closer=tuple(self.all[max(0, at // 2 - 10) :][:BUCKET]))
        finally:
            self._now -= 1


def look_up(servers: Servers, *entries: DhtPeer) -> Lookup:
    lookup = Lookup(KEY, OWN, servers.ask)
    run(partial(lookup.run, entries))
    return lookup


def test_the_closest_are_found_in_any_order() -> None:
    servers = Servers(400)
    lookup = look_up(servers, servers.all[-1], servers.all[300])
    assert lookup.closest == tuple(servers.all[:BUCKET])
    assert lookup.questions == len(servers.asked) <= MOST_QUESTIONS
    assert servers.most_at_once <= AT_ONCE


def test_who_provides_is_found_once_and_never_oneself() -> None:
    provider = server(60_000)
    reply = Answer(
        providers=(provider, provider, DhtPeer(peer=OWN, host="1.2.3.4", port=1)), closer=()
    )
    servers = Servers(30, lambda place: reply if place == servers.all[3] else None)
    lookup = look_up(servers, *servers.all)
    assert lookup.providers == {provider: {servers.all[3].peer}}


def test_without_anybody_to_ask_nobody_is_asked() -> None:
    lookup = look_up(Servers(0))
    assert (lookup.questions, lookup.closest) == (0, ())


def test_one_that_is_not_there_is_tried_at_its_other_address() -> None:
    servers = Servers(10)
    elsewhere = DhtPeer(peer=servers.all[0].peer, host="12.0.0.1", port=4001)
    lookup = look_up(servers, elsewhere, *servers.all[5:])
    assert servers.asked.count(elsewhere) == 1
    assert lookup.closest == tuple(servers.all)


def test_liars_cost_bounded_questions_one_at_each_machine() -> None:
    made_up = iter(range(1000, 60_000))

    def lie(place: DhtPeer) -> Answer | None:
        if place in servers.all and place.peer[-1] % 2:  # those that it invents are nowhere
            return Answer(providers=(), closer=tuple(server(next(made_up)) for _ in range(BUCKET)))
        return None

    servers = Servers(40, lie)
    honest = [one for one in servers.all if not one.peer[-1] % 2]
    lookup = look_up(servers, honest[-1], servers.all[-1])
    assert lookup.questions <= MOST_QUESTIONS
    assert len({one.host for one in servers.asked}) == len(servers.asked)
    assert len(set(servers.asked) - set(servers.all)) < 20  # who is nowhere
    assert len(set(lookup.closest) & set(honest)) > 5


def test_a_machine_that_is_named_by_many_ids_is_asked_once() -> None:
    crowd = tuple(server(number, host="13.0.0.1") for number in range(5000, 5000 + BUCKET))
    reply = Answer(providers=(), closer=crowd)
    servers = Servers(4, lambda place: reply if place in servers.all else None)
    look_up(servers, *servers.all)
    assert sum(one.host == "13.0.0.1" for one in servers.asked) == 1


def test_silent_servers_do_not_hold_it_up_for_longer_than_it_may_take() -> None:
    async def never(_: DhtPeer) -> Answer:
        await trio.sleep_forever()
        raise AssertionError

    async def test() -> float:
        began_s = trio.current_time()
        await Lookup(KEY, OWN, never).run([server(number) for number in range(10)])
        return trio.current_time() - began_s

    took_s = trio.run(test, clock=MockClock(autojump_threshold=0))
    assert took_s == pytest.approx(LOOKUP_S)
