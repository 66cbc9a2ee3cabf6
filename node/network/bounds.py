"""Bounds on what py-libp2p reads before any guard of ours can look at it.

In 0.8.1 the line that negotiates a protocol has no longest length, on a raw socket too, before
anybody has said who they are; and what a peer calls its addresses, up to a megabyte each, is kept
in a cache of a thousand. Like the speed patch, this replaces names that a test watches.
"""

from typing import Final

from libp2p.exceptions import ParseError
from libp2p.identity import update
from libp2p.io.abc import Reader
from libp2p.protocol_muxer import multiselect_communicator
from libp2p.utils.varint import read_varint_prefixed_bytes_limited
from multiaddr import Multiaddr

LINE_LIMIT_BYTES: Final = 1024
ADDRESS_LIMIT_BYTES: Final = 256


async def read_line(reader: Reader) -> bytes:
    """Return one line of multistream-select, without its end.

    Raises:
        MessageTooLarge, ParseError: it is too long, or none.
    """
    line = await read_varint_prefixed_bytes_limited(reader, LINE_LIMIT_BYTES)
    if line[-1:] != b"\n":
        raise ParseError("a line of multistream-select without its end")
    return line[:-1]


def parse_address(raw: bytes) -> Multiaddr | None:
    """Return the address that these bytes are, or None."""
    if len(raw) > ADDRESS_LIMIT_BYTES:
        return None
    try:
        address = Multiaddr(raw)
        str(address)  # bytes are not looked at before
    except Exception:  # noqa: BLE001 (multiaddr documents no set of exceptions)
        return None
    return address


def apply_bounds() -> None:
    """Put the bounded readers where py-libp2p looks them up; a second call does nothing."""
    vars(multiselect_communicator)["read_delim"] = read_line
    vars(update)["_safe_parse_multiaddr_cached"] = parse_address
