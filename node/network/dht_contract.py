"""The messages between the core and the process that asks the DHT.

core → here   a `RendezvousRequest`
here → core   ["found", `RendezvousResult`] or ["down", message, hint]     then it ends
"""

import hashlib
from dataclasses import dataclass, field
from typing import Annotated, Final

from protocol.codecs import binary, single_line
from protocol.fields import Items, Mapped, Natural

MOST_FOUND: Final = 32  # addresses
MOST_SENT: Final = 64  # entries, and addresses of this node
KEYS: Final = 2  # for today and yesterday
RENDEZVOUS_S: Final = 150.0  # two lookups, an announcement and its check
KEY_BYTES: Final = 34
_CONTEXT: Final = b"arnode/rendezvous/1\0"
_SHA256: Final = bytes([0x12, 0x20])  # of a multihash; servers reject a hash without it

_Texts = Annotated[tuple[Annotated[str, single_line(1, 400)], ...], Items(0, MOST_SENT)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RendezvousRequest(Mapped):
    """A request to find the nodes under some keys and to announce this node under the first one.

    `transport_seed`: 32 secret bytes that determine the node's id on the network; servers accept a
    provider's announcement only from that provider. `entries`: the first servers to ask. `keys`:
    multihashes; this node is announced under the first, at `addresses` if there are any.
    """

    transport_seed: Annotated[bytes, binary(32, 32)] = field(repr=False)
    entries: _Texts
    keys: Annotated[tuple[Annotated[bytes, binary(KEY_BYTES, KEY_BYTES)], ...], Items(1, KEYS)]
    addresses: _Texts


@dataclass(frozen=True, slots=True, kw_only=True)
class RendezvousResult(Mapped):
    """The nodes that servers name, and how many servers answered.

    `found`: addresses with ids; those named by most servers come first. `asked`: questions sent.
    `answered`: servers that answered. `announced`: servers that name this node when asked again.
    """

    found: Annotated[tuple[Annotated[str, single_line(1, 400)], ...], Items(0, MOST_FOUND)]
    asked: Natural
    answered: Natural
    announced: Natural


def key_of(network: str, day: str) -> bytes:
    """Return the DHT key, a multihash, for a network's nodes on a day (`2026-03-01`, UTC)."""
    return _SHA256 + hashlib.sha256(_CONTEXT + f"{network}\0{day}".encode()).digest()
