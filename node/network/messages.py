"""Messages between peers, and between the core and its network process: plain msgpack values.

Bytes become a value here and nowhere else. Both processes read this module: it imports neither
trio nor libp2p.
"""

from dataclasses import dataclass
from typing import Final

import msgpack

from node.network.errors import FrameMalformedError
from protocol.framing import Message
from protocol.reconciliation import FRAME_LIMIT_BYTES as RECONCILIATION_LIMIT_BYTES

FRAME_LIMIT_BYTES: Final = 1 << 20  # of a message between peers
# Of a peer's question: the longest, a step of a reconciliation, and what stands around it.
QUESTION_LIMIT_BYTES: Final = RECONCILIATION_LIMIT_BYTES + (16 << 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How many values one message may hold, keys included, and how many levels of them.

    A byte can be an empty map, which takes 64 in memory; and msgpack writes no more levels than
    the 1,024 that it reads, so that what was read could not be passed on with a list around it.
    """

    values: int
    levels: int


# A hello of 256 topics holds 1,045 values; none of our messages has more than 4 levels.
PEERS_SHAPE: Final = Shape(values=4_096, levels=16)
# Whatever a peer may say, with what stands around it; settings and answers of any node.
CHANNEL_SHAPE: Final = Shape(values=1 << 16, levels=32)


def encode_message(message: Message) -> bytes:
    """Return the bytes of a message."""
    data: bytes = msgpack.packb(message)
    return data


def decode_message(data: bytes, shape: Shape = PEERS_SHAPE) -> Message:
    """Return the one message that these bytes are; their length bounds every part of it.

    Raises:
        FrameMalformedError: the bytes are no message, or none of that shape.
    """
    size = len(data)
    try:
        message: Message = msgpack.unpackb(
            data,
            strict_map_key=True,
            max_str_len=size,
            max_bin_len=size,
            max_array_len=min(size, shape.values),
            max_map_len=min(size, shape.values) // 2,
            max_ext_len=0,
        )
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as fault:
        raise FrameMalformedError(f"a frame that is no message: {fault}") from fault
    return _only_plain(message, shape)


def _only_plain(message: Message, shape: Shape) -> Message:
    """Refuse what msgpack knows and `Message` does not: keys of bytes, timestamps."""
    level: list[Message] = [message]
    values = levels = 0
    while level:
        values, levels = values + len(level), levels + 1
        if values > shape.values or levels > shape.levels:
            raise FrameMalformedError("a frame of too many values, or too deep")
        deeper: list[Message] = []
        for part in level:
            match part:
                case None | bool() | int() | float() | str() | bytes():
                    continue
                case list():
                    deeper.extend(part)
                case dict() if all(isinstance(key, str) for key in part):
                    values += len(part)
                    deeper.extend(part.values())
                case _:
                    raise FrameMalformedError("a frame that holds more than plain values")
        level = deeper
    return message
