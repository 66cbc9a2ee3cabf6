"""Addresses of peers that exist in tests only."""

import hashlib

from node.home.addresses import Address, PeerId, parse_address, peer_id


def key(number: int) -> bytes:
    """A transport key that nobody has the other half of."""
    return hashlib.sha256(b"peer %d" % number).digest()


def peer(number: int) -> PeerId:
    return peer_id(key(number))


def through(relay: Address, number: int) -> Address:
    """The address of peer `number` behind a relay."""
    found = parse_address(f"{relay}/p2p-circuit/p2p/{peer(number)}")
    assert isinstance(found, Address), found
    return found


def address(number: int, *, host: str = "", port: int = 4001) -> Address:
    """Return an address of peer `number`, on a machine of its own unless `host` says another.

    Its address is public and nobody's: no part of 3000::/4 is assigned.
    """
    host = host or f"ip6/3000:0:0:{number:x}::1"
    found = parse_address(f"/{host}/tcp/{port}/p2p/{peer(number)}")
    assert isinstance(found, Address), found
    return found
