"""Scopes of IP addresses, by the table in `protocol.address_blocks`.

An IPv6 address may embed an IPv4 address, to which a kernel or a gateway forwards the traffic. Its
scope is no wider than that of the embedded address. Where a scope grants trust (this machine, a
private network), such addresses are not trusted. The exception is the IPv4-mapped form, which a
kernel treats as IPv4.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from protocol.address_blocks import BLOCKS, NO_MACHINE, AddressBlock, AddressScope

_OWN: Final = (AddressScope.LOOPBACK, AddressScope.LINK_LOCAL, AddressScope.PRIVATE)
_NARROWING: Final = (
    AddressScope.PUBLIC,
    AddressScope.PRIVATE,
    AddressScope.LINK_LOCAL,
    AddressScope.LOOPBACK,
    AddressScope.NOWHERE,
)
_LOW_32: Final = 0xFFFF_FFFF
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_COMPATIBLE: Final = IPv6Network("::/96")
_TRANSLATED: Final = IPv6Network("::ffff:0:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_TEREDO: Final = IPv6Network("2001::/32")
# Prefixes of ISATAP interface identifiers, which end in an IPv4 address (RFC 5214). The second is
# for globally unique IPv4 addresses.
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)
_IN_ITS_END: Final = (_MAPPED, _COMPATIBLE, _TRANSLATED, _NAT64)


@lru_cache(maxsize=4_096)
def scope_of(host: str | IPv4Address | IPv6Address) -> AddressScope:
    """Return the scope of an IP address. Raises ValueError if `host` is not an address."""
    found = ip_address(host)
    scope = block_of(found).scope
    if isinstance(found, IPv4Address):
        return scope
    inside = [scope_of(inner) for inner in embedded_ipv4(found)]
    narrower = [one for one in inside if one is not AddressScope.PUBLIC]
    if not narrower:
        return scope
    if scope is AddressScope.NOWHERE:  # a tunnel: a gateway would send it to the embedded address
        return narrower[0]
    return max(scope, *narrower, key=_NARROWING.index)


def block_of(host: IPv4Address | IPv6Address) -> AddressBlock:
    """Return the row of the table that contains an address and has the longest prefix."""
    return next(row for row in BLOCKS if host in row.network)


def embedded_ipv4(host: IPv6Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses in an IPv6 address; for Teredo the client's, then the server's."""
    number = int(host)
    if number <= 1:  # unspecified and loopback are not IPv4-compatible addresses
        return ()
    if any(host in network for network in _IN_ITS_END):
        return (IPv4Address(number & _LOW_32),)
    if host in _SIX_TO_FOUR:
        return (IPv4Address(number >> 80 & _LOW_32),)
    if host in _TEREDO:  # the bits of the client's address are inverted (RFC 4380)
        return IPv4Address(~number & _LOW_32), IPv4Address(number >> 64 & _LOW_32)
    if number >> 32 & _LOW_32 in _ISATAP:
        return (IPv4Address(number & _LOW_32),)
    return ()


def may_be_machine(host: IPv4Address | IPv6Address) -> bool:
    """Return True if a machine may have this address, even if only in a test network."""
    return block_of(host).network not in NO_MACHINE


def is_spelt_as_ipv6(host: IPv6Address) -> bool:
    """Return True if an address is one of the IPv6 spellings of an IPv4 address."""
    spellings = (_MAPPED, _COMPATIBLE, _TRANSLATED)
    return int(host) > 1 and any(host in network for network in spellings)


def is_this_machine(host: str) -> bool:
    """Return True if an IP address is a loopback address of this machine.

    Return False if a gateway would translate it to IPv4, and for text that is no address in the
    usual spelling.
    """
    return _trusted_scope(host) is AddressScope.LOOPBACK


def is_own(host: str) -> bool:
    """Return True if an IP address is of this machine, its link or a private network.

    Return False for text that is no address in the usual spelling.
    """
    return _trusted_scope(host) in _OWN


def _trusted_scope(host: str) -> AddressScope:
    try:
        found = ip_address(host)
    except ValueError:
        return AddressScope.NOWHERE
    if isinstance(found, IPv6Address) and found in _MAPPED:
        found = IPv4Address(int(found) & _LOW_32)
    if isinstance(found, IPv6Address) and (embedded_ipv4(found) or found in _LOCAL_NAT64):
        return AddressScope.NOWHERE
    return scope_of(found)
