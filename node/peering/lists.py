"""Nodes of the same network, by lists of addresses that its key signed and somebody publishes.

Each list is read anew every few hours. Its newest text is kept, so that a start has it before
anybody answers and nobody who answers can bring back an older one. All that lists say goes to the
address book, which bounds how many of it are tried and how often.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from node.home.addresses import Address
from node.home.clock import is_to_come
from node.home.network_definition import Network
from node.home.signed_list import told_time
from node.peering.address_list import AddressList, read_list
from node.peering.list_reader import ListReader
from protocol.codecs import plain
from protocol.errors import ArnodeError, Rejected

ALONE_S: Final = 1200.0  # from one look to the next while nobody is there
SETTLED_S: Final = 6 * 3600.0
_LOOKED_S = 1.0
_log = logging.getLogger("node.peering")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownList:
    """What is known of a list: its newest text, and why the last look brought none, if so."""

    place: str
    text: AddressList | None = None
    fault: str | None = None


class Lists:
    """Reads a network's lists while `run` does.

    `key` signs them. `peers` returns how many are connected; `found` takes all that lists say;
    `clock`: seconds since 1970, which may jump. `recall` and `keep` are of small values that
    survive (`Store.meta`, `Store.set_meta`).
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
        """When the next look is due, in seconds since 1970; 0 before the first."""
        if self._looked_s is None:
            return 0.0
        return self._looked_s + (SETTLED_S if self._peers() else ALONE_S)

    async def run(self) -> None:
        """Look whenever it is due; never return."""
        self._found(self._addresses())
        while True:
            if not is_to_come(self.next_s, self._clock(), most_s=SETTLED_S):
                await self._look()
            await asyncio.sleep(_LOOKED_S)

    async def _look(self) -> None:
        texts = await asyncio.gather(*map(self._reader.read, self._network.lists))
        self.last = tuple(map(self._after, self.last, texts))
        self._looked_s = self._clock()
        self._found(self._addresses())  # again, if they are the same: the book forgets the silent

    def _kept(self, place: str) -> KnownList:
        kept = self._recall(self._name(place))
        text = None if kept is None else self._read(kept)
        # What was kept may be by the key of another day.
        return KnownList(place=place, text=text if isinstance(text, AddressList) else None)

    def _after(self, known: KnownList, answer: bytes | Rejected) -> KnownList:
        """Return what is known of a list after its place was asked."""
        text = answer if isinstance(answer, Rejected) else self._read(answer)
        if isinstance(text, AddressList) and known.text and text.written_s < known.text.written_s:
            then, now = told_time(text.written_s), told_time(known.text.written_s)
            text = Rejected(f"it is of {then}, older than what it said before, of {now}")
        if isinstance(text, Rejected):
            if text.reason != known.fault:
                _log.warning("the list %s: %s", known.place, plain(text.reason))
            return replace(known, fault=text.reason)
        if text != known.text:
            self._keep_text(known.place, text)
            told = (known.place, told_time(text.written_s), len(text.addresses))
            _log.info("the list %s, written %s, names %d addresses", *told)
        return replace(known, text=text, fault=None)

    def _keep_text(self, place: str, text: AddressList) -> None:
        try:
            self._keep(self._name(place), text.text())
        except ArnodeError as fault:
            _log.warning("the list %s is not kept: %s (%s)", place, fault.message, fault.hint)

    def _read(self, data: bytes) -> AddressList | Rejected:
        return read_list(data, network=self._network.name, key=self._key, now_s=self._clock())

    def _name(self, place: str) -> str:
        return f"list {self._network.name} {place}"

    def _addresses(self) -> list[Address]:
        """What all lists say, the newest first."""
        texts = [one.text for one in self.last if one.text is not None]
        texts.sort(key=lambda text: text.written_s, reverse=True)
        return list(dict.fromkeys(address for text in texts for address in text.addresses))
