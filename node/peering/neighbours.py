"""The search by multicast DNS for nodes of the same arnode network on the local network.

This is the core's side of `node.peering.multicast`. Addresses go to the address book, which bounds
their number and how often they are tried. A failure is logged once and does not affect anything
else.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from node.home.addresses import Address, Reach, parse_address
from node.home.network_definition import Network
from node.network.contract import FRAMING
from node.processes.channel import ProcessChannel
from node.processes.child import ChildProgram
from node.processes.supervisor import Supervisor
from protocol.errors import ArnodeError
from protocol.framing import ChannelError, Message

_PROGRAM = "node.peering.multicast"
_CONTEXT = b"arnode/mdns/1\0"
_NAME_BYTES = 8
_LOOKED_S = 1.0
_log = logging.getLogger("node.peering")


class Neighbours:
    """A search for neighbours while `run` is running. `listened` returns this node's addresses."""

    def __init__(
        self,
        network: Network,
        *,
        hidden: Sequence[Path],
        listened: Callable[[], tuple[str, ...]],
        found: Callable[[Address], None],
    ) -> None:
        self._name = local_name(network)
        self._program = ChildProgram(
            name="the process that speaks mDNS",
            module=_PROGRAM,
            framing=FRAMING,
            hidden=tuple(hidden),
        )
        self._level = logging.WARNING  # for the first fault; later ones are logged as debug
        self._listened = listened
        self._found = found

    async def run(self) -> None:
        """Run the mDNS process, and restart it whenever it ends. Never returns."""
        await Supervisor(self._program, self._live, on_death=self._note_death).run()

    def _note_death(self, why: ArnodeError, _wait_s: float) -> bool:
        _log.log(self._level, "not looking for peers on the local network: %s", why.message)
        self._level = logging.DEBUG
        return True

    async def _live(self, channel: ProcessChannel[Message]) -> NoReturn:
        sending = asyncio.create_task(self._send_addresses(channel))
        try:
            while True:
                self._take(await channel.receive())
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send_addresses(self, channel: ProcessChannel[Message]) -> None:
        sent: tuple[str, ...] = ()
        while True:
            listened = self._listened()
            if listened and listened != sent:  # nothing while the network is down
                await channel.send(["announce", self._name, [*listened]])
                sent = listened
            await asyncio.sleep(_LOOKED_S)

    def _take(self, frame: Message) -> None:
        match frame:
            case ["found", str(text)]:
                address = parse_address(text)
                if isinstance(address, Address) and self._may_be(address):
                    self._found(address)
            case _:
                raise ChannelError("an invalid frame")

    def _may_be(self, address: Address) -> bool:
        """Return True if a neighbour may listen at an address.

        Addresses of this node are excluded, and loopback addresses unless this node listens on
        loopback, too.
        """
        own = [one for one in map(parse_address, self._listened()) if isinstance(one, Address)]
        is_no_place = address.reach in (Reach.NAME, Reach.NOWHERE)
        if is_no_place or any(one.peer == address.peer for one in own):
            return False
        return address.reach is not Reach.LOOPBACK or any(
            one.reach is Reach.LOOPBACK for one in own
        )


def local_name(network: Network) -> str:
    """Return a network's name on the wire; a secret makes it impossible to guess."""
    digest = hashlib.sha256(_CONTEXT + (network.secret or b"") + network.name.encode()).digest()
    return digest[:_NAME_BYTES].hex()
