"""Names of servers are looked up, and a hostile answer leads to a bounded number of lookups."""

from collections import Counter
from collections.abc import Sequence

import pytest
import trio
from dns.asyncresolver import Resolver

from node.network.dnsaddr import places_of
from tests.network.arena import run
from tests.network.zone import Zone, answer_of, name_in
from tests.node.peer_addresses import peer

ID, OTHER = peer(1), peer(2)
HERE = f"/ip4/192.31.196.1/tcp/4001/p2p/{ID}"


class Names:
    """A DNS server on loopback that answers for names; None: nothing."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self.asked: Counter[str] = Counter()

    async def look_up(self, *entries: str) -> list[str]:
        """Resolve entries with this server alone."""
        with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as end:
            await end.bind(("127.0.0.1", 0))
            resolver = Resolver(configure=False)
            resolver.nameservers, resolver.port = ["127.0.0.1"], end.getsockname()[1]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._serve, end)
                found = await places_of(entries, resolver)
                nursery.cancel_scope.cancel()
        return [str(place) for place in found]

    async def _serve(self, end: trio.socket.SocketType) -> None:
        while True:
            data, sender = await end.recvfrom(4096)
            self.asked[name_in(data)] += 1
            answer = answer_of(data, self._zone)
            if answer is not None:
                await end.sendto(answer.to_wire(), sender)


def look_up(zone: Zone, *entries: str) -> tuple[list[str], Names]:
    names = Names(zone)
    found: list[str] = []

    async def test() -> None:
        found.extend(await names.look_up(*entries))

    run(test)
    return found, names


def of(zone: dict[str, list[str]]) -> Zone:
    return lambda name: zone.get(name, [])


def test_an_address_stands_for_itself_and_asks_nobody() -> None:
    found, names = look_up(of({}), HERE)
    assert found == [HERE]
    assert names.asked == {}


def test_a_name_leads_to_others_and_those_to_addresses() -> None:
    zone = {
        "example.org": [f"dnsaddr=/dnsaddr/am6.example.org/p2p/{ID}", "v=spf1 -all"],
        "am6.example.org": [
            f"dnsaddr={HERE}",
            f"dnsaddr=/ip4/192.31.196.1/udp/4001/quic-v1/p2p/{ID}",
        ],
    }
    found, _ = look_up(of(zone), f"/dnsaddr/example.org/p2p/{ID}")
    assert found == [HERE]


def test_a_name_speaks_for_nobody_but_whom_it_was_asked_for() -> None:
    zone = {"example.org": [f"dnsaddr=/ip4/192.31.196.1/tcp/4001/p2p/{OTHER}"]}
    found, _ = look_up(of(zone), f"/dnsaddr/example.org/p2p/{ID}")
    assert found == []


def test_a_name_that_is_not_there_leaves_the_others() -> None:
    found, _ = look_up(of({}), f"/dnsaddr/example.org/p2p/{ID}", HERE)
    assert found == [HERE]


def test_names_that_lead_on_for_ever_are_followed_two_levels_and_asked_a_bounded_number() -> None:
    def zone(name: str) -> Sequence[str]:
        return [f"dnsaddr=/dnsaddr/{number}.{name}/p2p/{ID}" for number in range(40)]

    found, names = look_up(zone, f"/dnsaddr/example.org/p2p/{ID}")
    assert found == []
    assert max(name.count(".") for name in names.asked) == 2
    assert names.asked.total() <= 32


def test_texts_that_are_no_addresses_are_left_out() -> None:
    zone = {"example.org": [f"dnsaddr=/ip4/x/p2p/{ID}", "dnsaddr=", f"dnsaddr={HERE}"]}
    found, _ = look_up(of(zone), f"/dnsaddr/example.org/p2p/{ID}")
    assert found == [HERE]


@pytest.mark.parametrize(
    "host", ["ip4/127.0.0.1", "ip4/10.0.0.1", "ip4/169.254.169.254", "ip6/fec0::1", "ip6/2001::1"]
)
def test_a_name_leads_to_public_addresses_only_an_entry_anywhere(host: str) -> None:
    inside = f"/{host}/tcp/4001/p2p/{ID}"
    zone = {"example.org": [f"dnsaddr={inside}", f"dnsaddr={HERE}"]}
    found, _ = look_up(of(zone), f"/dnsaddr/example.org/p2p/{ID}")
    assert found == [HERE]
    assert look_up(of(zone), inside)[0] == [inside]
