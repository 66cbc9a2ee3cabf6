"""The reach of an IP address: for each row of the table, its ends and its neighbours."""

import ast
import re
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.address_blocks import BLOCKS, NO_MACHINE, AddressScope
from protocol.ip_addresses import embedded_ipv4, is_own, is_this_machine, scope_of

ROOT = Path(__file__).parents[2]
# A block, and the expected answers for the address before it, its first, its last, and the next.
ROWS = """
0.0.0.0/8          -           nowhere     nowhere     public
0.0.0.0/32         -           nowhere     nowhere     nowhere
10.0.0.0/8         public      private     private     public
100.64.0.0/10      public      private     private     public
127.0.0.0/8        public      loopback    loopback    public
169.254.0.0/16     public      link-local  link-local  public
172.16.0.0/12      public      private     private     public
192.0.0.0/24       public      nowhere     nowhere     public
192.0.0.0/29       public      nowhere     nowhere     nowhere
192.0.0.8/32       nowhere     nowhere     nowhere     public
192.0.0.9/32       nowhere     public      public      public
192.0.0.10/32      public      public      public      nowhere
192.0.0.170/32     nowhere     nowhere     nowhere     nowhere
192.0.0.171/32     nowhere     nowhere     nowhere     nowhere
192.0.2.0/24       public      nowhere     nowhere     public
192.31.196.0/24    public      public      public      public
192.52.193.0/24    public      public      public      public
192.88.99.0/24     public      nowhere     nowhere     public
192.88.99.2/32     nowhere     nowhere     nowhere     nowhere
192.168.0.0/16     public      private     private     public
192.175.48.0/24    public      public      public      public
198.18.0.0/15      public      nowhere     nowhere     public
198.51.100.0/24    public      nowhere     nowhere     public
203.0.113.0/24     public      nowhere     nowhere     public
240.0.0.0/4        nowhere     nowhere     nowhere     -
255.255.255.255/32 nowhere     nowhere     nowhere     -
::1/128            nowhere     loopback    loopback    nowhere
::/128             -           nowhere     nowhere     loopback
::ffff:0:0/96      nowhere     nowhere     nowhere     nowhere
64:ff9b::/96       nowhere     nowhere     nowhere     nowhere
64:ff9b:1::/48     nowhere     private     private     nowhere
100::/64           nowhere     nowhere     nowhere     nowhere
100:0:0:1::/64     nowhere     nowhere     nowhere     nowhere
2001::/23          public      nowhere     nowhere     public
2001::/32          public      nowhere     nowhere     nowhere
2001:1::1/128      nowhere     public      public      public
2001:1::2/128      public      public      public      public
2001:1::3/128      public      public      public      nowhere
2001:2::/48        nowhere     nowhere     nowhere     nowhere
2001:3::/32        nowhere     public      public      nowhere
2001:4:112::/48    nowhere     public      public      nowhere
2001:10::/28       nowhere     nowhere     nowhere     nowhere
2001:20::/28       nowhere     nowhere     nowhere     nowhere
2001:30::/28       nowhere     nowhere     nowhere     nowhere
2001:db8::/32      public      nowhere     nowhere     public
2002::/16          public      nowhere     nowhere     public
2620:4f:8000::/48  public      public      public      public
3fff::/20          public      nowhere     nowhere     public
5f00::/16          nowhere     nowhere     nowhere     nowhere
fc00::/7           nowhere     private     private     nowhere
fe80::/10          nowhere     link-local  link-local  private
224.0.0.0/4        public      nowhere     nowhere     nowhere
::/96              -           nowhere     nowhere     nowhere
::ffff:0:0:0/96    nowhere     nowhere     nowhere     nowhere
fec0::/10          link-local  private     private     nowhere
ff00::/8           private     nowhere     nowhere     -
::/0               -           nowhere     nowhere     -
2000::/3           nowhere     public      public      nowhere
0.0.0.0/0          -           nowhere     nowhere     -
"""
PARSED = [line.split() for line in ROWS.split("\n") if line.strip()]


@pytest.mark.parametrize("row", PARSED, ids=[row[0] for row in PARSED])
def test_a_block_s_ends_and_neighbours_lead_where_the_table_says(row: list[str]) -> None:
    network = ip_network(row[0])
    kind = IPv4Address if network.version == 4 else IPv6Address
    first, last = int(network.network_address), int(network.broadcast_address)
    for number, expected in zip((first - 1, first, last, last + 1), row[1:], strict=True):
        if expected != "-":
            assert scope_of(kind(number)).value == expected, kind(number)


def test_each_row_is_tested_and_says_which_document_it_is_from() -> None:
    assert sorted(row[0] for row in PARSED) == sorted(str(row.network) for row in BLOCKS)
    assert len({row.network for row in BLOCKS}) == len(BLOCKS)
    assert all(re.fullmatch(r"RFC \d+", row.source) and row.purpose for row in BLOCKS)
    assert {row.network for row in BLOCKS} >= NO_MACHINE


@pytest.mark.parametrize(
    ("host", "inside", "scope"),
    [
        ("::ffff:127.0.0.1", ["127.0.0.1"], AddressScope.LOOPBACK),
        ("::127.0.0.1", ["127.0.0.1"], AddressScope.LOOPBACK),
        ("::8.8.8.8", ["8.8.8.8"], AddressScope.NOWHERE),
        ("::ffff:0:10.0.0.1", ["10.0.0.1"], AddressScope.PRIVATE),
        ("64:ff9b::8.8.8.8", ["8.8.8.8"], AddressScope.PUBLIC),
        ("64:ff9b::169.254.169.254", ["169.254.169.254"], AddressScope.LINK_LOCAL),
        ("64:ff9b::192.0.2.1", ["192.0.2.1"], AddressScope.NOWHERE),
        ("64:ff9b:1::8.8.8.8", [], AddressScope.PRIVATE),
        ("2002:7f00:1::1", ["127.0.0.1"], AddressScope.LOOPBACK),
        ("2002:808:808::1", ["8.8.8.8"], AddressScope.NOWHERE),
        # The example of RFC 4380: the client is 192.0.2.45, its server is 65.54.227.120.
        (
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            ["192.0.2.45", "65.54.227.120"],
            AddressScope.NOWHERE,
        ),
        (
            "2001:0:4136:e378:8000:63bf:f5ff:fffe",
            ["10.0.0.1", "65.54.227.120"],
            AddressScope.PRIVATE,
        ),
        ("3000::5efe:10.0.0.1", ["10.0.0.1"], AddressScope.PRIVATE),
        ("3000::200:5efe:8.8.8.8", ["8.8.8.8"], AddressScope.PUBLIC),
        ("fe80::5efe:10.0.0.1", ["10.0.0.1"], AddressScope.LINK_LOCAL),
        ("::1", [], AddressScope.LOOPBACK),
        ("::", [], AddressScope.NOWHERE),
        ("fe80::1%eth0", [], AddressScope.LINK_LOCAL),
        ("ff02::1", [], AddressScope.NOWHERE),
        ("ff0e::1", [], AddressScope.NOWHERE),
        ("4000::1", [], AddressScope.NOWHERE),
    ],
)
def test_an_ipv4_address_inside_takes_its_reach_along(
    host: str, inside: list[str], scope: AddressScope
) -> None:
    assert [str(one) for one in embedded_ipv4(IPv6Address(host))] == inside
    assert scope_of(host) is scope


@given(st.ip_addresses(v=4))
def test_no_spelling_in_ipv6_leads_further_than_the_ipv4_address(inner: IPv4Address) -> None:
    spellings = [f"::ffff:{inner}", f"::ffff:0:{inner}", f"64:ff9b::{inner}", f"3000::5efe:{inner}"]
    spellings.append(str(IPv6Address((0x2002 << 112) | (int(inner) << 80) | 1)))
    spellings.append(str(IPv6Address((0x20010000 << 96) | (~int(inner) & 0xFFFF_FFFF))))
    if int(inner) > 1:
        spellings.append(str(IPv6Address(int(inner))))
    if scope_of(inner) is not AddressScope.PUBLIC:
        assert all(scope_of(one) is not AddressScope.PUBLIC for one in spellings)


@pytest.mark.parametrize(
    "host",
    ["0177.0.0.1", "127.1", "2130706433", "0x7f000001", "[::1]", "localhost", "", "127.0.0.1 "],
)
def test_another_spelling_is_no_address_and_so_nothing_is_trusted(host: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        scope_of(host)
    assert not is_this_machine(host)
    assert not is_own(host)


@pytest.mark.parametrize(
    "host", ["::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::1"]
)
def test_where_a_gateway_would_send_it_is_not_this_machine(host: str) -> None:
    assert scope_of(host) is AddressScope.LOOPBACK
    assert not is_this_machine(host)
    assert not is_own(host)


def test_this_machine_and_own_networks_are_trusted() -> None:
    assert all(map(is_this_machine, ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"]))
    assert not any(map(is_this_machine, ["10.0.0.1", "8.8.8.8", "::"]))
    assert all(map(is_own, ["127.0.0.1", "10.0.0.1", "fd00::1", "fec0::1", "::ffff:10.0.0.1"]))
    assert not any(map(is_own, ["8.8.8.8", "64:ff9b:1::8.8.8.8", "192.0.2.1", "0.1.2.3", "::"]))


_ASKED_OF_THE_TABLE = {
    *("is_global", "is_private", "is_loopback", "is_link_local", "is_multicast"),
    *("is_reserved", "is_site_local", "is_unspecified", "ipv4_mapped", "sixtofour", "teredo"),
}


@pytest.mark.always
def test_nothing_asks_python_where_an_address_leads() -> None:
    """Python's answers differ between patch versions; the table's do not."""
    own = {("trainer", "is_private"), ("node", "is_private")}  # not of an address
    found = set()
    for folder in ("agent", "bootstrap", "node", "protocol", "trainer"):
        for path in (ROOT / folder).rglob("*.py"):
            for one in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(one, ast.Attribute) and one.attr in _ASKED_OF_THE_TABLE:
                    found.add((folder, one.attr))
    assert found <= own
