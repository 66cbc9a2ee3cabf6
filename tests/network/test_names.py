"""A DNS name in an address is looked up once, and what it leads to is checked and then dialled."""

from typing import Any

import pytest
from dns.asyncresolver import Resolver
from dns.resolver import NXDOMAIN
from multiaddr import Multiaddr

from node.network import names
from node.network.errors import NetworkError
from node.network.host import running_host
from node.network.names import MOST_DIALLED, places_of
from tests.network.arena import run, settings
from tests.node.peer_addresses import peer


class _Record:
    def __init__(self, text: str) -> None:
        self._text = text

    def to_text(self) -> str:
        return self._text


class Names(Resolver):
    """Answers from a table, each question with the next of its answers."""

    table: dict[tuple[str, str], list[list[str]]]

    def __init__(self, table: dict[tuple[str, str], list[list[str]]]) -> None:
        super().__init__(configure=False)
        self.table = table
        self.asked: list[tuple[str, str]] = []

    async def resolve(self, qname: Any, rdtype: Any = "A", **_: Any) -> Any:  # type: ignore[override]
        self.asked.append((qname, rdtype))
        answers = self.table.get((qname, rdtype))
        if not answers:
            raise NXDOMAIN
        return [_Record(text) for text in answers.pop(0)]


def look_up(address: str, **table: list[str]) -> list[str]:
    """Return where to dial, by the records of the name `node.example`."""
    found: list[str] = []
    records = {("node.example", kind): [hosts] for kind, hosts in table.items()}

    async def test() -> None:
        found.extend(map(str, await places_of(Multiaddr(address), Names(records))))

    run(test)
    return found


def test_an_address_without_a_name_is_dialled_as_it_is() -> None:
    assert look_up("/ip4/127.0.0.1/tcp/1") == ["/ip4/127.0.0.1/tcp/1"]


def test_a_name_leads_to_the_addresses_of_its_kind() -> None:
    table = {"A": ["192.31.196.1", "10.0.0.1"], "AAAA": ["3000::1"]}
    four, six = [f"/ip4/{host}/tcp/1" for host in table["A"]], ["/ip6/3000::1/tcp/1"]
    assert look_up("/dns4/node.example/tcp/1", **table) == four
    assert look_up("/dns6/node.example/tcp/1", **table) == six
    assert look_up("/dns/node.example/tcp/1", **table) == four + six
    many = {"A": [f"192.31.196.{number}" for number in range(1, 100)]}
    assert len(look_up("/dns4/node.example/tcp/1", **many)) == MOST_DIALLED


@pytest.mark.parametrize(
    ("record", "host"),
    [
        ("A", "127.0.0.1"),
        ("A", "169.254.169.254"),
        ("A", "0.1.2.3"),
        ("A", "255.255.255.255"),
        ("AAAA", "::1"),
        ("AAAA", "::127.0.0.1"),
        ("AAAA", "::ffff:127.0.0.1"),
        ("AAAA", "64:ff9b::127.0.0.1"),
        ("AAAA", "2002:7f00:1::1"),
        ("AAAA", "2001:0:4136:e378:8000:63bf:80ff:fffe"),
        ("AAAA", "ff02::1"),
    ],
)
def test_no_name_leads_to_this_machine_its_link_or_nowhere(record: str, host: str) -> None:
    with pytest.raises(NetworkError, match=r"the name node\.example resolves to"):
        look_up("/dns/node.example/tcp/1", **{record: [host]})
    together = look_up("/dns/node.example/tcp/1", **{record: [host, *_public(record)]})
    assert together == [f"/{'ip4' if record == 'A' else 'ip6'}/{_public(record)[0]}/tcp/1"]


def _public(record: str) -> list[str]:
    return ["192.31.196.1"] if record == "A" else ["3000::1"]


def test_a_name_that_is_not_there_says_so() -> None:
    with pytest.raises(NetworkError, match=r"node\.example was not found"):
        look_up("/dns/node.example/tcp/1")


def test_the_address_that_was_checked_is_the_one_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second answer, which leads inside, is never asked for."""
    answers = Names({("node.example", "A"): [["192.31.196.1"], ["127.0.0.1"]]})
    monkeypatch.setattr(names, "Resolver", lambda: answers)
    dialled: list[str] = []

    async def test() -> None:
        async with running_host(settings()) as host:

            async def dial(address: Multiaddr, _peer: object) -> None:
                dialled.append(str(address))

            monkeypatch.setattr(host._swarm, "dial_addr", dial)
            await host.connect(f"/dns4/node.example/tcp/1/p2p/{peer(7)}")
            assert dialled == ["/ip4/192.31.196.1/tcp/1"]
            with pytest.raises(NetworkError, match=r"resolves to 127\.0\.0\.1, which is loopback"):
                await host.connect(f"/dns4/node.example/tcp/1/p2p/{peer(7)}")

    run(test)
    assert len(dialled) == 1
    assert answers.asked == [("node.example", "A")] * 2
