"""The messages of a client of libp2p's Kademlia DHT, and the checks on answers.

https://github.com/libp2p/specs/blob/master/kad-dht/README.md. Servers are untrusted. At most 20
peers with 8 addresses each are read from an answer, and only addresses of a form that this node
dials. A private address is accepted only from a server in the same private network. Pure.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from google.protobuf.message import DecodeError
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from node.home.addresses import Reach, host_fault, may_share, reach_of
from node.network.patches import parse_address
from protocol.errors import Rejected

PROTOCOL: Final = "/ipfs/kad/1.0.0"
MESSAGE_BYTES: Final = 64 << 10
BUCKET: Final = 20  # servers that store a key, and the most peers in an answer
ADDRESSES: Final = 8  # of one peer
_ID_BYTES: Final = 64  # the longest has 38


@dataclass(frozen=True, slots=True, kw_only=True)
class DhtPeer:
    """An address at which a peer may listen. `peer`: its id in bytes, for a key of any type."""

    peer: bytes
    host: str
    port: int

    @property
    def kind(self) -> str:
        """The multiaddr protocol of the host: `ip4` or `ip6`."""
        return "ip6" if ":" in self.host else "ip4"

    @property
    def reach(self) -> Reach:
        """The networks from which the host can be reached."""
        return reach_of(self.host)

    @property
    def address(self) -> Multiaddr:
        """The address to dial, without the id."""
        return Multiaddr(f"/{self.kind}/{self.host}/tcp/{self.port}")

    def __str__(self) -> str:
        return f"{self.address}/p2p/{ID(self.peer)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A server's answer about a key: its providers, and servers that are closer to it."""

    providers: tuple[DhtPeer, ...]
    closer: tuple[DhtPeer, ...]


def distance(key: bytes, peer: bytes) -> int:
    """Return the distance of a peer from a key, by the DHT's XOR metric."""
    at, of = (hashlib.sha256(one).digest() for one in (key, peer))
    return int.from_bytes(at, "big") ^ int.from_bytes(of, "big")


def question_of(key: bytes) -> bytes:
    """Return the message that asks for the providers of a key."""
    return Message(type=Message.GET_PROVIDERS, key=key).SerializeToString()


def announcement_of(key: bytes, peer: bytes, addresses: Sequence[Multiaddr]) -> bytes:
    """Return the message by which a provider announces itself for a key. It gets no answer."""
    provider = Message.Peer(
        id=peer, addrs=[address.to_bytes() for address in addresses[:ADDRESSES]]
    )
    return Message(type=Message.ADD_PROVIDER, key=key, providerPeers=[provider]).SerializeToString()


def read_answer(data: bytes, *, server_reach: Reach) -> Answer | Rejected:
    """Return an answer with the addresses that `may_share` accepts from this server."""
    message = Message()
    try:
        message.ParseFromString(data)
    except DecodeError as fault:
        return Rejected(f"not a DHT message: {fault}")
    return Answer(
        providers=tuple(_places(message.providerPeers, server_reach)),
        closer=tuple(_places(message.closerPeers, server_reach)),
    )


def place_of(address: Multiaddr, peer: bytes) -> DhtPeer | None:
    """Return an address as a `DhtPeer`; None if this node dials no address of that form."""
    match str(address).split("/"):
        case ["", "ip4" | "ip6" as kind, host, "tcp", port] | [
            "",
            "ip4" | "ip6" as kind,
            host,
            "tcp",
            port,
            "p2p",
            _,
        ] if host_fault(kind, host) is None and port != "0":
            return DhtPeer(peer=peer, host=host, port=int(port))
    return None


def _places(peers: Iterable[Message.Peer], server_reach: Reach) -> Iterator[DhtPeer]:
    """Yield the addresses of peers. Unusable ones do not count towards the limits."""
    for peer in islice((one for one in peers if 0 < len(one.id) <= _ID_BYTES), BUCKET):
        read = (parse_address(raw) for raw in peer.addrs)
        found = (place_of(one, peer.id) for one in read if one is not None)
        usable = (one for one in found if one is not None and may_share(one.reach, server_reach))
        yield from islice(usable, ADDRESSES)
