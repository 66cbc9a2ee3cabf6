"""The address book: where peers may be reached, and which address to dial next.

An address may be a lie. Hearsay is an address from a peer (its own or another's), from the public
DHT or from a published list. The book limits what hearsay can cause:

- It dials one machine at most once an hour, and uses only relays that are connected.
- It accepts at most 20 addresses from one peer, and a private one only from a peer inside the
  same network.
- It accepts at most 64 addresses from lists.
- It tries at most 16 addresses from the DHT an hour, one in each IPv4 /16, IPv6 /32 or name, and
  uses at most a third of the dialled connections for them.
- Addresses tried within the hour are not evicted, so a liar gains nothing by repeating an address.

Peers are identified by their keys, so a false address costs only one dial. Pure: clock and
randomness are passed in.
"""

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, Final

from node.home.addresses import (
    Address,
    PeerId,
    Reach,
    may_share,
    parse_address,
    peer_id,
    transport_key,
)
from protocol.codecs import Codec
from protocol.encoding import Value
from protocol.errors import Rejected
from protocol.fields import Mapped, Natural

MAX_ENTRIES: Final = 1_000
TARGET_OUTBOUND: Final = 8
MAX_FROM_PEER: Final = 20
MAX_FROM_MDNS: Final = 100  # the sender may be anybody on the local network
MAX_FROM_DHT: Final = 64
MAX_FROM_LISTS: Final = 64
DHT_DIALS: Final = 16  # per hour
DHT_SHARE: Final = 1 / 3  # of the connections that this node dials
HEARSAY_INTERVAL_S: Final = 3_600
FAILURES_FORGOTTEN: Final = 8  # from then on, hearsay that never answered is removed
FIRST_BACKOFF_S: Final = 5
LONGEST_BACKOFF_S: Final = 1_800


class AddressSource(Enum):
    """The source of an address, the most trusted first."""

    BOOTSTRAP = "bootstrap"  # the network definition, a flag, the environment
    INVITE = "invite"
    LIST = "list"  # signed by the network's key
    MDNS = "mdns"
    ITSELF = "itself"
    EXCHANGE = "exchange"
    DHT = "dht"


_TRUST = {source: rank for rank, source in enumerate(AddressSource)}
_FROM_PEERS = {AddressSource.ITSELF, AddressSource.EXCHANGE}  # by a peer
_HEARSAY = {*_FROM_PEERS, AddressSource.DHT, AddressSource.LIST}
_MOST_FROM = {
    AddressSource.MDNS: MAX_FROM_MDNS,
    AddressSource.DHT: MAX_FROM_DHT,
    AddressSource.LIST: MAX_FROM_LISTS,
}
_CHOSEN = {AddressSource.BOOTSTRAP, AddressSource.INVITE}  # by the user


def _peer(text: Value) -> PeerId | Rejected:
    key = transport_key(str(text))
    return key if isinstance(key, Rejected) else peer_id(key)


def _source(word: Value) -> AddressSource | Rejected:
    return next((one for one in AddressSource if one.value == word), Rejected("an unknown source"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressEntry(Mapped):
    """An address, its source and its dials so far. Times are seconds since 1970, 0 for never."""

    address: Annotated[Address, Codec(lambda text: parse_address(str(text)), str)]
    source: Annotated[AddressSource, Codec(_source, lambda source: source.value)]
    sent_by: Annotated[PeerId | None, Codec(_peer, str)] = None
    tried_s: Natural = 0
    success_s: Natural = 0
    failures: Natural = 0  # since the last success
    not_before_s: Natural = 0

    @property
    def is_chosen(self) -> bool:
        """True if the user named the address."""
        return self.source in _CHOSEN

    @property
    def is_hearsay(self) -> bool:
        """True if an untrusted source named the address and its last dial, if any, failed."""
        if self.success_s and not self.failures:
            return False
        if self.source is AddressSource.MDNS:  # of the local network, unless its sender lies
            return self.address.reach in (Reach.PUBLIC, Reach.NOWHERE)
        return self.source in _HEARSAY


class AddressBook:
    """A store of at most 1,000 addresses. `clock`: seconds since 1970; it may jump."""

    def __init__(self, *, clock: Callable[[], float], chance: random.Random) -> None:
        self._clock = clock
        self._chance = chance
        self._entries: dict[Address, AddressEntry] = {}

    @property
    def entries(self) -> tuple[AddressEntry, ...]:
        """All entries, in the order of arrival."""
        return tuple(self._entries.values())

    def learn(self, address: Address, source: AddressSource) -> bool:
        """Add an address that no peer sent. Return False if there is no room for it."""
        return self.restore(AddressEntry(address=address, source=source))

    def learn_from_peer(
        self, address: Address, *, sent_by: PeerId, sender_reach: Reach | None
    ) -> bool:
        """Add an address that a peer sent. Return False if it is refused.

        `sender_reach` is the reach of the address at which the peer is connected, None if unknown.
        """
        if not may_share(address.reach, sender_reach):
            return False
        source = AddressSource.ITSELF if address.peer == sent_by else AddressSource.EXCHANGE
        return self.restore(AddressEntry(address=address, source=source, sent_by=sent_by))

    def replace_from(self, source: AddressSource, addresses: Iterable[Address]) -> None:
        """Add all addresses that the DHT or the lists name now, the likeliest first.

        Earlier addresses from this source are removed, unless they have answered or were tried
        within the hour.
        """
        for entry in self._of(source):
            if not (entry.success_s or self._was_tried_recently(entry)):
                del self._entries[entry.address]
        for address in addresses:
            self.learn(address, source)

    def restore(self, entry: AddressEntry) -> bool:
        """Add an entry, unless its address is known from a source that is at least as trusted.

        Return False if there is no room for it.
        """
        known = self._entries.get(entry.address)
        if known is not None and _TRUST[entry.source] >= _TRUST[known.source]:
            return True
        if self._is_over_quota(entry):
            return known is not None
        if known is not None:
            entry = replace(known, source=entry.source, sent_by=entry.sent_by)
        elif not self._make_room(entry):
            return False
        self._entries[entry.address] = entry
        return True

    def next_to_dial(
        self,
        *,
        connected: Collection[PeerId],
        outbound: int,
        dialling: Collection[PeerId] = (),
        own: PeerId | None = None,
        target: int = TARGET_OUTBOUND,
    ) -> list[Address]:
        """Return the addresses to dial now, at most one per peer, and count them as tried.

        `outbound` is the number of connected peers that this node dialled.
        """
        self._forget_dead()
        wanted = target - outbound - len(dialling)
        if wanted <= 0:  # most of the time
            return []
        due = [entry for entry in self._entries.values() if self._is_due(entry)]
        of_dht = [entry for entry in due if entry.source is AddressSource.DHT]
        due = [entry for entry in due if entry.source is not AddressSource.DHT]
        self._chance.shuffle(due)
        due += of_dht  # keep its order: addresses that most servers name come first
        due.sort(key=lambda entry: _rank(entry, is_alone=not connected))
        passed_over = {*connected, *dialling, own}
        sites = self._recent_sites()
        dht = _DhtBounds(
            self._of(AddressSource.DHT), connected, dialling, target, self._was_tried_recently
        )
        chosen: list[Address] = []
        for entry in due:
            if len(chosen) >= wanted:
                break
            address = entry.address
            if address.peer in passed_over or (entry.is_hearsay and address.site in sites):
                continue
            if address.relay is not None and address.relay not in connected:
                continue  # so that nobody dials an invented relay
            if entry.source is AddressSource.DHT and not dht.take(entry):
                continue
            passed_over.add(address.peer)
            if entry.is_hearsay:
                sites.add(address.site)
            chosen.append(address)
            self._entries[address] = replace(entry, tried_s=self._now())
        return chosen

    def note_success(self, address: Address) -> None:
        """Record that the peer answered at the address."""
        if address in self._entries:
            self._entries[address] = replace(
                self._entries[address], success_s=self._now(), failures=0, not_before_s=0
            )

    def note_failure(self, address: Address) -> None:
        """Record that the peer did not answer at an address; do not retry it for a while."""
        entry = self._entries.get(address)
        if entry is None:
            return
        # `failures` may come from a file, so it is bounded before it is used as an exponent.
        wait_s = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(entry.failures, 16))
        # A random factor (Brooker 2015), so that nodes that lost the same peer redial it at
        # different times.
        wait_s *= self._chance.uniform(0.5, 1.0)
        self._entries[address] = replace(
            entry, failures=entry.failures + 1, not_before_s=self._now() + round(wait_s)
        )

    def _is_due(self, entry: AddressEntry) -> bool:
        """Return True if an address may be tried now. Ignore a wait longer than any backoff."""
        now = self._now()
        is_waiting = now < entry.not_before_s <= now + LONGEST_BACKOFF_S
        return not is_waiting and not (entry.is_hearsay and self._was_tried_recently(entry))

    def _recent_sites(self) -> set[str]:
        """Return the machines that were dialled within the hour because of hearsay."""
        entries = self._entries.values()
        return {e.address.site for e in entries if e.is_hearsay and self._was_tried_recently(e)}

    def _of(self, source: AddressSource) -> list[AddressEntry]:
        return [one for one in self._entries.values() if one.source is source]

    def _was_tried_recently(self, entry: AddressEntry) -> bool:
        now = self._now()
        return now - HEARSAY_INTERVAL_S < entry.tried_s <= now + HEARSAY_INTERVAL_S

    def _forget_dead(self) -> None:
        """Remove dead addresses, so that they use up no quota.

        The address of a node on the local network is removed even if it once answered: the node
        announces itself again when it returns.
        """
        dead = [
            entry.address
            for entry in self._entries.values()
            if entry.failures >= FAILURES_FORGOTTEN
            and (
                entry.source is AddressSource.MDNS
                or (entry.source in _HEARSAY and not entry.success_s)
            )
            and not (entry.is_hearsay and self._was_tried_recently(entry))
        ]
        for address in dead:
            del self._entries[address]

    def _is_over_quota(self, entry: AddressEntry) -> bool:
        if entry.source in _FROM_PEERS:
            counts = Counter(e.sent_by for e in self._entries.values() if e.source in _FROM_PEERS)
            return counts[entry.sent_by] >= MAX_FROM_PEER
        return len(self._of(entry.source)) >= _MOST_FROM.get(entry.source, MAX_ENTRIES)

    def _make_room(self, entry: AddressEntry) -> bool:
        """If the book is full, remove the worst entry that is trusted no more than `entry`."""
        if len(self._entries) < MAX_ENTRIES:
            return True
        rank = _TRUST[entry.source]
        worse = [
            known
            for known in self._entries.values()
            if _TRUST[known.source] >= rank
            # Entries that answered or were tried recently are removed only for the user's
            # addresses.
            and (entry.is_chosen or not (known.success_s or self._was_tried_recently(known)))
        ]
        if not worse:
            return False
        worst = max(worse, key=lambda e: (not e.success_s, _TRUST[e.source], e.failures))
        del self._entries[worst.address]
        return True

    def _now(self) -> int:
        return int(self._clock())


class _DhtBounds:
    """Limits on trying addresses from the DHT, because anybody can put addresses there."""

    def __init__(
        self,
        entries: Collection[AddressEntry],
        connected: Collection[PeerId],
        dialling: Collection[PeerId],
        target: int,
        was_tried_recently: Callable[[AddressEntry], bool],
    ) -> None:
        late = [entry for entry in entries if was_tried_recently(entry)]
        busy = {*connected, *dialling}
        there = {entry.address.peer for entry in entries} & busy
        self._places = int(target * DHT_SHARE) - len(there)
        self._dials = DHT_DIALS - len(late)
        self._neighbourhoods = {entry.address.neighbourhood for entry in late if entry.is_hearsay}

    def take(self, entry: AddressEntry) -> bool:
        """Return True if an address may be tried, and count it as tried."""
        place = entry.address.neighbourhood
        is_crowded = entry.is_hearsay and place in self._neighbourhoods
        if self._places <= 0 or self._dials <= 0 or is_crowded:
            return False
        self._places -= 1
        self._dials -= 1
        self._neighbourhoods.add(place)
        return True


def _rank(entry: AddressEntry, *, is_alone: bool) -> tuple[bool, bool, bool, int]:
    """Return the sort key: direct addresses first, then those that answered, then trusted ones.

    While this node has no peer (`is_alone`), the addresses that the user named precede all others.
    """
    answers = bool(entry.success_s) and not entry.failures
    is_relayed = entry.address.relay is not None
    return (not (is_alone and entry.is_chosen), is_relayed, not answers, _TRUST[entry.source])
