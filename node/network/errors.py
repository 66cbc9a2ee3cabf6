"""Errors of dealing with a peer.

NetworkError               not connected, not reached, not spoken there, too long to send
"""

from collections.abc import Iterator
from contextlib import contextmanager

from protocol.errors import ArnodeError, describe_fault


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
