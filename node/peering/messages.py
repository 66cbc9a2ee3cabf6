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
from typing import ClassVar, Final, TypeVar, cast

from node.network.contract import MAX_PORTS
from node.processes.carrier import Message
from node.store.blobs import BLOB_LIMIT_BYTES
from protocol.encoding import LIMIT_BYTES, Value
from protocol.errors import ArnodeError, Rejected
from protocol.fields import (
    NAME_PATTERN,
    Codec,
    Mapped,
    Table,
    binary,
    digest,
    field,
    integer,
    line,
    listing,
    nullable,
    word,
)
from protocol.reconciliation import FRAME_LIMIT_BYTES
from protocol.record_index import KEY_BYTES
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


def write(message: Mapped) -> Message:
    """Return the message that a question or answer is sent as."""
    return cast("Message", message.to_value())


def _address() -> Codec[str]:
    return line(1, 256)


def _topic() -> Codec[str]:
    return word(rf"/arnode/[a-z0-9/_-]{{1,{MAX_TOPIC}}}")


def _digests() -> Codec[dict[str, TopicDigest]]:
    """A map of topics, each with the count of its ids and their sum mod 2^256."""
    name, count, summed = _topic(), integer(0), digest()

    def read_all(value: Value) -> dict[str, TopicDigest] | Rejected:
        if type(value) is not dict or len(value) > MAX_TOPICS:
            return Rejected(f"not a map of at most {MAX_TOPICS} topics")
        digests: dict[str, TopicDigest] = {}
        for key, entry in value.items():
            topic = name.read(key)
            if isinstance(topic, Rejected):
                return topic
            if type(entry) is not list or len(entry) != 2:
                return Rejected(f"{topic}: not a pair")
            number, total = count.read(entry[0]), summed.read(entry[1])
            if isinstance(number, Rejected):
                return number
            if isinstance(total, Rejected):
                return total
            digests[topic] = (number, total)
        return digests

    return Codec(read_all, lambda digests: {topic: [*entry] for topic, entry in digests.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(Mapped):
    """Who somebody says they are, where else they can be reached, and what they have.

    That `author` is who signs there is only shown by a profile that binds the transport key.
    `rule` is the number of the rule that boards follow by there (`protocol.board.RULE`).
    """

    v: int
    rule: int
    software: str
    net: str
    author: bytes
    addresses: tuple[str, ...]
    digests: dict[str, TopicDigest]

    TABLE: ClassVar = Table(
        field("v", integer(1, 1)),
        field("rule", integer(1)),
        field("software", line(1, 64)),
        field("net", word(NAME_PATTERN)),
        field("author", digest()),
        field("addresses", listing(_address(), high=MAX_ADDRESSES)),
        field("digests", _digests()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile(Mapped):
    """A message of a reconciliation of one topic."""

    message: bytes
    topic: str

    TABLE: ClassVar = Table(
        field("reconcile", binary(1, FRAME_LIMIT_BYTES), "message"),
        field("topic", _topic()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled(Mapped):
    """Answers `Reconcile`."""

    message: bytes

    TABLE: ClassVar = Table(field("message", binary(1, FRAME_LIMIT_BYTES)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Want(Mapped):
    """Asks for records by id."""

    ids: tuple[bytes, ...]

    TABLE: ClassVar = Table(field("want", listing(digest(), low=1, high=MAX_WANTED), "ids"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Records(Mapped):
    """Answers `Want`: the records that are there, from the first on, as far as there is room."""

    wires: tuple[bytes, ...]

    TABLE: ClassVar = Table(
        field("records", listing(binary(1, LIMIT_BYTES), high=MAX_WANTED), "wires")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class After(Mapped):
    """Asks for a topic's records in the order of their keys, from behind one (nil: the first)."""

    after: bytes | None
    limit: int
    topic: str

    TABLE: ClassVar = Table(
        field("after", nullable(binary(KEY_BYTES, KEY_BYTES))),
        field("limit", integer(1, MAX_WANTED)),
        field("topic", _topic()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Mapped):
    """Answers `After`: the next records, and the key to go on behind; nil at the end."""

    wires: tuple[bytes, ...]
    next: bytes | None

    TABLE: ClassVar = Table(
        field("records", listing(binary(1, LIMIT_BYTES), high=MAX_WANTED), "wires"),
        field("next", nullable(binary(KEY_BYTES, KEY_BYTES))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobPart(Mapped):
    """Asks for a part of a blob that a record names, or that a tree named there consists of."""

    blob: bytes
    record: bytes
    offset: int

    TABLE: ClassVar = Table(
        field("blob", digest()),
        field("of", digest(), "record"),
        field("offset", integer(0, BLOB_LIMIT_BYTES)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Mapped):
    """Answers `BlobPart`: that part, and the size of the whole in bytes."""

    data: bytes
    size_bytes: int

    TABLE: ClassVar = Table(
        field("data", binary(0, CHUNK_BYTES)),
        field("size", integer(0, BLOB_LIMIT_BYTES), "size_bytes"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Known(Mapped):
    """Asks for addresses of other peers."""

    known: int

    TABLE: ClassVar = Table(field("known", integer(1, MAX_TOLD)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Told(Mapped):
    """Answers `Known`: some that the peer knows."""

    addresses: tuple[str, ...]

    TABLE: ClassVar = Table(field("addresses", listing(_address(), high=MAX_TOLD)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports(Mapped):
    """Asks whether the asker's own host answers at one of these ports."""

    ports: tuple[int, ...]

    TABLE: ClassVar = Table(field("ports", listing(integer(1, 65_535), low=1, high=MAX_PORTS)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached(Mapped):
    """Answers `Ports`: the address at which the asker answered with its own key."""

    address: str | None

    TABLE: ClassVar = Table(field("address", nullable(_address())))
