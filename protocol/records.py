"""Records: signed, content-addressed messages. The validity of one depends only on its bytes.

    wire    = msgpack [payload bin, sig bin64], at most 16,384 bytes
    id      = sha256("arnode/id/1\\0" + payload)
    sig     = Ed25519(author, "arnode/sig/1\\0" + payload)
    payload = {v 2, net, kind, author key, seq, prev id|nil, ts ms, body map,
               refs [id] ≤ 16?, crit [name] ≤ 16?, x map?}

The signature covers the payload's bytes, so they are stored and never encoded again. `crit` lists
names that a reader must understand. If one is a field neither of the envelope nor of this kind of
body, the body is not interpreted and becomes an `UnknownBody`; the record stays valid. Other
modules check whether a record is already stored, wanted, or dated too far in the future.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, NewType, TypeAlias

from protocol.codecs import NAME_PATTERN, any_map, identifier, integer
from protocol.encoding import LIMIT_BYTES, EncodingError, Value, decode, encode
from protocol.errors import Rejected
from protocol.fields import OPTIONAL, Digest, Items, Mapped, Named, Natural
from protocol.keys import (
    ID_CONTEXT,
    SIGNATURE_CONTEXT,
    Signature,
    SigningKey,
    is_key,
)
from protocol.record_kinds import Body, ProfileBody, UnknownBody, body_fields, body_from_value
from protocol.rerun import RerunBody

RecordId = NewType("RecordId", bytes)

# The network version, shared by records, hellos and leaderboards. Raise it with every change of
# their content or of the rules computed from it. Nodes of different versions disconnect and reject
# each other's records.
VERSION: Final = 3
MAIN_NET: Final = "main"
MAX_REFS: Final = 16
_MAX_CRIT = 16
_SIGNATURE_BYTES = 64
_Name: TypeAlias = Annotated[str, identifier(r"[a-z0-9_]{1,24}")]  # of a kind or a field


@dataclass(frozen=True, slots=True, kw_only=True)
class _Envelope(Mapped):
    v: Annotated[int, integer(VERSION, VERSION)]
    net: Annotated[str, identifier(NAME_PATTERN)]
    kind: _Name
    author: Digest
    seq: Natural
    prev: Digest | None
    ts_ms: Annotated[Natural, Named("ts")]
    body: Annotated[Value, any_map()]
    refs: Annotated[tuple[Digest, ...] | None, Items(0, MAX_REFS), OPTIONAL]
    crit: Annotated[tuple[_Name, ...] | None, Items(0, _MAX_CRIT), OPTIONAL]
    x: Annotated[Value, any_map(), OPTIONAL]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A valid record. `payload_bytes` are authoritative; the other fields are read from them."""

    id: RecordId
    payload_bytes: bytes
    signature: bytes
    net: str
    kind: str
    author: bytes
    seq: int
    prev: RecordId | None
    ts_ms: int
    refs: tuple[bytes, ...]
    crit: tuple[str, ...]
    body: Body

    @property
    def wire(self) -> bytes:
        """The bytes to send."""
        return _wire(self.payload_bytes, self.signature)


def record_id(payload: bytes) -> RecordId:
    """Return the id of the record with this payload."""
    return RecordId(hashlib.sha256(ID_CONTEXT + payload).digest())


def payload_id(wire: bytes) -> tuple[RecordId, bytes, bytes] | Rejected:
    """Return the id, payload and signature of a record, not yet checked.

    This is a cheap first step: a store that already has the id can stop here.
    """
    if len(wire) > LIMIT_BYTES:
        return Rejected(f"{len(wire)} bytes, more than {LIMIT_BYTES}")
    # Read by position instead of with msgpack: two byte strings have exactly one encoding.
    start = 3 if len(wire) <= 3 + 0xFF + 2 + _SIGNATURE_BYTES else 4
    payload, signature = wire[start : -_SIGNATURE_BYTES - 2], wire[-_SIGNATURE_BYTES:]
    if len(signature) != _SIGNATURE_BYTES or _wire(payload, signature) != wire:
        return Rejected("not canonical [payload, signature]")
    return record_id(payload), payload, signature


def parse_record(wire: bytes) -> Record | Rejected:
    """Return the record in `wire`, or the first reason why it is invalid.

    Cheap checks come first: size, shape, canonical payload, fields, signatures.
    """
    record = parse_again(wire)
    if isinstance(record, Rejected):
        return record
    return next((Rejected(fault) for one, fault in _signatures(record) if not one.holds()), record)


def parse_again(wire: bytes) -> Record | Rejected:
    """Parse bytes again that `parse_record` has accepted before.

    Signatures are not verified again, because that takes the most time.
    """
    head = payload_id(wire)
    return head if isinstance(head, Rejected) else _read(*head)


def _read(identity: RecordId, payload: bytes, signature: bytes) -> Record | Rejected:
    """Return the record in a payload, with its signatures not yet verified."""
    value = decode(payload)
    if isinstance(value, Rejected):
        return value
    if (other := other_version(value)) is not None:
        return Rejected(f"a record of network version {other}, but this node has version {VERSION}")
    envelope = _Envelope.from_value(value)
    if isinstance(envelope, Rejected):
        return envelope
    if not is_key(envelope.author):
        return Rejected("author: not a key of prime order")
    body = _body(envelope)
    if isinstance(body, Rejected):
        return Rejected(f"body: {body.reason}")
    return Record(
        id=identity,
        payload_bytes=payload,
        signature=signature,
        net=envelope.net,
        kind=envelope.kind,
        author=envelope.author,
        seq=envelope.seq,
        prev=None if envelope.prev is None else RecordId(envelope.prev),
        ts_ms=envelope.ts_ms,
        refs=envelope.refs or (),
        crit=envelope.crit or (),
        body=body,
    )


def _signatures(record: Record) -> Iterator[tuple[Signature, str]]:
    """Yield (signature that must hold, the fault if it does not)."""
    author, body = record.author, record.body
    own = Signature(author, SIGNATURE_CONTEXT + record.payload_bytes, record.signature)
    yield own, "the signature does not verify"
    if isinstance(body, ProfileBody):
        fault = "body: binding: the transport key does not vouch for the author"
        yield body.bond_with(author), fault
        if body.formerly is not None:
            yield body.formerly.by(author), "body: formerly: that key does not name this one"
    elif isinstance(body, RerunBody):
        yield body.proof_by(author), "body: proof: not the author's signature over what was re-run"


def other_version(said: object) -> int | None:
    """Return the network version of a payload or hello; None if it is this one or missing."""
    version = said.get("v") if isinstance(said, dict) else None
    return version if type(version) is int and version != VERSION else None


def sign_record(
    key: SigningKey,
    *,
    net: str,
    seq: int,
    prev: bytes | None,
    ts_ms: int,
    body: Body,
    refs: tuple[bytes, ...] = (),
) -> Record:
    """Return a new signed record.

    Raises:
        EncodingError: other nodes would reject the record.
    """
    envelope = _Envelope(
        v=VERSION,
        net=net,
        kind=body.kind,
        author=key.public,
        seq=seq,
        prev=prev,
        ts_ms=ts_ms,
        body=body.to_value(),
        refs=refs or None,
        crit=None,
        x=None,
    )
    payload = encode(envelope.to_value())
    record = parse_record(_wire(payload, key.sign(SIGNATURE_CONTEXT + payload)))
    if isinstance(record, Rejected):
        raise EncodingError(
            f"a {body.kind} record would be invalid: {record.reason}",
            "nothing was signed or stored; shorten or correct that field",
        )
    return record


def _body(envelope: _Envelope) -> Body | Rejected:
    if envelope.crit:
        understood = (_Envelope.NAMES | body_fields(envelope.kind)) - {"x"}
        if not understood.issuperset(envelope.crit):
            return UnknownBody(kind=envelope.kind, encoded=encode(envelope.body))
    return body_from_value(envelope.kind, envelope.body)


def _wire(payload: bytes, signature: bytes) -> bytes:
    size = len(payload)
    header = b"\xc4" + bytes([size]) if size <= 0xFF else b"\xc5" + size.to_bytes(2, "big")
    return b"\x92" + header + payload + b"\xc4" + bytes([_SIGNATURE_BYTES]) + signature
