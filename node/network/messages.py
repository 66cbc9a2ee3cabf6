"""Messages between peers, and between the core and its network process: plain msgpack values.

All received bytes are parsed here. Both processes import this module, so it imports neither trio
nor libp2p.
"""

from dataclasses import dataclass
from typing import Final

import msgpack

from node.network.errors import FrameMalformedError
from protocol.framing import Message
from protocol.reconciliation import FRAME_LIMIT_BYTES as RECONCILIATION_LIMIT_BYTES

FRAME_LIMIT_BYTES: Final = 1 << 20  # of a message between peers
# Of a peer's question. The longest is a step of a reconciliation with the fields around it.
QUESTION_LIMIT_BYTES: Final = RECONCILIATION_LIMIT_BYTES + (16 << 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Limits on the number of values in a message, keys included, and on its nesting.

    An empty map is 1 byte on the wire and 64 bytes in memory. msgpack reads and writes at most
    1,024 levels, so a message of that depth could not be forwarded inside another list.
    """

    values: int
    levels: int


# A hello of 256 topics holds 1,045 values; no message of arnode has more than 4 levels.
PEERS_SHAPE: Final = Shape(values=4_096, levels=16)
# Room for any message of a peer with the fields around it, and for settings and answers.
CHANNEL_SHAPE: Final = Shape(values=1 << 16, levels=32)


def encode_message(message: Message) -> bytes:
    """Return the bytes of a message."""
    data: bytes = msgpack.packb(message)
    return data


def decode_message(data: bytes, shape: Shape = PEERS_SHAPE) -> Message:
    """Parse a message. No text, list or map in it may claim a length above that of `data`.

    Raises:
        FrameMalformedError: the bytes are not one message, or the message exceeds the shape.
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
        raise FrameMalformedError(f"a frame that is not a message: {fault}") from fault
    return _only_plain(message, shape)


def _only_plain(message: Message, shape: Shape) -> Message:
    """Reject values that msgpack supports but `Message` does not: keys of bytes, timestamps."""
    level: list[Message] = [message]
    values = levels = 0
    while level:
        values, levels = values + len(level), levels + 1
        if values > shape.values or levels > shape.levels:
            raise FrameMalformedError("a frame with too many values or too many levels")
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
                    raise FrameMalformedError("a frame with values that are not plain data")
        level = deeper
    return message
