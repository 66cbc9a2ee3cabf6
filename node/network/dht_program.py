"""The process that asks the DHT: it reads one request from standard input, answers and ends.

Only this process reads data from DHT servers. The core limits how long it waits for the answer.
"""

import logging
import socket
import sys
from collections.abc import Sequence
from functools import partial
from typing import cast

import trio
from multiaddr import Multiaddr

from node.home.addresses import Address, may_share, parse_address
from node.network.dht_client import Client, running_client
from node.network.dht_contract import MOST_FOUND, RendezvousRequest, RendezvousResult
from node.network.dht_lookup import Lookup
from node.network.dnsaddr import places_of
from node.network.errors import FrameError, NetworkError
from node.network.kademlia import DhtPeer
from node.network.program import core_at
from protocol.encoding import Value
from protocol.errors import ArnodeError, Rejected, describe_fault
from protocol.framing import Message


def main() -> None:
    """Answer one request on standard input."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    with socket.socket(fileno=sys.stdin.fileno()) as channel:
        trio.run(_serve_core, channel)


async def _serve_core(channel: socket.socket) -> None:
    core = core_at(channel)
    try:
        request = RendezvousRequest.from_value(cast("Value", await core.receive()))
        await core.send(await _answer(request))
    except FrameError:
        pass  # the core has gone
    finally:
        await core.aclose()


async def _answer(request: RendezvousRequest | Rejected) -> Message:
    if isinstance(request, Rejected):
        return ["down", f"invalid request for the DHT: {request.reason}", ""]
    try:
        return ["found", cast("Message", (await find_nodes(request)).to_value())]
    except ArnodeError as fault:
        return ["down", fault.message, fault.hint]
    except Exception as fault:  # noqa: BLE001 (a supervisor: the core gets the error)
        return ["down", describe_fault(fault), ""]


async def find_nodes(request: RendezvousRequest) -> RendezvousResult:
    """Look up the keys, one after the other, and announce this node under the first.

    Raises:
        NetworkError: no server in `request.entries` has a known address.
    """
    entries = await places_of(request.entries)
    if not entries:
        raise NetworkError("no DHT server has a known address", "check this machine's DNS")
    addresses = [Multiaddr(one) for one in request.addresses if _is_for(one, entries)]
    found: dict[DhtPeer, set[bytes]] = {}
    answered: set[bytes] = set()
    asked = announced = 0
    async with running_client(request.transport_seed, addresses) as client:
        for number, key in enumerate(request.keys):
            lookup = Lookup(key, client.peer, partial(client.ask, key))
            await lookup.run(entries)
            asked += lookup.questions
            answered |= {server.peer for server in lookup.closest}
            if number == 0 and addresses:
                announced = await _announce(client, lookup)
            for peer, servers in lookup.providers.items():
                found.setdefault(peer, set()).update(servers)
            await client.part()
    # Addresses that only one server names come last: that server may have invented them.
    likely = [str(peer) for peer in sorted(found, key=lambda peer: -len(found[peer]))]
    nodes = [text for text in likely if isinstance(parse_address(text), Address)]
    return RendezvousResult(
        found=tuple(nodes[:MOST_FOUND]),
        asked=asked,
        answered=len(answered),
        announced=announced,
    )


async def _announce(client: Client, lookup: Lookup) -> int:
    """Announce this node as the key's provider at the closest servers; return how many confirm it.

    To confirm the announcement, each server is asked for the key's providers. This also finds nodes
    that were announced meanwhile. So if two nodes arrive together, at least one sees the other.
    """
    confirmed = 0

    async def announce_to(server: DhtPeer) -> None:
        nonlocal confirmed
        try:
            await client.provide(lookup.key, server)
            answer = await client.ask(lookup.key, server)
        except NetworkError:
            return
        lookup.note(server, answer)
        confirmed += any(one.peer == client.peer for one in answer.providers)

    async with trio.open_nursery() as nursery:
        for server in lookup.closest:
            nursery.start_soon(announce_to, server)
    return confirmed


def _is_for(text: str, entries: Sequence[DhtPeer]) -> bool:
    """Return True if an address may be sent to all of these servers (see `may_share`)."""
    address = parse_address(text)
    return isinstance(address, Address) and all(
        may_share(address.reach, entry.reach) for entry in entries
    )
