"""Frames: any input gives a message or one of the typed errors."""

import struct
from collections.abc import Iterable

import msgpack
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from node.network.errors import (
    FrameCutError,
    FrameError,
    FrameMalformedError,
    FrameStalledError,
    FrameTooLongError,
    StreamEndedError,
)
from node.network.frames import FrameLimits, FrameStream
from node.network.messages import decode_message
from node.network.streams import TrioStream
from protocol.framing import Message
from tests.network.arena import run

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


class Recorded:
    """A stream that was written before, in pieces; it is open at its end if it `stalls`."""

    def __init__(self, pieces: Iterable[bytes], *, stalls: bool = False) -> None:
        self.pieces = [piece for piece in pieces if piece]
        self.stalls = stalls
        self.asked: list[int] = []
        self.written = b""
        self.is_reset = False

    async def read(self, size_bytes: int) -> bytes:
        self.asked.append(size_bytes)
        if not self.pieces:
            if self.stalls:
                await trio.sleep_forever()
            return b""
        piece = self.pieces.pop(0)
        if piece[size_bytes:]:
            self.pieces.insert(0, piece[size_bytes:])
        return piece[:size_bytes]

    async def write(self, data: bytes) -> None:
        if self.stalls:
            await trio.sleep_forever()
        self.written += data

    async def close(self) -> None:
        pass

    async def release(self) -> None:
        pass

    async def reset(self) -> None:
        self.is_reset = True


def frame(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def received(*pieces: bytes, limits: FrameLimits | None = None) -> list[Message]:
    """Return all messages of a stream that ends between two frames."""
    messages: list[Message] = []

    async def read_all() -> None:
        stream = FrameStream(Recorded(pieces), limits)
        while True:
            messages.append(await stream.receive())

    with pytest.raises(StreamEndedError):
        run(read_all)
    return messages


@given(st.lists(plain, max_size=4), st.integers(1, 50))
def test_messages_come_out_as_they_went_in_however_they_are_cut(
    messages: list[Message], size: int
) -> None:
    recorded = Recorded(())

    async def send_all() -> None:
        stream = FrameStream(recorded)
        for message in messages:
            await stream.send(message)

    run(send_all)
    wire = recorded.written
    assert received(*(wire[at : at + size] for at in range(0, len(wire), size))) == messages


def test_a_frame_that_is_cut_at_any_byte_is_an_error() -> None:
    whole = frame(msgpack.packb({"a": [1, b"2", "3"]}))
    for size in range(1, len(whole)):
        with pytest.raises(FrameCutError):
            received(whole[:size])


def test_a_length_over_the_cap_is_refused_before_anything_is_read() -> None:
    recorded = Recorded([struct.pack(">I", 101), bytes(101)])
    with pytest.raises(FrameTooLongError, match="101 bytes, more than 100"):
        run(FrameStream(recorded, FrameLimits(read_bytes=100)).receive)
    assert recorded.asked == [4]
    assert received(frame(msgpack.packb(bytes(98))), limits=FrameLimits(read_bytes=100))


def test_no_more_than_a_chunk_is_asked_for_on_the_word_of_a_length() -> None:
    recorded = Recorded([struct.pack(">I", 1 << 20), b"x"])
    with pytest.raises(FrameCutError):
        run(FrameStream(recorded).receive)
    assert max(recorded.asked) <= 64 * 1024


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01\x01",
        b"\x92\x01",
        b"\x91" * 5_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc7\x01\x05x",
        b"\xd6\xff\x00\x00\x00\x01",
        b"\x81\x01\x01",
        b"\x81\xc4\x01a\x01",
        b"\x81\x90\x01",
        b"\xa1\xff",
    ],
)
def test_bytes_that_are_no_plain_message_are_refused(data: bytes) -> None:
    with pytest.raises(FrameMalformedError):
        decode_message(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    try:
        message = decode_message(data)
    except FrameMalformedError:
        return
    assert decode_message(msgpack.packb(message)) == message or message != message


@given(st.binary(max_size=200))
def test_any_stream_ends_in_one_of_the_errors(data: bytes) -> None:
    async def read_all() -> None:
        stream = FrameStream(Recorded([data]))
        while True:
            await stream.receive()

    with pytest.raises(FrameError):
        run(read_all)


def test_who_sends_or_takes_nothing_is_not_waited_for() -> None:
    limits = FrameLimits(read_s=0.01, write_s=0.01)

    async def test() -> None:
        for pieces in ([], [b"\x00"], [struct.pack(">I", 5), b"abc"]):
            with pytest.raises(FrameStalledError, match="did not send"):
                await FrameStream(Recorded(pieces, stalls=True), limits).receive()
        with pytest.raises(FrameStalledError, match="did not accept"):
            await FrameStream(Recorded([], stalls=True), limits).send(1)

    run(test)


def test_a_drop_at_a_time_does_not_stretch_the_timeout() -> None:
    class Dripping(Recorded):
        async def read(self, size_bytes: int) -> bytes:
            await trio.sleep(0.02)
            return await super().read(1)

    async def test() -> None:
        stream = FrameStream(Dripping([frame(msgpack.packb(bytes(100)))]), FrameLimits(read_s=0.1))
        with pytest.raises(FrameStalledError):
            await stream.receive()

    run(test)


def test_what_is_too_long_to_send_is_not_begun() -> None:
    recorded = Recorded(())

    async def test() -> None:
        with pytest.raises(FrameTooLongError):
            await FrameStream(recorded, FrameLimits(write_bytes=10)).send(bytes(10))

    run(test)
    assert recorded.written == b""


def test_leaving_by_an_error_resets_and_leaving_well_closes() -> None:
    async def leave_well(recorded: Recorded) -> None:
        async with FrameStream(recorded):
            pass

    async def leave_badly(recorded: Recorded) -> None:
        with pytest.raises(ZeroDivisionError):
            async with FrameStream(recorded):
                raise ZeroDivisionError

    ends, stays, fails = Recorded([]), Recorded([b"x"]), Recorded([])
    run(lambda: leave_well(ends))
    run(lambda: leave_well(stays))
    run(lambda: leave_badly(fails))
    assert (ends.is_reset, stays.is_reset, fails.is_reset) == (False, True, True)


def test_frames_go_over_a_socket_of_trio_and_break_with_it() -> None:
    async def test() -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        here = await trio.testing.open_stream_to_socket_listener(listeners[0])
        there = await listeners[0].accept()
        sender, receiver = FrameStream(TrioStream(here)), FrameStream(TrioStream(there))
        await sender.send({"over": b"trio"})
        assert await receiver.receive() == {"over": b"trio"}
        await receiver.reset()
        with pytest.raises(FrameError):
            await sender.receive()
        with pytest.raises(FrameCutError):
            await receiver.send(1)
        await sender.aclose()
        assert here.socket.fileno() == -1
        await listeners[0].aclose()

    run(test)
