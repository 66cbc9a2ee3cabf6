"""Where an IP address leads, by the one table of `protocol.address_blocks`.

An IPv6 address may hold an IPv4 address, to which a kernel or a gateway passes what is sent. Such
an address reaches no further than the one inside. Where reach grants trust (this machine, a network
of one's own) none of them counts, except the IPv4-mapped form, which a kernel takes for IPv4.
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
# Of an interface identifier made of an IPv4 address; the second is of one that is unique
# (ISATAP, RFC 5214).
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)
_IN_ITS_END: Final = (_MAPPED, _COMPATIBLE, _TRANSLATED, _NAT64)


@lru_cache(maxsize=4_096)
def scope_of(host: str | IPv4Address | IPv6Address) -> AddressScope:
    """Return from where an IP address can be reached. Raises ValueError for what is none."""
    found = ip_address(host)
    scope = block_of(found).scope
    if isinstance(found, IPv4Address):
        return scope
    inside = [scope_of(inner) for inner in embedded_ipv4(found)]
    narrower = [one for one in inside if one is not AddressScope.PUBLIC]
    if not narrower:
        return scope
    if scope is AddressScope.NOWHERE:  # of a tunnel: where a gateway would send it
        return narrower[0]
    return max(scope, *narrower, key=_NARROWING.index)


def block_of(host: IPv4Address | IPv6Address) -> AddressBlock:
    """Return the row of the table that an address is in: the one with the longest prefix."""
    return next(row for row in BLOCKS if host in row.network)


def embedded_ipv4(host: IPv6Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that an IPv6 address holds: of Teredo the client's, then the
    server's."""
    number = int(host)
    if number <= 1:  # unspecified and loopback, which are no IPv4-compatible ones
        return ()
    if any(host in network for network in _IN_ITS_END):
        return (IPv4Address(number & _LOW_32),)
    if host in _SIX_TO_FOUR:
        return (IPv4Address(number >> 80 & _LOW_32),)
    if host in _TEREDO:  # the client's address is written inverted (RFC 4380)
        return IPv4Address(~number & _LOW_32), IPv4Address(number >> 64 & _LOW_32)
    if number >> 32 & _LOW_32 in _ISATAP:
        return (IPv4Address(number & _LOW_32),)
    return ()


def may_be_machine(host: IPv4Address | IPv6Address) -> bool:
    """Tell whether a machine may have an address, if only in a network that is made for a test."""
    return block_of(host).network not in NO_MACHINE


def is_spelt_as_ipv6(host: IPv6Address) -> bool:
    """Tell whether an address is an IPv4 address in one of IPv6's spellings of it."""
    spellings = (_MAPPED, _COMPATIBLE, _TRANSLATED)
    return int(host) > 1 and any(host in network for network in spellings)


def is_this_machine(host: str) -> bool:
    """Tell whether an IP address is of this machine alone, and no gateway's. Text that is no
    address in the usual spelling is not."""
    return _trusted_scope(host) is AddressScope.LOOPBACK


def is_own(host: str) -> bool:
    """Tell whether an IP address is of this machine or of a private network, as `is_this_machine`
    does."""
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
