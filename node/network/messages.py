"""What is said between peers, and between the core and its network process: plain msgpack values.

Bytes become a value here and nowhere else. Both processes read this module: it imports neither
trio nor libp2p.
"""

import struct
from typing import Final, TypeAlias

import msgpack

from node.network.errors import FrameMalformedError

Message: TypeAlias = (
    bool | int | float | str | bytes | list["Message"] | dict[str, "Message"] | None
)

LENGTH: Final = struct.Struct(">I")  # stands before each message on a stream
FRAME_LIMIT_BYTES: Final = 1 << 20  # of a message between peers


def encode_message(message: Message) -> bytes:
    """Return the bytes of a message."""
    data: bytes = msgpack.packb(message)
    return data


def decode_message(data: bytes) -> Message:
    """Return the one message that these bytes are; their length bounds every part of it.

    Raises:
        FrameMalformedError: they are none.
    """
    size = len(data)
    try:
        message: Message = msgpack.unpackb(
            data,
            strict_map_key=True,
            max_str_len=size,
            max_bin_len=size,
            max_array_len=size,
            max_map_len=size // 2,
            max_ext_len=0,
        )
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as fault:
        raise FrameMalformedError(f"a frame that is no message: {fault}") from fault
    return _only_plain(message)


def _only_plain(message: Message) -> Message:
    """Refuse what msgpack knows and `Message` does not: keys of bytes, timestamps."""
    waiting: list[Message] = [message]
    while waiting:
        part = waiting.pop()
        match part:
            case None | bool() | int() | float() | str() | bytes():
                continue
            case list():
                waiting.extend(part)
            case dict() if all(isinstance(key, str) for key in part):
                waiting.extend(part.values())
            case _:
                raise FrameMalformedError("a frame that holds more than plain values")
    return message
