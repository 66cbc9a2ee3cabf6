"""Errors of dealing with a peer, and its faults: all are counted, few are logged.

At most one log line per peer and minute, for a bounded number of peers, so that whoever sends
garbage fills neither disk nor memory. What follows for the peer is decided by `count`.

NetworkError               not connected, not reached, not spoken there, too long to send
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
    """Something that did not work with a peer, or cannot be sent at all."""


class FrameError(ArnodeError):
    """A stream that no further frame can be read from or written to."""


class StreamEndedError(FrameError):
    """The other side closed the stream between two frames."""


class FrameCutError(FrameError):
    """The stream ended or broke within a frame."""


class FrameTooLongError(FrameError):
    """A frame's length is over the cap."""


class FrameMalformedError(FrameError):
    """A frame's bytes are not one message."""


class FrameStalledError(FrameError):
    """The other side did not send, or did not take, within the timeout."""


@contextmanager
def explaining(what: str) -> Iterator[None]:
    """Raise whatever libp2p raises as a `NetworkError`; no list of its exceptions is complete."""
    try:
        yield
    except NetworkError:
        raise
    except Exception as fault:
        raise NetworkError(
            f"{what}: {describe_fault(fault)}", "check address and connection"
        ) from fault


class Incidents:
    """Notes faults of peers."""

    def __init__(self, count: Count, clock: Callable[[], float]) -> None:
        self._count = count
        self._clock = clock
        self._written_at: Recent[PeerId, float] = Recent(PEERS_TRACKED)

    def note(self, peer: PeerId, where: str, fault: BaseException | str) -> None:
        """Count a fault against a peer, and log it unless one of its was logged just now."""
        self.mention(peer, where, fault)
        self._count(peer)

    def mention(self, peer: PeerId, where: str, fault: BaseException | str) -> None:
        """Log what a peer did that is no fault, unless something of its was logged just now."""
        now = self._clock()
        written_at = self._written_at.get(peer)
        if written_at is None or now - written_at >= LINE_EVERY_S:
            self._written_at[peer] = now
            _log.warning("peer %s: %s: %s", peer, where, describe_fault(fault))


def quieten_libp2p() -> None:
    """Keep libp2p's own lines out of the log: peers choose how many of them there are.

    Some of its modules log on the root logger, which also makes `logging` set up a handler of its
    own when there is none; that handler is given here, and does nothing.
    """
    logging.getLogger("libp2p").setLevel(logging.CRITICAL + 1)
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.NullHandler())
