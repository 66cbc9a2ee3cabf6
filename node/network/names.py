"""A lookup of the DNS names in addresses, and the choice of addresses to dial.

A name may resolve differently each time. So the dialled address itself is checked, and the name is
not looked up again. A name may resolve to a public or a private address, since the same person
could have given that address directly. It must not resolve to this machine, to a link-local address
(where clouds serve their metadata) or to an address that no machine can have: those mean something
else on each machine.
"""

from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Final

import trio
from dns.asyncbackend import get_backend
from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.resolver import Answer
from multiaddr import Multiaddr

from node.network.errors import NetworkError
from protocol.address_blocks import AddressScope
from protocol.ip_addresses import scope_of

LOOKED_UP_WITHIN_S: Final = 5.0
MOST_DIALLED: Final = 4  # of a name's addresses
_RECORDS: Final = {"dns": ("A", "AAAA"), "dns4": ("A",), "dns6": ("AAAA",)}
_DIALLED: Final = (AddressScope.PUBLIC, AddressScope.PRIVATE)


async def places_of(address: Multiaddr, resolver: Resolver | None = None) -> list[Multiaddr]:
    """Return the addresses to dial for an address without an id; its name is resolved.

    Raises:
        NetworkError: the name is not found, or resolves only to forbidden addresses.
    """
    match str(address).split("/"):
        case ["", kind, name, "tcp", port] if kind in _RECORDS:
            hosts = [host async for host in _hosts(kind, name, resolver or Resolver())]
        case _:
            return [address]
    if not hosts:
        raise NetworkError(
            f"the name {name} was not found", "check the name, and this machine's DNS"
        )
    allowed = [host for host in hosts if scope_of(host) in _DIALLED]
    if not allowed:
        raise NetworkError(
            f"the name {name} resolves to {hosts[0]}, which is {scope_of(hosts[0]).value}",
            "give the peer's IP address instead of a name",
        )
    return [
        Multiaddr(f"/ip{ip_address(host).version}/{host}/tcp/{port}")
        for host in allowed[:MOST_DIALLED]
    ]


async def _hosts(kind: str, name: str, resolver: Resolver) -> AsyncIterator[str]:
    for record in _RECORDS[kind]:
        answer: Answer | None = None
        with trio.move_on_after(LOOKED_UP_WITHIN_S):
            try:
                answer = await resolver.resolve(
                    name, record, search=False, backend=get_backend("trio")
                )
            except (DNSException, OSError):
                continue
        for found in answer or ():
            yield str(ip_address(found.to_text()))
