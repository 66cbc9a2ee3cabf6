"""Errors and faults in exchanges with a peer: all are counted, few are logged.

At most one message per peer and minute is logged, for a bounded number of peers. So a peer that
sends garbage fills neither disk nor memory. `Incidents` passes each fault to its `count` function,
which decides what happens to the peer.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from node.home.addresses import PeerId
from node.network.peer_budgets import PEERS_TRACKED, Recent
from protocol.errors import ArnodeError, describe_fault

LINE_EVERY_S: Final = 60.0
_log = logging.getLogger(__name__)
Count = Callable[[PeerId], None]


class NetworkError(ArnodeError):
    """A failed operation with a peer, or a message that cannot be sent.

    Examples: the peer is not connected or not reached, or does not speak the protocol; the message
    is too long.
    """


class FrameError(ArnodeError):
    """A fault after which a stream can no longer carry frames."""


class StreamEndedError(FrameError):
    """The other side closed the stream between two frames."""


class FrameCutError(FrameError):
    """The stream ended or broke within a frame."""


class FrameTooLongError(FrameError):
    """A frame's length is over the cap."""


class FrameMalformedError(FrameError):
    """A frame's bytes are not one message."""


class FrameStalledError(FrameError):
    """The other side did not send or accept a frame within the timeout."""


@contextmanager
def explaining(what: str) -> Iterator[None]:
    """Turn every exception into a `NetworkError`: libp2p may raise exceptions of any class."""
    try:
        yield
    except NetworkError:
        raise
    except Exception as fault:
        raise NetworkError(
            f"{what}: {describe_fault(fault)}", "check the address and the connection"
        ) from fault


class Incidents:
    """A log of peers' faults, each of which is also passed to `count`."""

    def __init__(self, count: Count, clock: Callable[[], float]) -> None:
        self._count = count
        self._clock = clock
        self._written_at: Recent[PeerId, float] = Recent(PEERS_TRACKED)

    def note(self, peer: PeerId, where: str, fault: BaseException | str) -> None:
        """Count a fault against a peer; log it unless the peer's last log message is too recent."""
        self.mention(peer, where, fault)
        self._count(peer)

    def mention(self, peer: PeerId, where: str, fault: BaseException | str) -> None:
        """Log a harmless event, unless the peer's last log message is too recent."""
        now = self._clock()
        written_at = self._written_at.get(peer)
        if written_at is None or now - written_at >= LINE_EVERY_S:
            self._written_at[peer] = now
            _log.warning("peer %s: %s: %s", peer, where, describe_fault(fault))


def quieten_libp2p() -> None:
    """Keep libp2p's own messages out of the log, since peers control their number.

    Some of its modules log on the root logger. If that has no handler, `logging` installs one, so
    this function installs a handler that does nothing.
    """
    logging.getLogger("libp2p").setLevel(logging.CRITICAL + 1)
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.NullHandler())
