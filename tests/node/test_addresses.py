"""Addresses: one form of multiaddr, with a peer's id, and from where a host can be reached."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.addresses import (
    Address,
    Reach,
    parse_address,
    parse_direct,
    parse_server,
    peer_id,
    transport_key,
)
from protocol.errors import Rejected
from tests.node.peer_addresses import address, peer, through

ID = peer(1)

ips = st.ip_addresses().map(lambda ip: f"/ip{ip.version}/{ip}")
names = st.from_regex(r"[a-z]([a-z0-9-]{0,9}[a-z0-9])?(\.[a-z]{1,5}){0,3}", fullmatch=True)
hosts = ips | names.map(lambda name: f"/dns4/{name}")


@given(host=hosts, port=st.integers(1, 65_535), key=st.binary(min_size=32, max_size=32))
def test_an_address_is_read_back_as_it_is_written(host: str, port: int, key: bytes) -> None:
    found = parse_address(f"{host}/tcp/{port}/p2p/{peer_id(key)}")
    if isinstance(found, Address):
        assert parse_address(str(found)) == found
        assert (found.port, found.key) == (port, key)
    else:
        assert host.startswith("/ip")
        assert "no peer can be reached" in found.reason or "ip4 address" in found.reason


@given(st.text(max_size=200) | st.text("/ip4dns6tc2p.:1%", max_size=60))
def test_any_text_is_an_address_or_rejected(text: str) -> None:
    assert isinstance(parse_address(text), Address | Rejected)


@given(st.binary(min_size=32, max_size=32))
def test_an_id_holds_its_key(key: bytes) -> None:
    assert transport_key(peer_id(key)) == key


def test_ids_and_addresses_are_those_of_libp2p() -> None:
    pytest.importorskip("libp2p")
    from libp2p.peer.id import ID
    from multiaddr import Multiaddr

    for one in (address(1), address(2, host="ip4/192.0.2.7"), address(3, host="dns4/example.org")):
        assert ID.from_string(one.peer).extract_public_key().to_bytes() == one.key
        assert str(Multiaddr(str(one))) == str(one)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not of the form"),
        ("/ip4/192.0.2.1/tcp/4001", "any host could answer"),
        (f"/ip4/192.0.2.1/udp/4001/p2p/{ID}", "not of the form"),
        (f"/ip4/192.0.2.1/tcp/4001/p2p/{ID}/p2p-circuit", "not of the form"),
        (f"/ip4/192.0.2.256/tcp/4001/p2p/{ID}", "not an ip4 address"),
        (f"/ip4/2001:db8::1/tcp/4001/p2p/{ID}", "not an ip4 address"),
        (f"/ip6/192.0.2.1/tcp/4001/p2p/{ID}", "not an ip6 address"),
        (f"/ip6/fe80::1%eth0/tcp/4001/p2p/{ID}", "names a network interface"),
        (f"/ip6/::ffff:192.0.2.1/tcp/4001/p2p/{ID}", "write it as /ip4"),
        (f"/ip6/::127.0.0.1/tcp/4001/p2p/{ID}", "write it as /ip4"),
        (f"/ip6/::ffff:0:127.0.0.1/tcp/4001/p2p/{ID}", "write it as /ip4"),
        (f"/ip6/ff02::1/tcp/4001/p2p/{ID}", "no peer can be reached"),
        (f"/ip4/0177.0.0.1/tcp/4001/p2p/{ID}", "not an ip4 address"),
        (f"/ip4/127.1/tcp/4001/p2p/{ID}", "not an ip4 address"),
        (f"/ip4/2130706433/tcp/4001/p2p/{ID}", "not an ip4 address"),
        (f"/ip6/[::1]/tcp/4001/p2p/{ID}", "not an ip6 address"),
        (f"/dns4/2130706433/tcp/4001/p2p/{ID}", "not a DNS name"),
        (f"/dns4/0x7f000001/tcp/4001/p2p/{ID}", "not a DNS name"),
        (f"/dns4/127.0x1/tcp/4001/p2p/{ID}", "not a DNS name"),
        (f"/ip4/0.0.0.0/tcp/4001/p2p/{ID}", "no peer can be reached"),
        (f"/ip4/224.0.0.1/tcp/4001/p2p/{ID}", "no peer can be reached"),
        (f"/ip6/::/tcp/4001/p2p/{ID}", "no peer can be reached"),
        (f"/unix/run/tcp/4001/p2p/{ID}", "not one of ip4"),
        (f"/dns4/-a.example/tcp/4001/p2p/{ID}", "not a DNS name"),
        (f"/dns4/exa mple/tcp/4001/p2p/{ID}", "not a DNS name"),
        (f"/dns4/127.1/tcp/4001/p2p/{ID}", "not a DNS name"),
        (f"/dns4//tcp/4001/p2p/{ID}", "not a DNS name"),
        (f"/dns4/{'a' * 64}/tcp/4001/p2p/{ID}", "not a DNS name"),
        (f"/dns4/{'a.' * 150}b/tcp/4001/p2p/{ID}", "not a DNS name"),
        (f"/dns4/{'a.' * 300}b/tcp/4001/p2p/{ID}", "characters, more than"),
        (f"/ip4/192.0.2.1/tcp/0/p2p/{ID}", "not a port"),
        (f"/ip4/192.0.2.1/tcp/65536/p2p/{ID}", "not a port"),
        (f"/ip4/192.0.2.1/tcp/+1/p2p/{ID}", "not a port"),
        (f"/ip4/192.0.2.1/tcp/٣/p2p/{ID}", "not a port"),
        ("/ip4/192.0.2.1/tcp/4001/p2p/", "not a peer id"),
        (f"/ip4/192.0.2.1/tcp/4001/p2p/{ID[:-1]}", "not a peer id"),
        (f"/ip4/192.0.2.1/tcp/4001/p2p/{ID}1", "not a peer id"),
        (f"/ip4/192.0.2.1/tcp/4001/p2p/1{ID}", "not a peer id"),
        (f"/ip4/192.0.2.1/tcp/4001/p2p/0{ID[1:]}", "not a peer id"),
    ],
)
def test_what_is_wrong_is_said(text: str, reason: str) -> None:
    found = parse_address(text)
    assert isinstance(found, Rejected)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("host", "reach"),
    [
        ("ip4/192.31.196.1", Reach.PUBLIC),
        ("ip6/3000::1", Reach.PUBLIC),
        ("ip4/10.1.2.3", Reach.PRIVATE),
        ("ip4/172.31.0.1", Reach.PRIVATE),
        ("ip4/192.168.1.1", Reach.PRIVATE),
        ("ip4/100.64.0.1", Reach.PRIVATE),
        ("ip6/fd00::1", Reach.PRIVATE),
        ("ip4/169.254.1.1", Reach.LINK_LOCAL),
        ("ip6/fe80::1", Reach.LINK_LOCAL),
        ("ip4/127.0.0.1", Reach.LOOPBACK),
        ("ip6/::1", Reach.LOOPBACK),
        ("ip6/2002:7f00:1::1", Reach.LOOPBACK),
        ("ip6/64:ff9b::a01:203", Reach.PRIVATE),
        ("dns4/localhost", Reach.NAME),
        ("ip4/192.0.2.1", Reach.NOWHERE),
        ("ip6/2001:db8::1", Reach.NOWHERE),
        ("ip6/fec0::1", Reach.PRIVATE),
        ("ip6/64:ff9b:1::808:808", Reach.PRIVATE),
        ("ip6/2001:0:4136:e378:8000:63bf:3fff:fdd2", Reach.NOWHERE),
        ("ip6/3000::5efe:10.1.2.3", Reach.PRIVATE),
    ],
)
def test_a_host_s_reach_is_that_of_where_it_leads(host: str, reach: Reach) -> None:
    assert address(1, host=host).reach is reach


def test_one_machine_s_addresses_are_one_site() -> None:
    assert address(1, host="ip6/2001:db8::1").site == address(2, host="ip6/2001:db8::ff").site
    assert address(1, host="ip6/2001:db8::1").site != address(2, host="ip6/2001:db8:0:1::1").site
    assert address(1, host="ip4/192.0.2.1").site != address(1, host="ip4/192.0.2.2").site


def test_behind_a_relay_a_peer_is_reached_from_where_the_relay_is() -> None:
    relay = address(1, host="ip4/192.31.196.1")
    found = through(relay, 2)
    assert str(found) == f"{relay}/p2p-circuit/p2p/{peer(2)}"
    assert (found.peer, found.relay, found.reach) == (peer(2), peer(1), Reach.PUBLIC)
    assert through(address(1, host="ip4/10.0.0.1"), 2).reach is Reach.PRIVATE


@pytest.mark.parametrize(
    "text",
    [
        f"/ip4/192.0.2.1/tcp/4001/p2p/{peer(1)}/p2p-circuit",
        f"/ip4/192.0.2.1/tcp/4001/p2p-circuit/p2p/{peer(2)}",
        f"/ip4/192.0.2.1/tcp/4001/p2p/{peer(1)}/p2p-circuit/p2p/{peer(1)}",
        f"/ip4/192.0.2.1/tcp/4001/p2p/x/p2p-circuit/p2p/{peer(2)}",
        f"/ip4/192.0.2.1/tcp/4001/p2p/{peer(1)}/p2p-circuit/p2p/{peer(2)}/p2p-circuit/p2p/{ID}",
    ],
)
def test_a_way_through_a_relay_names_both_and_no_more(text: str) -> None:
    assert isinstance(parse_address(text), Rejected)


def test_nobody_is_set_to_begin_at_an_address_behind_a_relay() -> None:
    relay = address(1, host="ip4/192.0.2.1")
    found = parse_direct(str(through(relay, 2)))
    assert isinstance(found, Rejected)
    assert str(relay.peer) in found.reason
    assert parse_direct(str(relay)) == relay


BOOTSTRAP = "QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN"


@pytest.mark.parametrize(
    "text",
    [
        f"/dnsaddr/bootstrap.libp2p.io/p2p/{BOOTSTRAP}",
        f"/ip4/104.131.131.82/tcp/4001/p2p/{BOOTSTRAP}",
        f"/ip6/2001:db8::1/tcp/4001/p2p/{ID}",
    ],
)
def test_a_server_of_the_dht_has_any_kind_of_key(text: str) -> None:
    assert parse_server(text) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not of the form"),
        ("/dnsaddr/bootstrap.libp2p.io", "not of the form"),
        (f"/dnsaddr/no_name/p2p/{BOOTSTRAP}", "not a DNS name"),
        (f"/dns4/example.org/tcp/4001/p2p/{BOOTSTRAP}", "not of the form"),
        (f"/ip4/0.0.0.0/tcp/4001/p2p/{BOOTSTRAP}", "no peer can be reached"),
        (f"/ip4/192.0.2.1/tcp/0/p2p/{BOOTSTRAP}", "not a port"),
        ("/ip4/192.0.2.1/tcp/4001/p2p/Qm0", "not a peer id"),
        (f"/ip4/192.0.2.1/tcp/4001/p2p/{'Q' * 1000}", "not of the form"),
    ],
)
def test_what_is_no_server_says_why(text: str, reason: str) -> None:
    found = parse_server(text)
    assert isinstance(found, Rejected)
    assert reason in found.reason


@given(st.text(max_size=200) | st.text("/dnsaip46tcp2.:1%Qm", max_size=80))
def test_any_text_is_a_server_or_rejected(text: str) -> None:
    assert parse_server(text) == text or isinstance(parse_server(text), Rejected)


@pytest.mark.parametrize(
    ("host", "neighbourhood"),
    [
        ("ip4/192.0.2.7", "192.0.0.0/16"),
        ("ip6/2001:db8:1::1", "2001:db8::/32"),
        ("dns4/example.org", "example.org"),
    ],
)
def test_a_neighbourhood_is_what_one_owner_may_have(host: str, neighbourhood: str) -> None:
    assert address(1, host=host).neighbourhood == neighbourhood
