"""The search for a network's nodes in published address lists that the network's key signed.

Each list is read again every few hours. Its newest text is stored, so that it is available at the
next start and no server can replace it with an older one. All addresses go to the address book,
which limits how many of them are tried and how often.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from node.home.addresses import Address
from node.home.clock import is_in_future
from node.home.network_definition import Network
from node.home.signed_list import iso_time
from node.peering.address_list import AddressList, read_list
from node.peering.list_reader import ListReader
from protocol.codecs import plain
from protocol.errors import ArnodeError, Rejected

ALONE_S: Final = 1200.0  # between two reads while no peer is connected
SETTLED_S: Final = 6 * 3600.0
_LOOKED_S = 1.0
_log = logging.getLogger("node.peering")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownList:
    """A list's newest known text, and the fault of the last attempt to read it, if any."""

    place: str
    text: AddressList | None = None
    fault: str | None = None


class Lists:
    """A reader of a network's lists, which works while `run` is running.

    `key` signs the lists. `peers` returns the number of connected peers. `found` is called with all
    addresses on the lists. `clock`: seconds since 1970, which may jump. `recall` and `keep` read
    and store small values that survive a restart (`Store.meta`, `Store.set_meta`).
    """

    def __init__(
        self,
        network: Network,
        key: bytes,
        *,
        reader: ListReader,
        peers: Callable[[], int],
        found: Callable[[Sequence[Address]], None],
        clock: Callable[[], float],
        recall: Callable[[str], bytes | None],
        keep: Callable[[str, bytes], None],
    ) -> None:
        self._network = network
        self._key = key
        self._reader = reader
        self._peers = peers
        self._found = found
        self._clock = clock
        self._recall = recall
        self._keep = keep
        self._looked_s: float | None = None
        self.last: tuple[KnownList, ...] = tuple(map(self._kept, network.lists))

    @property
    def next_s(self) -> float:
        """The time of the next read, in seconds since 1970; 0 before the first."""
        if self._looked_s is None:
            return 0.0
        return self._looked_s + (SETTLED_S if self._peers() else ALONE_S)

    async def run(self) -> None:
        """Read the lists whenever that is due. Never returns."""
        self._found(self._addresses())
        while True:
            if not is_in_future(self.next_s, self._clock(), most_s=SETTLED_S):
                await self._look()
            await asyncio.sleep(_LOOKED_S)

    async def _look(self) -> None:
        texts = await asyncio.gather(*map(self._reader.read, self._network.lists))
        self.last = tuple(map(self._after, self.last, texts))
        self._looked_s = self._clock()
        self._found(self._addresses())  # even if unchanged: the book forgets dead addresses

    def _kept(self, place: str) -> KnownList:
        kept = self._recall(self._name(place))
        text = None if kept is None else self._read(kept)
        # The stored text may be signed by an earlier key.
        return KnownList(place=place, text=text if isinstance(text, AddressList) else None)

    def _after(self, known: KnownList, answer: bytes | Rejected) -> KnownList:
        """Return the state of a list, updated with the answer to a request for it."""
        text = answer if isinstance(answer, Rejected) else self._read(answer)
        if isinstance(text, AddressList) and known.text and text.written_s < known.text.written_s:
            then, now = iso_time(text.written_s), iso_time(known.text.written_s)
            text = Rejected(f"it was written at {then}, but one written at {now} was already read")
        if isinstance(text, Rejected):
            if text.reason != known.fault:
                _log.warning("the list %s: %s", known.place, plain(text.reason))
            return replace(known, fault=text.reason)
        if text != known.text:
            self._keep_text(known.place, text)
            facts = (known.place, iso_time(text.written_s), len(text.addresses))
            _log.info("the list %s, written %s, names %d addresses", *facts)
        return replace(known, text=text, fault=None)

    def _keep_text(self, place: str, text: AddressList) -> None:
        try:
            self._keep(self._name(place), text.text())
        except ArnodeError as fault:
            _log.warning("the list %s was not saved: %s (%s)", place, fault.message, fault.hint)

    def _read(self, data: bytes) -> AddressList | Rejected:
        return read_list(data, network=self._network.name, key=self._key, now_s=self._clock())

    def _name(self, place: str) -> str:
        return f"list {self._network.name} {place}"

    def _addresses(self) -> list[Address]:
        """Return the addresses on all lists, those of the newest list first."""
        texts = [one.text for one in self.last if one.text is not None]
        texts.sort(key=lambda text: text.written_s, reverse=True)
        return list(dict.fromkeys(address for text in texts for address in text.addresses))
