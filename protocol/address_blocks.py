"""A table of all blocks of IP addresses and the scope of each.

The rows are IANA's IPv4 and IPv6 Special-Purpose Address Registries
(https://www.iana.org/assignments/iana-ipv4-special-registry and …/iana-ipv6-special-registry),
copied by hand as last updated in 2025, after RFC 9780. `OTHERS` adds what those registries do not
list: multicast, site-local and IPv4-compatible addresses, and the rule that IPv6 has no global
unicast outside 2000::/3 (RFC 4291).

Two nodes must agree on the scope of an address. So this table decides, not Python's
`ipaddress.is_global`, whose answers differ between patch versions. The longest prefix wins.
"""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final


class AddressScope(Enum):
    """The range from which an address can be reached."""

    PUBLIC = "public"
    PRIVATE = "private"
    LINK_LOCAL = "link-local"
    LOOPBACK = "loopback"
    NOWHERE = "nowhere"  # not a reachable machine: documentation, multicast, retired tunnels


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressBlock:
    """One row: a block, its purpose, the document that defines it, and its scope."""

    network: IPv4Network | IPv6Network
    purpose: str
    source: str
    scope: AddressScope


def _row(block: str, purpose: str, source: str, scope: AddressScope) -> AddressBlock:
    return AddressBlock(network=ip_network(block), purpose=purpose, source=source, scope=scope)


IPV4_REGISTRY: Final = (
    _row("0.0.0.0/8", "this network", "RFC 791", AddressScope.NOWHERE),
    _row("0.0.0.0/32", "this host on this network", "RFC 1122", AddressScope.NOWHERE),
    _row("10.0.0.0/8", "private use", "RFC 1918", AddressScope.PRIVATE),
    # Carrier networks (CGNAT), and private overlay networks.
    _row("100.64.0.0/10", "shared address space", "RFC 6598", AddressScope.PRIVATE),
    _row("127.0.0.0/8", "loopback", "RFC 1122", AddressScope.LOOPBACK),
    _row("169.254.0.0/16", "link local", "RFC 3927", AddressScope.LINK_LOCAL),
    _row("172.16.0.0/12", "private use", "RFC 1918", AddressScope.PRIVATE),
    _row("192.0.0.0/24", "IETF protocol assignments", "RFC 6890", AddressScope.NOWHERE),
    _row("192.0.0.0/29", "IPv4 service continuity prefix", "RFC 7335", AddressScope.NOWHERE),
    _row("192.0.0.8/32", "IPv4 dummy address", "RFC 7600", AddressScope.NOWHERE),
    _row("192.0.0.9/32", "port control protocol anycast", "RFC 7723", AddressScope.PUBLIC),
    _row("192.0.0.10/32", "TURN anycast", "RFC 8155", AddressScope.PUBLIC),
    _row("192.0.0.170/32", "NAT64/DNS64 discovery", "RFC 8880", AddressScope.NOWHERE),
    _row("192.0.0.171/32", "NAT64/DNS64 discovery", "RFC 8880", AddressScope.NOWHERE),
    _row("192.0.2.0/24", "documentation (TEST-NET-1)", "RFC 5737", AddressScope.NOWHERE),
    _row("192.31.196.0/24", "AS112-v4", "RFC 7535", AddressScope.PUBLIC),
    _row("192.52.193.0/24", "AMT", "RFC 7450", AddressScope.PUBLIC),
    # The registry says "not applicable": the relays no longer exist.
    _row("192.88.99.0/24", "deprecated (6to4 relay anycast)", "RFC 7526", AddressScope.NOWHERE),
    _row("192.88.99.2/32", "6a44 relay anycast", "RFC 6751", AddressScope.NOWHERE),
    _row("192.168.0.0/16", "private use", "RFC 1918", AddressScope.PRIVATE),
    _row("192.175.48.0/24", "direct delegation AS112 service", "RFC 7534", AddressScope.PUBLIC),
    _row("198.18.0.0/15", "benchmarking", "RFC 2544", AddressScope.NOWHERE),
    _row("198.51.100.0/24", "documentation (TEST-NET-2)", "RFC 5737", AddressScope.NOWHERE),
    _row("203.0.113.0/24", "documentation (TEST-NET-3)", "RFC 5737", AddressScope.NOWHERE),
    _row("240.0.0.0/4", "reserved", "RFC 1112", AddressScope.NOWHERE),
    _row("255.255.255.255/32", "limited broadcast", "RFC 8190", AddressScope.NOWHERE),
)
IPV6_REGISTRY: Final = (
    _row("::1/128", "loopback", "RFC 4291", AddressScope.LOOPBACK),
    _row("::/128", "unspecified", "RFC 4291", AddressScope.NOWHERE),
    _row("::ffff:0:0/96", "IPv4-mapped", "RFC 4291", AddressScope.NOWHERE),
    _row("64:ff9b::/96", "IPv4-IPv6 translation", "RFC 6052", AddressScope.PUBLIC),
    # A local NAT64: only that network knows which IPv4 address is meant.
    _row("64:ff9b:1::/48", "local IPv4-IPv6 translation", "RFC 8215", AddressScope.PRIVATE),
    _row("100::/64", "discard only", "RFC 6666", AddressScope.NOWHERE),
    _row("100:0:0:1::/64", "dummy prefix", "RFC 9780", AddressScope.NOWHERE),
    _row("2001::/23", "IETF protocol assignments", "RFC 2928", AddressScope.NOWHERE),
    # The registry says "not applicable": its servers no longer exist.
    _row("2001::/32", "Teredo", "RFC 4380", AddressScope.NOWHERE),
    _row("2001:1::1/128", "port control protocol anycast", "RFC 7723", AddressScope.PUBLIC),
    _row("2001:1::2/128", "TURN anycast", "RFC 8155", AddressScope.PUBLIC),
    _row("2001:1::3/128", "DNS-SD service registration anycast", "RFC 9665", AddressScope.PUBLIC),
    _row("2001:2::/48", "benchmarking", "RFC 5180", AddressScope.NOWHERE),
    _row("2001:3::/32", "AMT", "RFC 7450", AddressScope.PUBLIC),
    _row("2001:4:112::/48", "AS112-v6", "RFC 7535", AddressScope.PUBLIC),
    _row("2001:10::/28", "deprecated (ORCHID)", "RFC 4843", AddressScope.NOWHERE),
    # The registry calls the next two globally reachable. But they are identifiers made of hashes.
    # No router on the internet has a route to them, so nothing can be dialled there.
    _row("2001:20::/28", "ORCHIDv2", "RFC 7343", AddressScope.NOWHERE),
    _row("2001:30::/28", "drone remote id", "RFC 9374", AddressScope.NOWHERE),
    _row("2001:db8::/32", "documentation", "RFC 3849", AddressScope.NOWHERE),
    # The registry says "not applicable": it depends on the embedded IPv4 address and on relays.
    _row("2002::/16", "6to4", "RFC 3056", AddressScope.NOWHERE),
    _row("2620:4f:8000::/48", "direct delegation AS112 service", "RFC 7534", AddressScope.PUBLIC),
    _row("3fff::/20", "documentation", "RFC 9637", AddressScope.NOWHERE),
    _row("5f00::/16", "segment routing (SRv6) SIDs", "RFC 9602", AddressScope.NOWHERE),
    _row("fc00::/7", "unique local", "RFC 4193", AddressScope.PRIVATE),
    _row("fe80::/10", "link-local unicast", "RFC 4291", AddressScope.LINK_LOCAL),
)
OTHERS: Final = (
    _row("224.0.0.0/4", "multicast of every scope", "RFC 5771", AddressScope.NOWHERE),
    _row("::/96", "IPv4-compatible, deprecated", "RFC 4291", AddressScope.NOWHERE),
    _row("::ffff:0:0:0/96", "IPv4-translated (SIIT)", "RFC 2765", AddressScope.NOWHERE),
    # Deprecated, but some old sites still use it.
    _row("fec0::/10", "site-local, deprecated", "RFC 3879", AddressScope.PRIVATE),
    _row("ff00::/8", "multicast of every scope", "RFC 4291", AddressScope.NOWHERE),
    _row("::/0", "not assigned as global unicast", "RFC 4291", AddressScope.NOWHERE),
    _row("2000::/3", "global unicast", "RFC 4291", AddressScope.PUBLIC),
    _row("0.0.0.0/0", "global unicast", "RFC 791", AddressScope.PUBLIC),
)
# No machine on any network has an address in these blocks.
NO_MACHINE: Final = frozenset(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "0.0.0.0/32",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "255.255.255.255/32",
            "::/128",
            "ff00::/8",
        ),
    )
)
# Most specific first, so the first block that contains an address is its row.
BLOCKS: Final = tuple(
    sorted(
        (*IPV4_REGISTRY, *IPV6_REGISTRY, *OTHERS),
        key=lambda row: row.network.prefixlen,
        reverse=True,
    )
)
