"""The network process: one host, and a socket to the core as standard input.

Its whole configuration, including the transport key, is the first frame on that socket. It ends
when the socket closes. It reads neither arguments nor environment variables.
"""

import logging
import math
import socket
import sys
from typing import Final, cast

import trio

from node.home.clock import clock_ms
from node.network.building import HostSettings
from node.network.contract import CHANNEL_LIMIT_BYTES
from node.network.core_link import CoreLink
from node.network.errors import FrameError
from node.network.frames import FrameLimits, FrameStream
from node.network.gossip_verdicts import GossipJudge
from node.network.host import running_host
from node.network.messages import CHANNEL_SHAPE
from node.network.streams import TrioStream
from protocol.encoding import Value
from protocol.errors import ArnodeError, ConfigurationError, Rejected, describe_fault, first_fault

# No timeouts: the core may be slow, and it ends this process if it waits too long for it.
PATIENT: Final = FrameLimits(
    read_bytes=CHANNEL_LIMIT_BYTES,
    write_bytes=CHANNEL_LIMIT_BYTES,
    shape=CHANNEL_SHAPE,
    read_s=math.inf,
    write_s=math.inf,
)
_FAREWELL_S: Final = 2.0
_log = logging.getLogger(__name__)


def main() -> None:
    """Serve the core on standard input until the core closes it; exit with 1 after a fault."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    with socket.socket(fileno=sys.stdin.fileno()) as channel:
        is_done = trio.run(serve_core, channel)
    sys.exit(0 if is_done else 1)


async def serve_core(channel: socket.socket) -> bool:
    """Run the network for the core at the other end; return False if it ended with an error."""
    core = core_at(channel)
    try:
        settings = HostSettings.from_value(cast("Value", await core.receive()))
        await serve_host(settings, core)
    except FrameError:
        return True  # the core ended before it sent anything
    except Exception as fault:  # noqa: BLE001 (a supervisor: the core gets the error and restarts)
        with trio.move_on_after(_FAREWELL_S):
            await _report_fault(core, first_fault(fault))
        return False
    else:
        return True
    finally:
        await core.reset()


def core_at(channel: socket.socket) -> FrameStream:
    """Return the frame stream to the core at the other end of a socket."""
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(channel))
    return FrameStream(TrioStream(stream), PATIENT)


async def serve_host(settings: HostSettings | Rejected, core: FrameStream) -> None:
    """Run a host with a link to the core until the channel ends.

    Raises:
        ArnodeError, ExceptionGroup: the settings are invalid, the host cannot be made or cannot
            listen, or it failed.
    """
    if isinstance(settings, Rejected):
        raise ConfigurationError(f"the network process got invalid settings: {settings.reason}")
    async with running_host(settings) as host, trio.open_nursery() as nursery:
        judge = GossipJudge(trio.current_time, clock_ms)
        await CoreLink(host, core, nursery).run(settings, judge.judge)
        nursery.cancel_scope.cancel()


async def _report_fault(core: FrameStream, fault: BaseException) -> None:
    message, hint = describe_fault(fault), ""
    if isinstance(fault, ArnodeError):
        message, hint = fault.message, fault.hint
    _log.error("%s", message)
    try:
        await core.send(["down", message, hint])
    except FrameError:
        _log.error("the core ended")
