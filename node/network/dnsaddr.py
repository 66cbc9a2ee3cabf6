"""A lookup of the servers behind a DNS name (`/dnsaddr/NAME/p2p/ID`).

https://github.com/multiformats/multiaddr/blob/master/protocols/DNSADDR.md. The DNS answer is
untrusted and may name other names. So the lookup is limited to 2 levels, 16 records for each name,
32 questions and 10 seconds in total. An address behind a name is used only if it is public.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import trio
from dns.asyncbackend import get_backend
from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.rdtypes.ANY.TXT import TXT
from dns.resolver import Answer
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as AddressError

from node.home.addresses import Reach
from node.network.kademlia import DhtPeer, place_of

_LEVELS: Final = 2
_RECORDS: Final = 16
_QUESTIONS: Final = 32
_LOOKED_UP_WITHIN_S: Final = 10.0
_LONGEST: Final = 400  # characters in an address


async def places_of(entries: Sequence[str], resolver: Resolver | None = None) -> list[DhtPeer]:
    """Return the addresses of some entries, as far as their names resolve in time.

    An entry is `/dnsaddr/NAME/p2p/ID`, or an address with its id.
    """
    looking = _Looking(resolver or Resolver())
    with trio.move_on_after(_LOOKED_UP_WITHIN_S):
        await looking.look_up(entries, _LEVELS)
    return [*looking.found]


class _Looking:
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._questions = 0
        self.found: dict[DhtPeer, None] = {}

    async def look_up(self, entries: Sequence[str], levels: int) -> None:
        names: dict[str, set[str]] = {}  # each with the ids that are wanted
        for entry in entries:
            match entry.split("/"):
                case ["", "dnsaddr", name, "p2p", peer]:
                    names.setdefault(name, set()).add(peer)
                case _ if (place := _place(entry)) is not None:
                    # The user chose the entries; the addresses behind a name are untrusted.
                    if levels == _LEVELS or place.reach is Reach.PUBLIC:
                        self.found[place] = None
        if not levels:
            return
        async with trio.open_nursery() as nursery:
            for name, wanted in names.items():
                nursery.start_soon(self._follow, name, wanted, levels - 1)

    async def _follow(self, name: str, wanted: set[str], levels: int) -> None:
        if self._questions >= _QUESTIONS:
            return
        self._questions += 1
        try:
            answer = await self._resolver.resolve(
                f"_dnsaddr.{name}", "TXT", search=False, backend=get_backend("trio")
            )
        except (DNSException, OSError):
            return  # the name does not exist, or no DNS server answers
        matching = [text for text in _texts(answer) if text.rpartition("/p2p/")[2] in wanted]
        await self.look_up(matching[:_RECORDS], levels)


def _texts(answer: Answer) -> Iterator[str]:
    for record in answer:
        if isinstance(record, TXT):
            text = b"".join(record.strings)
            if text.startswith(b"dnsaddr=") and text.isascii() and len(text) <= _LONGEST:
                yield text.decode("ascii").removeprefix("dnsaddr=")


def _place(text: str) -> DhtPeer | None:
    try:
        address = Multiaddr(text)
        peer = address.get_peer_id()
        return None if peer is None else place_of(address, ID.from_string(peer).to_bytes())
    except (AddressError, ValueError):
        return None
