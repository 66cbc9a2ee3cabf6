"""The data of `arnode network peers`: connected peers, and their identities if proven."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from node.home.addresses import PeerId, transport_key
from node.home.control_socket import Message
from node.home.people import People
from node.store.store import Store
from protocol.errors import Rejected
from protocol.prospects import AuthorRate
from protocol.record_kinds import ProfileBody

if TYPE_CHECKING:
    from node.peering.greeting import ConnectedPeer
    from node.peering.membership import Membership

_LOOKED_AT = 2_000  # profiles, the newest first


def peers_document(
    store: Store, membership: "Membership | None", trust: Callable[[bytes], str]
) -> dict[str, Message]:
    """Return all connected peers, sorted by id.

    `trust` returns how far this node trusts an author.
    """
    if membership is None:
        return {"network": None, "peers": []}
    profiles = _by_transport(store)
    rows: list[Message] = [
        _row(store, PeerId(peer), known, profiles, trust)
        for peer, known in sorted(membership.peers, key=lambda one: one[0])
    ]
    return {"network": membership.network.name, "peers": rows}


def trust_in(people: People, rates: Mapping[bytes, AuthorRate]) -> Callable[[bytes], str]:
    """Return a function from an author to a trust level.

    The level is the user's setting if set, else it follows from the author's earlier claims.
    """

    def trust(author: bytes) -> str:
        if author in people.blocked:
            return "blocked"
        if author in people.fleet:
            return "own fleet"
        if author in people.friends:
            return "friend"
        return rates.get(author, AuthorRate()).status

    return trust


def _row(
    store: Store,
    peer: PeerId,
    known: "ConnectedPeer",
    profiles: dict[bytes, tuple[bytes, ProfileBody]],
    trust: Callable[[bytes], str],
) -> Message:
    key = transport_key(peer)
    # Only a profile bound to this connection's key proves the author's identity.
    author, profile = profiles.get(b"" if isinstance(key, Rejected) else key, (None, None))
    classes: list[Message] = list(profile.classes) if profile else []
    return {
        "peer": peer,
        "author": author.hex() if author else None,
        "name": profile.name if profile else None,
        "classes": classes,
        "trust": trust(author) if author else "unknown",
        "records": store.records.count(author) if author else 0,
        "latency_ms": None if known.latency_s is None else round(1000 * known.latency_s, 1),
        "direct": not known.relayed,
        "software": known.hello.software if known.hello else None,
    }


def _by_transport(store: Store) -> dict[bytes, tuple[bytes, ProfileBody]]:
    """Return the newest profile of each transport key."""
    found: dict[bytes, tuple[bytes, ProfileBody]] = {}
    for record in store.records.listed("profile", newest_first=True, limit=_LOOKED_AT):
        if isinstance(record.body, ProfileBody) and record.body.bond_with(record.author).holds():
            found.setdefault(record.body.transport, (record.author, record.body))
    return found
