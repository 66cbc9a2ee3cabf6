"""Nodes of the same network on the local network, found by multicast DNS.

The core's side of `node.peering.multicast`. What is found goes to the address book, which bounds
it and how often it is tried. That it does not work is said once, and ends nothing.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from node.network.errors import NetworkError
from node.network.messages import Message
from node.processes.backoff import Backoff
from node.processes.channel import Channel
from node.processes.child import child_command, running_child
from node.settings.addresses import Address, Reach, parse_address
from node.settings.network_definition import Network

_PROGRAM = "node.peering.multicast"
_CONTEXT = b"arnode/mdns/1\0"
_NAME_BYTES = 8
_LOOKED_S = 1.0
_log = logging.getLogger("node.peering")


class Neighbours:
    """Finds neighbours while `run` does. `listened` returns this node's addresses with its id."""

    def __init__(
        self,
        network: Network,
        *,
        hidden: Sequence[Path],
        listened: Callable[[], tuple[str, ...]],
        found: Callable[[Address], None],
    ) -> None:
        self._name = local_name(network)
        self._hidden = tuple(hidden)
        self._listened = listened
        self._found = found

    async def run(self) -> None:
        """Run one process after the other; never return."""
        backoff = Backoff()
        level = logging.WARNING
        while True:
            born_s = time.monotonic()
            try:
                why = await self._live()
            except Exception as fault:  # noqa: BLE001 (a supervisor: others are found otherwise)
                why = str(fault)
            wait_s = backoff.wait_s(time.monotonic() - born_s)
            _log.log(level, "nobody is looked for on the local network: %s", why)
            level = logging.DEBUG
            await asyncio.sleep(wait_s)

    async def _live(self) -> str:
        """Run one process until it ends, and return why it did."""
        command = await asyncio.to_thread(child_command, _PROGRAM, self._hidden)
        async with running_child(command, Channel.over) as child:
            telling = asyncio.create_task(self._tell(child.channel))
            try:
                while True:
                    self._take(await child.channel.receive())
            except NetworkError as fault:
                return fault.message
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)

    async def _tell(self, channel: Channel) -> None:
        told: tuple[str, ...] = ()
        while True:
            listened = self._listened()
            if listened and listened != told:  # nothing while the network is down
                await channel.send(["announce", self._name, [*listened]])
                told = listened
            await asyncio.sleep(_LOOKED_S)

    def _take(self, frame: Message) -> None:
        match frame:
            case ["found", str(text)]:
                address = parse_address(text)
                if isinstance(address, Address) and self._may_be(address):
                    self._found(address)
            case _:
                raise NetworkError("the process that speaks mDNS sent a frame that is none")

    def _may_be(self, address: Address) -> bool:
        """Say whether a neighbour may listen there: none of this node, on its own machine if so."""
        own = [one for one in map(parse_address, self._listened()) if isinstance(one, Address)]
        if any(one.peer == address.peer for one in own) or address.reach is Reach.NAME:
            return False
        return address.reach is not Reach.LOOPBACK or any(
            one.reach is Reach.LOOPBACK for one in own
        )


def local_name(network: Network) -> str:
    """Return what stands for a network on the wire; of one with a secret, nobody can guess it."""
    digest = hashlib.sha256(_CONTEXT + (network.secret or b"") + network.name.encode()).digest()
    return digest[:_NAME_BYTES].hex()
