"""Frames on a stream: they round-trip, and one over the limit is not read at all."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Rejected
from protocol.framing import ChannelError, Framing


def decode(data: bytes) -> str | Rejected:
    return data.decode("ascii") if data.isascii() else Rejected("not ASCII")


FRAMING: Framing[str] = Framing(limit_bytes=8, encode=str.encode, decode=decode)


def reader(data: bytes) -> Callable[[int], Awaitable[bytes]]:
    """Return a reader of a stream of these bytes, split at any places."""
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    return stream.readexactly


async def received(data: bytes) -> tuple[list[str], str]:
    """Return the messages of a stream, and the reason that it ended."""
    read, found = reader(data), list[str]()
    try:
        while True:
            found.append(await FRAMING.receive(read))
    except ChannelError as fault:
        return found, fault.message


@given(st.lists(st.text(st.characters(max_codepoint=127), max_size=8)), st.integers(1, 3))
def test_what_is_written_is_read_again_until_the_stream_is_cut(
    messages: list[str], cut: int
) -> None:
    data = b"".join(map(FRAMING.frame, messages))
    assert asyncio.run(received(data)) == (messages, "the other end closed the connection")
    assert asyncio.run(received(data[:-cut])) == (
        messages[:-1],
        "the other end closed the connection",
    )


def test_a_length_is_four_bytes_in_network_order() -> None:
    assert FRAMING.frame("ab") == b"\0\0\0\2ab"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\0\0\0\x09", "a frame of 9 bytes, more than 8"),  # rejected before any of it has arrived
        (b"\xff\xff\xff\xff", "a frame of 4294967295 bytes, more than 8"),
        (b"\0\0\0\1\xff", "an invalid frame: not ASCII"),
    ],
)
def test_what_is_no_message_ends_the_channel(data: bytes, why: str) -> None:
    assert asyncio.run(received(FRAMING.frame("ab") + data)) == (["ab"], why)


def test_a_message_over_the_limit_is_not_sent() -> None:
    assert len(FRAMING.frame("x" * 8)) == 12
    with pytest.raises(ChannelError, match="a frame of 9 bytes, more than 8"):
        FRAMING.frame("x" * 9)
