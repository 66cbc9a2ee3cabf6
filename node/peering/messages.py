"""Questions and answers of peers as typed values. All their content is untrusted.

    /arnode/hello/1  hello → hello
    /arnode/sync/1   {reconcile, topic} → {message}          protocol/reconciliation.py
                     {want: [id] ≤ 512} → {records: [wire]}  as many of them as fit
                     {after: key|nil, limit, topic} → {records, next: key|nil}
    /arnode/blob/1   {blob, of: record id, offset} → {data, size}
    /arnode/peers/1  {known: n} → {addresses: [address] ≤ n}
    /arnode/reach/1  {ports: [port] ≤ 4} → {address: address without an id | nil}

Each map is parsed field by field with bounds; unknown fields are ignored. An answer is shorter than
one mebibyte: `ANSWER_BYTES` limits its records or data, and the rest is for the other fields.
"""

from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias, TypeVar, cast

from node.home.addresses import PeerId
from node.peering.carrier import Carrier
from node.store.blobs import BLOB_LIMIT_BYTES
from protocol.codecs import (
    NAME_PATTERN,
    Codec,
    binary,
    digest,
    identifier,
    integer,
    pair,
    single_line,
)
from protocol.encoding import LIMIT_BYTES, Value
from protocol.errors import ArnodeError, Rejected
from protocol.fields import Digest, Items, Mapped, Named
from protocol.framing import Message
from protocol.reconciliation import FRAME_LIMIT_BYTES
from protocol.record_index import KEY_BYTES
from protocol.records import VERSION
from protocol.topics import MAX_TOPIC

HELLO: Final = "/arnode/hello/1"
SYNC: Final = "/arnode/sync/1"
BLOB: Final = "/arnode/blob/1"
PEERS: Final = "/arnode/peers/1"

ANSWER_BYTES: Final = 900 * 1024
CHUNK_BYTES: Final = 512 * 1024
MAX_WANTED: Final = 512
MAX_TOPICS: Final = 256
MAX_ADDRESSES: Final = 8  # a node's own
MAX_PEER_ADDRESSES: Final = 16  # of other nodes

M = TypeVar("M", bound=Mapped)
TopicDigest = tuple[int, bytes]


class RefusedError(ArnodeError):
    """A peer's question that gets no answer. The peer only sees that its question ended."""


def read(kind: type[M], message: Message) -> M | Rejected:
    """Return the question or answer in a message, or its first fault."""
    # A message may hold floats; codecs compare types, so no codec accepts them.
    return kind.from_value(cast("Value", message))


async def ask(
    carrier: Carrier,
    peer: PeerId,
    protocol: str,
    question: Mapped,
    kind: type[M],
    *,
    timeout_s: float = 30.0,
) -> M | Rejected:
    """Ask a peer, and return its answer or the answer's first fault.

    Raises:
        NetworkError: there is no answer.
    """
    return read(kind, await carrier.ask(peer, protocol, write(question), timeout_s=timeout_s))


def write(message: Mapped) -> Message:
    """Return a question or answer as a message to send."""
    return cast("Message", message.to_value())


_Address: TypeAlias = Annotated[str, single_line(1, 256)]
_TOPIC = rf"/arnode/[a-z0-9/_-]{{1,{MAX_TOPIC}}}"
_Topic: TypeAlias = Annotated[str, identifier(_TOPIC)]
_Wires: TypeAlias = Annotated[
    tuple[Annotated[bytes, binary(1, LIMIT_BYTES)], ...], Items(0, MAX_WANTED), Named("records")
]
_Key: TypeAlias = Annotated[bytes, binary(KEY_BYTES, KEY_BYTES)]


def _digests() -> Codec[dict[str, TopicDigest]]:
    """Return the codec for a map of topics, each with its number of ids and their sum mod 2^256."""
    name, digest_pair = identifier(_TOPIC), pair(integer(0), digest())

    def read_all(value: Value) -> dict[str, TopicDigest] | Rejected:
        if type(value) is not dict or len(value) > MAX_TOPICS:
            return Rejected(f"not a map of at most {MAX_TOPICS} topics")
        digests: dict[str, TopicDigest] = {}
        for key, entry in value.items():
            topic = name.read(key)
            if isinstance(topic, Rejected):
                return topic
            found = digest_pair.read(entry)
            if isinstance(found, Rejected):
                return Rejected(f"{topic}: {found.reason}")
            digests[topic] = found
        return digests

    return Codec(read_all, lambda digests: {topic: [*entry] for topic, entry in digests.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(Mapped):
    """A node's description of itself: its author, its addresses, and digests of its records.

    Only a profile record that binds the transport key proves that the peer owns the `author` key.
    """

    v: Annotated[int, integer(VERSION, VERSION)]
    software: Annotated[str, single_line(1, 64)]
    net: Annotated[str, identifier(NAME_PATTERN)]
    author: Digest
    addresses: Annotated[tuple[_Address, ...], Items(0, MAX_ADDRESSES)]
    digests: Annotated[dict[str, TopicDigest], _digests()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile(Mapped):
    """A message of a reconciliation of one topic."""

    message: Annotated[bytes, binary(1, FRAME_LIMIT_BYTES), Named("reconcile")]
    topic: _Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled(Mapped):
    """The answer to `Reconcile`."""

    message: Annotated[bytes, binary(1, FRAME_LIMIT_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Want(Mapped):
    """A question for records by id."""

    ids: Annotated[tuple[Digest, ...], Items(1, MAX_WANTED), Named("want")]


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedRecords(Mapped):
    """The answer to `Want`: the available records, from the first on, as many as fit."""

    wires: _Wires


@dataclass(frozen=True, slots=True, kw_only=True)
class After(Mapped):
    """A question for a topic's records in the order of their keys, after one key (nil: all)."""

    after: _Key | None
    limit: Annotated[int, integer(1, MAX_WANTED)]
    topic: _Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsPage(Mapped):
    """The answer to `After`: the next records, and the key to continue after; nil at the end."""

    wires: _Wires
    next: _Key | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobPart(Mapped):
    """A request for some bytes of a blob that a record names, or of a file in a tree it names."""

    blob: Digest
    record: Annotated[Digest, Named("of")]
    offset: Annotated[int, integer(0, BLOB_LIMIT_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Mapped):
    """The answer to `BlobPart`: bytes from the offset on, and the whole blob's size in bytes."""

    data: Annotated[bytes, binary(0, CHUNK_BYTES)]
    size_bytes: Annotated[int, integer(0, BLOB_LIMIT_BYTES), Named("size")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known(Mapped):
    """A question for addresses of other peers."""

    known: Annotated[int, integer(1, MAX_PEER_ADDRESSES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAddresses(Mapped):
    """The answer to `Known`: some addresses."""

    addresses: Annotated[tuple[_Address, ...], Items(0, MAX_PEER_ADDRESSES)]
