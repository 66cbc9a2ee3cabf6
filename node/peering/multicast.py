"""The process that speaks multicast DNS: it announces this node and finds other nodes.

It uses libp2p's form (https://github.com/libp2p/specs/blob/master/discovery/mdns.md): a service of
the type `_p2p-X._udp.local.` with addresses in its TXT record, where X stands for the network.
Anybody on the local network can write the data read here. So this code runs in a process of its
own, without access to the node's home. Standard input is a socket to the core:

    core → here   ["announce", X, [address listened on]]    first, and when they change
    here → core   ["found", address]
"""

import asyncio
import contextlib
import logging
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import ifaddr
from zeroconf import DNSQuestionType, Error, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from node.home.addresses import seen_at
from node.network.contract import FRAMING
from node.processes.channel import ProcessChannel
from protocol.address_blocks import AddressScope
from protocol.framing import ChannelError, Message
from protocol.ip_addresses import scope_of

MOST_ANNOUNCED: Final = 8  # addresses of one node
MOST_WAITING: Final = 64  # nodes found but not looked up yet
LOOKED_S: Final = 30.0  # between looks at this machine's addresses, which may change
_WORKERS = 4
_PACE_S = 0.05  # between two look-ups of one worker
_ANSWERED_WITHIN_MS = 3_000
_ADDRESS = b"dnsaddr="
_log = logging.getLogger(__name__)


def main() -> None:
    """Serve the core on standard input until the core closes it."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    asyncio.run(serve_core(socket.socket(fileno=sys.stdin.fileno())))


async def serve_core(end: socket.socket) -> None:
    """Announce the addresses that the core sent last, until the core closes the socket."""
    channel = await ProcessChannel.over(end, FRAMING)
    announcing: asyncio.Task[None] | None = None
    try:
        async with asyncio.TaskGroup() as work:
            while True:
                match await channel.receive():
                    case ["announce", str(name), list(listened)]:
                        if announcing is not None:
                            announcing.cancel()
                        announcing = work.create_task(
                            _announce(channel, f"_p2p-{name}._udp.local.", [*map(str, listened)])
                        )
                    case _:
                        _log.error("the core sent a frame that is not an announcement")
    except* ChannelError:
        pass  # the core has gone


async def _announce(
    channel: ProcessChannel[Message], service: str, listened: Sequence[str]
) -> None:
    """Announce on all networks of this machine; restart when its addresses change."""
    is_logged = False
    while True:
        addresses = announced(listened, machine_hosts())
        try:
            if addresses:
                async with _speaking(channel, service, addresses):
                    await _until_changed(listened, addresses)
        except (OSError, Error) as fault:
            if not is_logged:
                is_logged = True
                _log.warning("cannot find peers on the local network, multicast fails: %s", fault)
        await asyncio.sleep(LOOKED_S)


async def _until_changed(listened: Sequence[str], addresses: Sequence[str]) -> None:
    while announced(listened, machine_hosts()) == addresses:  # noqa: ASYNC110 (there is no event)
        await asyncio.sleep(LOOKED_S)


def announced(listened: Sequence[str], hosts: Sequence[str]) -> list[str]:
    """Return the addresses to announce. `hosts` replace each wildcard in `listened`. IPv4 only."""
    places = [place for text in listened for place in seen_at(text, hosts)]
    return [text for text in places if text.startswith("/ip4/")][:MOST_ANNOUNCED]


def machine_hosts() -> list[str]:
    """Return this machine's IPv4 addresses on its local networks, without loopback."""
    found = {str(one.ip) for card in ifaddr.get_adapters() for one in card.ips if one.is_IPv4}
    return sorted(host for host in found if scope_of(host) is not AddressScope.LOOPBACK)


@contextlib.asynccontextmanager
async def _speaking(
    channel: ProcessChannel[Message], service: str, addresses: Sequence[str]
) -> AsyncIterator[None]:
    """Announce these addresses on their networks; send the core the addresses found there."""
    own = secrets.token_hex(16)  # random, so that it reveals no identity
    hosts = [*dict.fromkeys(text.split("/")[2] for text in addresses)]
    info = AsyncServiceInfo(
        service,
        f"{own}.{service}",
        port=int(addresses[0].split("/")[4]),
        properties=written(addresses),
        server=f"{own}.local.",
        parsed_addresses=hosts,
    )
    names: asyncio.Queue[str] = asyncio.Queue(MOST_WAITING)

    def changed(
        zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        del zeroconf, service_type  # zeroconf passes them by these names
        if name != info.name and state_change is not ServiceStateChange.Removed:
            with contextlib.suppress(asyncio.QueueFull):  # enough other nodes are waiting
                names.put_nowait(name)

    speaker = AsyncZeroconf(interfaces=hosts)
    try:
        # Multicast questions: a unicast answer to this port reaches only one of the nodes on a
        # machine.
        AsyncServiceBrowser(
            speaker.zeroconf, service, handlers=[changed], question_type=DNSQuestionType.QM
        )
        # The name is random, so there is no need to check that it is unused.
        await (
            await speaker.async_register_service(info, cooperating_responders=True, strict=False)
        )
        async with asyncio.TaskGroup() as looking:
            workers = [
                looking.create_task(_look(channel, speaker.zeroconf, service, names))
                for _ in range(_WORKERS)
            ]
            yield
            for worker in workers:
                worker.cancel()
    finally:
        await speaker.async_close()


async def _look(
    channel: ProcessChannel[Message], zeroconf: Zeroconf, service: str, names: asyncio.Queue[str]
) -> None:
    """Look up the addresses of nodes in the queue `names`, and send the addresses to the core."""
    while True:
        info = AsyncServiceInfo(service, await names.get())
        if await info.async_request(zeroconf, _ANSWERED_WITHIN_MS, DNSQuestionType.QM):
            for address in read(info.text):
                await channel.send(["found", address])
        await asyncio.sleep(_PACE_S)


def written(addresses: Sequence[str]) -> bytes:
    """Return the TXT record that holds some addresses."""
    entries = [_ADDRESS + address.encode() for address in addresses]
    return b"".join(bytes([len(entry)]) + entry for entry in entries)


def read(text: bytes) -> list[str]:
    """Return the addresses in an untrusted TXT record, at most `MOST_ANNOUNCED`."""
    found = (entry.removeprefix(_ADDRESS) for entry in _entries(text) if entry.startswith(_ADDRESS))
    return [one.decode("ascii") for one in found if one.isascii()][:MOST_ANNOUNCED]


def _entries(text: bytes) -> Iterator[bytes]:
    while text:
        size = text[0]
        yield text[1 : 1 + size]
        text = text[1 + size :]
