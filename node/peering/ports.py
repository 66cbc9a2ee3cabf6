"""The choice of ports to listen on: the same after a restart, so that invites stay valid.

If the settings name no port, the node tries its last port again. If that port is taken, the node
uses another one and remembers that one instead.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Final

from node.home.addresses import ANYWHERE
from protocol.errors import ArnodeError

USUAL_PORT: Final = 4001
_ANY = "/tcp/0"
# After a kill, a child of the old process holds the port until it notices.
_TRIES = 20
_TRIED_EVERY_S = 0.25
_log = logging.getLogger("node.peering")


class Ports:
    """The choice of ports for listen addresses.

    `listen` are the addresses; if empty, all addresses of this machine and the usual port. `recall`
    and `keep` read and store small values that survive a restart (`Store.meta`, `Store.set_meta`).
    """

    def __init__(
        self,
        listen: tuple[str, ...],
        *,
        recall: Callable[[str], bytes | None],
        keep: Callable[[str, bytes], None],
    ) -> None:
        self._recall = recall
        self._keep = keep
        self._usual = None if listen else USUAL_PORT
        self._listen = listen or (f"{ANYWHERE}{_ANY}",)

    async def to_listen(self) -> tuple[str, ...]:
        """Return the addresses with ports; port 0 (any port) if no known port is free."""
        return tuple([await self._chosen(address) for address in self._listen])

    def got(self, addresses: Iterable[str]) -> None:
        """Remember the ports on which this node listens now."""
        for address in addresses:
            place, _, rest = address.partition("/tcp/")
            port = rest.split("/")[0]
            if f"{place}{_ANY}" in self._listen and self._kept(place) != int(port):
                try:
                    self._keep(_key(place), port.encode())
                except ArnodeError as fault:
                    _log.warning("the port was not saved: %s (%s)", fault.message, fault.hint)

    async def _chosen(self, address: str) -> str:
        place = address.removesuffix(_ANY)
        if place == address:
            return address
        kept = self._kept(place)
        if kept is not None and await _becomes_free(place, kept):
            return f"{place}/tcp/{kept}"
        if self._usual not in (None, kept) and _is_free(place, USUAL_PORT):
            return f"{place}/tcp/{USUAL_PORT}"
        taken = kept or self._usual
        if taken is not None:
            _log.info("port %d is taken: using another one", taken)
        return address

    def _kept(self, place: str) -> int | None:
        kept = self._recall(_key(place))
        return None if kept is None else int(kept)


def _key(place: str) -> str:
    return f"port {place}"


async def _becomes_free(place: str, port: int) -> bool:
    for _ in range(_TRIES):
        if _is_free(place, port):
            return True
        await asyncio.sleep(_TRIED_EVERY_S)
    return False


def _is_free(place: str, port: int) -> bool:
    _, kind, host = place.split("/")
    family = socket.AF_INET6 if kind == "ip6" else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if kind == "ip6":
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
