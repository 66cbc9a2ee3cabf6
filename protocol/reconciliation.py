"""Range-based set reconciliation: two nodes find what the other lacks with a few short messages.

The format is version 1 of negentropy (hoytech/negentropy, used by NIP-77), with times in
milliseconds. Other implementations of negentropy can talk to this one:

    message = 0x61 range…
    range   = bound mode payload       up to the bound, from the end of the range before
    bound   = time + 1 less the last bound's time (0: no end) as varint, length, id prefix
    mode    = 0 skip | 1 fingerprint: 16 bytes | 2 ids: count, count × 32 bytes

No I/O: `Initiator` sends the first message and all questions; `respond` answers and stores no
state. A peer might never finish, so bounds must rise, messages have a maximum size, and the
initiator limits rounds and ids. A peer might send too much, so after `MAX_RANGES` ranges one
fingerprint answers the rest, as when a message is full. The caller decides which records are in the
set.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from protocol.errors import Rejected
from protocol.record_index import (
    FINGERPRINT_BYTES,
    KEY_BYTES,
    RecordIndex,
    decode_varint,
    encode_varint,
)

VERSION: Final = 0x61
_VERSIONS = range(0x60, 0x70)
FRAME_LIMIT_BYTES: Final = 128 * 1024
# The most ranges read of one message; this many take tens of milliseconds.
MAX_RANGES: Final = 4_096
MAX_ROUNDS: Final = 1_000
MAX_IDS: Final = 100_000

_BUCKETS = 16
_LEAF = 2 * _BUCKETS  # a range with fewer ids is listed
_ID_BYTES = 32
_TIME_BYTES = 8
_LAST_TIME = (1 << 64) - 1
_END = b"\xff" * KEY_BYTES  # no bound
_SKIP, _FINGERPRINT, _IDS = 0, 1, 2
_FINGERPRINT_MODE = bytes([_FINGERPRINT])
# Space for what closes a full message: a skip, an infinite bound and a fingerprint.
_RESERVED_BYTES = 128


@dataclass(kw_only=True)
class Difference:
    """The ids that only this node has (`have`) and that only the peer has (`need`)."""

    have: list[bytes] = field(default_factory=list)
    need: list[bytes] = field(default_factory=list)


class Initiator:
    """A reconciliation that this node starts. The index must not change until it ends."""

    def __init__(
        self,
        index: RecordIndex,
        *,
        frame_limit_bytes: int = FRAME_LIMIT_BYTES,
        max_rounds: int = MAX_ROUNDS,
        max_ids: int = MAX_IDS,
    ) -> None:
        self._index = index
        self._frame_limit_bytes = frame_limit_bytes
        self._rounds_left = max_rounds
        self._ids_left = max_ids

    def open(self) -> bytes:
        """Return the first message."""
        writer = _Writer(self._index, self._frame_limit_bytes)
        writer.split(0, len(self._index), _END)
        return writer.message()

    def open_whole(self) -> bytes:
        """Return the shortest first message, for sets that are probably equal.

        If they differ, this takes one more round.
        """
        writer = _Writer(self._index, self._frame_limit_bytes)
        writer.whole()
        return writer.message()

    def receive(self, message: bytes) -> tuple[Difference, bytes | None] | Rejected:
        """Return the differences in an answer, and the next message or None if there is none."""
        self._rounds_left -= 1
        if self._rounds_left < 0:
            return Rejected("the peer exceeded the number of rounds")
        difference = Difference()
        writer = _Writer(self._index, self._frame_limit_bytes)
        for number, part in enumerate(_ranges(self._index, message)):
            if isinstance(part, Rejected):
                return part
            if number == MAX_RANGES:
                writer.close()
            if writer.is_full:
                break
            if part.ids is not None:
                self._compare(part, difference)
                writer.skip(part)
            else:
                writer.answer(part)
        self._ids_left -= len(difference.have) + len(difference.need)
        if self._ids_left < 0:
            return Rejected("the peer sent more differences than one reconciliation allows")
        answer = writer.message()
        return difference, answer if len(answer) > 1 else None

    def _compare(self, part: "_Range", difference: Difference) -> None:
        theirs = dict.fromkeys(part.ids or ())
        for ours in self._index.ids(part.start, part.stop):
            if ours in theirs:
                del theirs[ours]
            else:
                difference.have.append(ours)
        difference.need.extend(theirs)


def respond(
    index: RecordIndex, message: bytes, *, frame_limit_bytes: int = FRAME_LIMIT_BYTES
) -> bytes | Rejected:
    """Return the answer to an initiator's message."""
    if message and message[0] != VERSION and message[0] in _VERSIONS:
        return bytes([VERSION])  # negentropy's way to announce the supported version
    writer = _Writer(index, frame_limit_bytes)
    for number, part in enumerate(_ranges(index, message)):
        if isinstance(part, Rejected):
            return part
        if number == MAX_RANGES:
            writer.close()
        if writer.is_full:
            break
        if part.ids is not None:
            writer.ids(part.start, part.stop, part.bound)
        else:
            writer.answer(part)
    return writer.message()


class _Range(NamedTuple):
    """A range of a message: a fingerprint, ids or a skip, for this node's keys start … stop - 1."""

    bound: bytes
    start: int
    stop: int
    fingerprint: bytes | None = None
    ids: tuple[bytes, ...] | None = None


def _ranges(index: RecordIndex, message: bytes) -> Iterator[_Range | Rejected]:
    """Yield the ranges of a message until its end, or until its first fault as a `Rejected`."""
    if len(message) > FRAME_LIMIT_BYTES:
        yield Rejected(f"{len(message)} bytes, more than {FRAME_LIMIT_BYTES}")
        return
    if message[:1] != bytes([VERSION]):
        yield Rejected("not a message of negentropy's version 1")
        return
    at, time, start, last = 1, 0, 0, b""
    while at < len(message):
        head = _read_bound(message, at, time)
        if isinstance(head, Rejected):
            yield head
            return
        bound, time, at = head
        if bound < last or last == _END:
            yield Rejected("the bounds are not in ascending order")
            return
        payload = _read_payload(message, at)
        if isinstance(payload, Rejected):
            yield payload
            return
        fingerprint, ids, at = payload
        stop = max(start, len(index) if bound == _END else index.position(bound))
        yield _Range(bound=bound, start=start, stop=stop, fingerprint=fingerprint, ids=ids)
        start, last = stop, bound


def _read_bound(message: bytes, at: int, last_time: int) -> tuple[bytes, int, int] | Rejected:
    """Return the bound at an offset, its time, and the offset after it."""
    step = decode_varint(message, at)
    if isinstance(step, Rejected):
        return step
    length = decode_varint(message, step[1])
    if isinstance(length, Rejected):
        return length
    size, start = length
    time = last_time + step[0] - 1 if step[0] else _LAST_TIME
    prefix = message[start : start + size]
    if size > _ID_BYTES or len(prefix) < size or time > _LAST_TIME:
        return Rejected("an invalid bound")
    bound = _END if step[0] == 0 else time.to_bytes(_TIME_BYTES, "big") + prefix
    return bound, time, start + size


def _read_payload(
    message: bytes, at: int
) -> tuple[bytes | None, tuple[bytes, ...] | None, int] | Rejected:
    """Return the fingerprint or the ids at an offset, and the offset after them."""
    mode = decode_varint(message, at)
    if isinstance(mode, Rejected):
        return mode
    kind, at = mode
    if kind == _SKIP:
        return None, None, at
    if kind == _FINGERPRINT and at + FINGERPRINT_BYTES <= len(message):
        return message[at : at + FINGERPRINT_BYTES], None, at + FINGERPRINT_BYTES
    if kind == _IDS:
        count = decode_varint(message, at)
        if isinstance(count, Rejected):
            return count
        number, at = count
        end = at + number * _ID_BYTES
        if end <= len(message):
            starts = range(at, end, _ID_BYTES)
            return None, tuple(message[start : start + _ID_BYTES] for start in starts), end
    return Rejected("an invalid range")


class _Writer:
    """A builder of one message that stays within the size limit.

    A full message is closed with one fingerprint of everything that it does not cover.
    """

    def __init__(self, index: RecordIndex, frame_limit_bytes: int) -> None:
        self.is_full = False
        self._index = index
        self._limit_bytes = min(frame_limit_bytes, FRAME_LIMIT_BYTES) - _RESERVED_BYTES
        self._out = bytearray([VERSION])
        self._covered = 0  # position
        self._time = 0
        self._skipped: tuple[bytes, int] | None = None  # bound and position, not yet written

    def message(self) -> bytes:
        """Return the message; a skip at the end is redundant and left out."""
        return bytes(self._out)

    def skip(self, part: _Range) -> None:
        """Skip a range; consecutive skips become one."""
        self._skipped = (part.bound, part.stop)

    def answer(self, part: _Range) -> None:
        """Skip a range that is equal here or that the peer skipped; split any other range."""
        if part.fingerprint in (None, self._index.fingerprint(part.start, part.stop)):
            self.skip(part)
        else:
            self.split(part.start, part.stop, part.bound)

    def split(self, start: int, stop: int, bound: bytes) -> None:
        """List the ids of a short range; cut a long one into parts with a fingerprint each."""
        count = stop - start
        if count < _LEAF:
            self.ids(start, stop, bound)
            return
        ends = [start + count * (number + 1) // _BUCKETS for number in range(_BUCKETS)]
        for end in ends:
            edge = bound if end == stop else self._between(end)
            fingerprint = self._index.fingerprint(start, end)
            self._put(edge, end, _FINGERPRINT_MODE + fingerprint)
            start = end

    def whole(self) -> None:
        """Write one fingerprint of the whole set."""
        count = len(self._index)
        self._put(_END, count, _FINGERPRINT_MODE + self._index.fingerprint(0, count))

    def ids(self, start: int, stop: int, bound: bytes) -> None:
        """List the ids of a range, or as many as there is room for."""
        room = (self._limit_bytes - len(self._out) - _RESERVED_BYTES) // _ID_BYTES
        end = min(stop, start + max(room, 0))
        named = encode_varint(end - start) + b"".join(self._index.ids(start, end))
        if end == stop:
            self._put(bound, end, bytes([_IDS]) + named)
            return
        if end > start:
            self._put(self._between(end), end, bytes([_IDS]) + named)
        self.close()

    def close(self) -> None:
        """Write one fingerprint of everything not covered yet, and nothing after it."""
        if not self.is_full:
            self.is_full = True
            self._put_skip()
            rest = self._index.fingerprint(self._covered, len(self._index))
            self._out += self._encoded(_END)[0] + _FINGERPRINT_MODE + rest

    def _put(self, bound: bytes, stop: int, payload: bytes) -> None:
        if self.is_full:
            return
        self._put_skip()
        edge, time = self._encoded(bound)
        if len(self._out) + len(edge) + len(payload) > self._limit_bytes:
            self.close()
            return
        self._out += edge + payload
        self._covered, self._time = stop, time

    def _put_skip(self) -> None:
        if self._skipped is not None:
            bound, self._covered = self._skipped
            edge, self._time = self._encoded(bound)
            self._out += edge + bytes([_SKIP])
            self._skipped = None

    def _encoded(self, bound: bytes) -> tuple[bytes, int]:
        """Return a bound, encoded relative to the previous bound's time, and its own time."""
        if bound == _END:
            return bytes(2), _LAST_TIME
        time, prefix = int.from_bytes(bound[:_TIME_BYTES], "big"), bound[_TIME_BYTES:]
        return encode_varint(time - self._time + 1) + encode_varint(len(prefix)) + prefix, time

    def _between(self, position: int) -> bytes:
        """Return the shortest bound between the key at a position and the one before it."""
        left, right = self._index.key(position - 1), self._index.key(position)
        if left[:_TIME_BYTES] != right[:_TIME_BYTES]:
            return right[:_TIME_BYTES]
        shared = next(at for at in range(KEY_BYTES) if left[at] != right[at])
        return right[: shared + 1]
