"""All changes that arnode makes to py-libp2p at run time, for exactly one version of it.

All private or replaced names of libp2p appear in this module only, except in three subclasses:
`GuardedManager`, `GuardedPubsub`, `GuardedGossipSub`. Tests fail when upstream changes these names
(`tests/network/test_patches.py`, `test_guards.py`).

Changes for all hosts, made by `apply_patches`:

- Peer record: 0.8.1 sends libp2p's signed peer record (the host's own addresses) with every RPC,
  and `env_to_send_in_RPC` walks all addresses for it. Here the peer record is made once in five
  seconds. Upstream also checks received peer records; arnode's reading loop does not
  (`node.network.gossip`). Both changes together reduced the time of a delivery from 598 / 3538 ms
  to 11 / 36 ms (p50 / p99, ten hosts in a process at 20 messages a second).
- Windows: after every read of a stream, even of one byte, upstream sends a yamux frame that
  returns the bytes to the window: three frames for each message. Here bytes are returned once they
  are half of the window. Upstream claims to do the same.
- Sockets: upstream reads two bytes of length, then the rest. Here data is read ahead.
- Bounds: upstream sets no maximum length for the text that negotiates a protocol, not even on a raw
  socket before a peer is identified. It also caches a thousand addresses that peers report, of up
  to a megabyte each.

The other functions change one host, swarm, connection or service; the guards use them.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from importlib import metadata
from typing import Any, Final
from weakref import WeakKeyDictionary

from libp2p.abc import IHost, INetStream
from libp2p.exceptions import ParseError
from libp2p.host.basic_host import BasicHost
from libp2p.identity import update
from libp2p.io.abc import Reader
from libp2p.io.trio import TrioTCPStream
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import env_to_send_in_RPC
from libp2p.protocol_muxer import multiselect_communicator
from libp2p.pubsub import gossipsub, pubsub
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream
from libp2p.tools.anyio_service.api import ManagerAPI, ServiceAPI
from libp2p.utils.varint import read_varint_prefixed_bytes_limited
from multiaddr import Multiaddr

from protocol.errors import ConfigurationError

VERSION: Final = "0.8.1"
OWN_RECORD_S: Final = 5.0
# Bytes to read ahead from a socket: a few messages.
AHEAD_BYTES: Final = 16 << 10
LINE_LIMIT_BYTES: Final = 1024
ADDRESS_LIMIT_BYTES: Final = 256

MakeEnvelope = Callable[[IHost], tuple[bytes, bool]]
Clock = Callable[[], float]
StreamHandler = Callable[[INetStream], Awaitable[None]]
ReadSome = Callable[..., Awaitable[bytes]]
ReadBody = Callable[[int], Awaitable[bytes]]


def apply_patches() -> None:
    """Install the replacements in py-libp2p's modules and classes; a second call does nothing.

    Raises:
        ConfigurationError: another version of py-libp2p is installed.
    """
    installed = metadata.version("libp2p")
    if installed != VERSION:
        raise ConfigurationError(
            f"libp2p {installed} is installed; arnode's guards are written for {VERSION}",
            f"install that version: `pip install libp2p=={VERSION}`",
        )
    for module in (pubsub, gossipsub):
        vars(module)["env_to_send_in_RPC"] = own_record
    replaced = (
        (YamuxStream, _release, release_by_halves),
        (TrioTCPStream, _read_socket, read_ahead),
    )
    for owner, method, function in replaced:
        setattr(owner, method.__name__, function)
    vars(multiselect_communicator)["read_delim"] = read_line
    vars(update)["_safe_parse_multiaddr_cached"] = parse_address


def cached_own_record(make: MakeEnvelope, clock: Clock = time.monotonic) -> MakeEnvelope:
    """Return `make` with a cache per host that expires after `OWN_RECORD_S`. `clock`: seconds."""
    made: WeakKeyDictionary[IHost, tuple[float, bytes]] = WeakKeyDictionary()

    def env_to_send(host: IHost) -> tuple[bytes, bool]:
        now = clock()
        known = made.get(host)
        if known is not None and now - known[0] < OWN_RECORD_S:
            return known[1], False
        envelope, is_new = make(host)
        made[host] = (now, envelope)
        return envelope, is_new

    return env_to_send


own_record: Final = cached_own_record(env_to_send_in_RPC)

_release = YamuxStream._auto_tune_and_send_window_update  # noqa: SLF001 (the function to replace)
_read_socket = TrioTCPStream.read
_ahead: WeakKeyDictionary[TrioTCPStream, bytes] = WeakKeyDictionary()


async def release_by_halves(stream: YamuxStream, *, bytes_read: int = 0) -> None:
    """Give bytes read from a stream back to the peer's window once they are half of the window."""
    unread = len(stream.conn.stream_buffers.get(stream.stream_id, b""))
    read = stream.target_recv_window - stream.recv_window - unread
    if read >= stream.target_recv_window // 2:  # upstream reads an environment variable each time
        await _release(stream)


async def read_ahead(stream: TrioTCPStream, n: int | None = None) -> bytes:
    """Return at most `n` bytes of a socket; bytes that were read ahead come first."""
    if n == 0:
        return b""
    data = _ahead.pop(stream, b"") or await _read_socket(stream, max(n or 0, AHEAD_BYTES))
    if n is None or len(data) <= n:
        return data
    _ahead[stream] = data[n:]
    return data[:n]


async def read_line(reader: Reader) -> bytes:
    """Return one line of multistream-select, of at most `LINE_LIMIT_BYTES`, without its newline.

    Raises:
        MessageTooLarge, ParseError: the line is too long, or has no newline.
    """
    line = await read_varint_prefixed_bytes_limited(reader, LINE_LIMIT_BYTES)
    if line[-1:] != b"\n":
        raise ParseError("a line of multistream-select without its newline")
    return line[:-1]


def parse_address(raw: bytes) -> Multiaddr | None:
    """Parse an address; return None if it is invalid or longer than `ADDRESS_LIMIT_BYTES`."""
    if len(raw) > ADDRESS_LIMIT_BYTES:
        return None
    try:
        address = Multiaddr(raw)
        str(address)  # multiaddr checks the bytes only here
    except Exception:  # noqa: BLE001 (multiaddr documents no set of exceptions)
        return None
    return address


def disable_identify(host: BasicHost) -> None:
    """Keep a host from sending identify requests, whose answers it would store unchecked."""

    def identify(peer: ID, *, reason: str) -> None:
        pass

    vars(host)["_schedule_identify"] = identify


def advertise_addresses(host: BasicHost, addresses: Sequence[Multiaddr]) -> None:
    """Make a host that does not listen report its node's addresses when peers identify it."""
    vars(host)["get_addrs"] = lambda: [*addresses]


def disable_dialling(swarm: Swarm) -> None:
    """Keep a swarm from dialling by itself the addresses that peers sent."""

    async def maybe_connect() -> None:
        pass

    vars(swarm.auto_connector)["maybe_connect"] = maybe_connect


def stream_dispatch(host: BasicHost) -> StreamHandler:
    """Return the host's handler of inbound streams, for the guards to wrap."""
    dispatch: StreamHandler = host._swarm_stream_handler  # noqa: SLF001 (the handler to guard)
    return dispatch


def replace_connecting(
    swarm: Swarm, *, accept: Callable[..., Any], dial: Callable[..., Any], admit: Callable[..., Any]
) -> None:
    """Replace a swarm's functions that upgrade inbound and outbound sockets, and `add_conn`."""
    vars(swarm).update(
        upgrade_inbound_raw_conn=accept, upgrade_outbound_raw_conn=dial, add_conn=admit
    )


def replace_removal(swarm: Swarm, remove: Callable[..., None]) -> None:
    """Replace a swarm's `remove_conn`: upstream calls no listener when it removes a connection."""
    vars(swarm)["remove_conn"] = remove


def reads_of(yamux: Yamux) -> tuple[ReadSome, ReadBody]:
    """Return two functions of a connection: one reads bytes, one reads a yamux frame's body."""
    return yamux.secured_conn.read, yamux._read_data_body  # noqa: SLF001 (the function to guard)


def replace_reads(yamux: Yamux, read: ReadSome, read_body: ReadBody) -> None:
    """Replace the functions that `reads_of` returns.

    They are replaced on the connection, since py-libp2p always creates a `Yamux`, no matter which
    class it is given.
    """
    vars(yamux.secured_conn)["read"] = read
    vars(yamux)["_read_data_body"] = read_body


def set_manager(service: ServiceAPI, manager: ManagerAPI) -> None:
    """Give a service the manager that runs its tasks, as libp2p does when it starts a service."""
    vars(service)["_manager"] = manager
