"""Questions and answers of peers as typed values: everything in them is a stranger's word.

    /arnode/hello/1  hello → hello
    /arnode/sync/1   {reconcile, topic} → {message}          protocol/reconciliation.py
                     {want: [id] ≤ 512} → {records: [wire]}  as many of them as there is room for
                     {after: key|nil, limit, topic} → {records, next: key|nil}
    /arnode/blob/1   {blob, of: record id, offset} → {data, size}
    /arnode/peers/1  {known: n} → {addresses: [address] ≤ n}
    /arnode/reach/1  {ports: [port] ≤ 4} → {address: address without an id | nil}

Each map is read field by field with bounds; unknown fields are ignored. An answer stays below one
mebibyte (`ANSWER_BYTES`, with room for what is around it).
"""

from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias, TypeVar, cast

from node.home.addresses import PeerId
from node.peering.carrier import Carrier
from node.store.blobs import BLOB_LIMIT_BYTES
from protocol.codecs import NAME_PATTERN, Codec, binary, digest, integer, line, pair, word
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
MAX_ADDRESSES: Final = 8  # of one's own
MAX_TOLD: Final = 16  # of others

M = TypeVar("M", bound=Mapped)
TopicDigest = tuple[int, bytes]


class RefusedError(ArnodeError):
    """A peer's question that is not answered; the peer only sees that it ended."""


def read(kind: type[M], message: Message) -> M | Rejected:
    """Return the question or answer that a message is, or the first thing wrong with it."""
    # A message may hold floats, which no codec takes for anything: their types are compared.
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
    """Ask a peer, and return its answer, or the first thing wrong with it.

    Raises:
        NetworkError: there is none.
    """
    return read(kind, await carrier.ask(peer, protocol, write(question), timeout_s=timeout_s))


def write(message: Mapped) -> Message:
    """Return the message that a question or answer is sent as."""
    return cast("Message", message.to_value())


_Address: TypeAlias = Annotated[str, line(1, 256)]
_TOPIC = rf"/arnode/[a-z0-9/_-]{{1,{MAX_TOPIC}}}"
_Topic: TypeAlias = Annotated[str, word(_TOPIC)]
_Wires: TypeAlias = Annotated[
    tuple[Annotated[bytes, binary(1, LIMIT_BYTES)], ...], Items(0, MAX_WANTED), Named("records")
]
_Key: TypeAlias = Annotated[bytes, binary(KEY_BYTES, KEY_BYTES)]


def _digests() -> Codec[dict[str, TopicDigest]]:
    """A map of topics, each with the count of its ids and their sum mod 2^256."""
    name, told = word(_TOPIC), pair(integer(0), digest())

    def read_all(value: Value) -> dict[str, TopicDigest] | Rejected:
        if type(value) is not dict or len(value) > MAX_TOPICS:
            return Rejected(f"not a map of at most {MAX_TOPICS} topics")
        digests: dict[str, TopicDigest] = {}
        for key, entry in value.items():
            topic = name.read(key)
            if isinstance(topic, Rejected):
                return topic
            found = told.read(entry)
            if isinstance(found, Rejected):
                return Rejected(f"{topic}: {found.reason}")
            digests[topic] = found
        return digests

    return Codec(read_all, lambda digests: {topic: [*entry] for topic, entry in digests.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(Mapped):
    """Who somebody says they are, where else they can be reached, and what they have.

    That `author` is who signs there is only shown by a profile that binds the transport key.
    """

    v: Annotated[int, integer(VERSION, VERSION)]
    software: Annotated[str, line(1, 64)]
    net: Annotated[str, word(NAME_PATTERN)]
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
    """Answers `Reconcile`."""

    message: Annotated[bytes, binary(1, FRAME_LIMIT_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Want(Mapped):
    """Asks for records by id."""

    ids: Annotated[tuple[Digest, ...], Items(1, MAX_WANTED), Named("want")]


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedRecords(Mapped):
    """Answers `Want`: the records that are there, from the first on, as far as there is room."""

    wires: _Wires


@dataclass(frozen=True, slots=True, kw_only=True)
class After(Mapped):
    """Asks for a topic's records in the order of their keys, from behind one (nil: the first)."""

    after: _Key | None
    limit: Annotated[int, integer(1, MAX_WANTED)]
    topic: _Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsPage(Mapped):
    """Answers `After`: the next records, and the key to go on behind; nil at the end."""

    wires: _Wires
    next: _Key | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobPart(Mapped):
    """Asks for a part of a blob that a record names, or that a tree named there consists of."""

    blob: Digest
    record: Annotated[Digest, Named("of")]
    offset: Annotated[int, integer(0, BLOB_LIMIT_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Mapped):
    """Answers `BlobPart`: that part, and the size of the whole in bytes."""

    data: Annotated[bytes, binary(0, CHUNK_BYTES)]
    size_bytes: Annotated[int, integer(0, BLOB_LIMIT_BYTES), Named("size")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known(Mapped):
    """Asks for addresses of other peers."""

    known: Annotated[int, integer(1, MAX_TOLD)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAddresses(Mapped):
    """Answers `Known`: some that the peer knows."""

    addresses: Annotated[tuple[_Address, ...], Items(0, MAX_TOLD)]
