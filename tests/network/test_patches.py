"""The patches: one version is theirs, and they sit on names that upstream still has."""

import importlib.metadata
import inspect

import pytest
import trio
from libp2p.io.trio import TrioTCPStream
from libp2p.peer import peerstore
from libp2p.pubsub import gossipsub, pubsub
from libp2p.stream_muxer.yamux.yamux import DEFAULT_WINDOW_SIZE, YamuxStream

from node.home.addresses import PeerId
from node.network.building import build_host
from node.network.frames import FrameStream
from node.network.host import running_host
from node.network.patches import (
    OWN_RECORD_S,
    VERSION,
    apply_patches,
    cached_own_record,
    read_ahead,
    release_by_halves,
)
from protocol.errors import ConfigurationError
from tests.network.arena import ECHO, run, settings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_libp2p_is_the_version_that_the_patches_and_guards_were_written_for() -> None:
    assert importlib.metadata.version("libp2p") == VERSION


def test_another_version_of_libp2p_is_refused_with_the_fix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.9.0")
    with pytest.raises(ConfigurationError, match=r"libp2p 0\.9\.0 is installed") as found:
        build_host(settings())
    assert f"libp2p=={VERSION}" in found.value.hint


def test_upstream_has_the_names_that_are_replaced() -> None:
    parameters = inspect.signature(peerstore.env_to_send_in_RPC).parameters
    assert list(parameters) == ["host"]
    for module in (pubsub, gossipsub):
        assert "env_to_send_in_RPC(self" in inspect.getsource(module)
    window = inspect.getsource(YamuxStream)
    assert "async def _auto_tune_and_send_window_update(" in window
    assert "return self.target_recv_window // _yamux_batch_threshold_divisor()" in window
    assert "self.target_recv_window - (self.recv_window + buffered)" in window
    assert "async def read(self, n: int | None = None)" in inspect.getsource(TrioTCPStream)


def test_upstream_finds_what_was_put_in_its_place() -> None:
    apply_patches()
    apply_patches()
    replaced = {module.env_to_send_in_RPC for module in (pubsub, gossipsub)}
    assert len(replaced) == 1
    assert replaced.pop().__module__ == "node.network.patches"
    assert YamuxStream._auto_tune_and_send_window_update is release_by_halves
    assert TrioTCPStream.read is read_ahead


def test_a_window_is_given_back_by_halves_and_never_runs_dry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    updates: list[int] = []
    send = YamuxStream.send_window_update

    async def counted(stream: YamuxStream, increment: int, skip_lock: bool = False) -> None:
        updates.append(increment)
        await send(stream, increment, skip_lock)

    monkeypatch.setattr(YamuxStream, "send_window_update", counted)
    sizes = [10] * 200 + [DEFAULT_WINDOW_SIZE - 7] * 8

    async def sizes_of(_: PeerId, frames: FrameStream) -> None:
        while True:
            data = await frames.receive()
            assert isinstance(data, bytes)
            await frames.send(len(data))

    async def test() -> None:
        async with running_host(settings()) as one, running_host(settings()) as other:
            other.serve(ECHO, sizes_of)
            peer = await one.connect(other.addresses[0])
            updates.clear()
            async with await one.open(peer, ECHO) as frames:
                for size in sizes:
                    await frames.send(bytes(size))
                    assert await frames.receive() == size

    run(test)
    assert sum(updates) >= sum(sizes) - DEFAULT_WINDOW_SIZE
    assert len(updates) < 30  # and not one for each of a thousand reads


def test_what_was_read_ahead_of_a_socket_is_returned_in_pieces_of_any_size() -> None:
    data = bytes(range(256)) * 300

    async def test() -> None:
        ours, theirs = trio.socket.socketpair()
        stream = TrioTCPStream(trio.SocketStream(theirs))
        got = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send_all, trio.SocketStream(ours), data)
            while len(got) < len(data):
                assert await read_ahead(stream, 0) == b""
                some = await read_ahead(stream, 1 + len(got) % 5_000)
                assert 0 < len(some) <= 1 + len(got) % 5_000
                got += some
        assert got == data
        assert await read_ahead(stream) == b""
        await stream.close()

    run(test)


async def _send_all(stream: trio.SocketStream, data: bytes) -> None:
    async with stream:
        await stream.send_all(data)


def test_the_own_record_is_made_once_in_five_seconds_for_each_host() -> None:
    clock, asked = Clock(), []

    def make(host: object) -> tuple[bytes, bool]:
        asked.append(host)
        return b"%d" % len(asked), True

    cached = cached_own_record(make, clock)
    one, other = build_host(settings()), build_host(settings())
    assert cached(one) == (b"1", True)
    assert cached(one) == (b"1", False)
    assert cached(other) == (b"2", True)
    clock.now = OWN_RECORD_S
    assert cached(one) == (b"3", True)
