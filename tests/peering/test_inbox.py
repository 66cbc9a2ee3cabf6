"""Messages that wait for a reader, and how long to wait for a process."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from node.home.addresses import PeerId
from node.network.presence import Connected, Disconnected, Presence
from node.peering.carrier import Event, GossipMessage
from node.peering.network_link import GOSSIP_QUEUE, Inbox
from node.processes.supervisor import Backoff

ONE, OTHER = PeerId("one"), PeerId("other")


def gossip_message(number: int) -> GossipMessage:
    return GossipMessage(topic="/t", forwarder=ONE, data=b"%d" % number)


async def take(inbox: Inbox, count: int) -> list[Event]:
    events = inbox.events()
    return [await anext(events) for _ in range(count)]


def test_a_reader_is_shown_who_is_there_already() -> None:
    inbox = Inbox()
    inbox.arrive(Connected(peer=ONE, address="/ip4"))
    inbox.arrive(Connected(peer=OTHER, address=None))
    inbox.leave(OTHER)
    assert asyncio.run(take(inbox, 1)) == [Connected(peer=ONE, address="/ip4")]


def test_gossip_that_finds_the_queue_full_is_counted() -> None:
    async def test() -> None:
        inbox = Inbox()
        inbox.arrive(Connected(peer=ONE, address=None))
        events = inbox.events()
        assert await anext(events) == Connected(peer=ONE, address=None)
        for number in range(GOSSIP_QUEUE + 7):
            inbox.add_gossip(gossip_message(number))
        inbox.leave_all()
        assert inbox.lost_messages == 7
        assert await anext(events) == Disconnected(peer=ONE)
        first = await inbox.receive_gossip(3)
        assert first == [gossip_message(number) for number in range(3)]
        assert (await inbox.receive_gossip(GOSSIP_QUEUE))[-1] == gossip_message(GOSSIP_QUEUE - 1)
        waiting = asyncio.create_task(inbox.receive_gossip(3))
        await asyncio.sleep(0)
        inbox.add_gossip(gossip_message(1))
        assert await waiting == [gossip_message(1)]

    asyncio.run(test())


@given(st.lists(st.tuples(st.sampled_from([ONE, OTHER]), st.sampled_from(["in", "out", "tell"]))))
def test_what_is_reported_makes_sense_and_ends_at_the_truth(
    happenings: list[tuple[PeerId, str]],
) -> None:
    presence = Presence()
    believed: set[PeerId] = set()

    def notify() -> None:
        for change in presence.changes():
            if isinstance(change, Connected):
                assert change.peer not in believed
                believed.add(change.peer)
            else:
                believed.remove(change.peer)
        assert believed == set(presence.peers)

    for peer, happening in happenings:
        if happening == "in":
            presence.arrive(Connected(peer=peer, address=None))
        elif happening == "out":
            presence.leave(peer)
        else:
            notify()
    notify()


def test_a_peer_that_left_and_came_back_did_both() -> None:
    presence = Presence()
    presence.arrive(Connected(peer=ONE, address=None))
    assert len(list(presence.changes())) == 1
    presence.leave(ONE)
    presence.arrive(Connected(peer=ONE, address="/a"))
    assert list(presence.changes()) == [
        Disconnected(peer=ONE),
        Connected(peer=ONE, address="/a"),
    ]
    assert list(presence.changes()) == []


def test_waits_double_and_start_again_after_a_healthy_life() -> None:
    backoff = Backoff()
    assert [backoff.wait_s(1) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert [backoff.wait_s(lived_s) for lived_s in (61, 1)] == [0.5, 1]
