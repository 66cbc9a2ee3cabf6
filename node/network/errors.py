"""What can go wrong with a peer, as one error.

NetworkError               not connected, not reached, not spoken there, too long to send
"""

from collections.abc import Iterator
from contextlib import contextmanager

from node.network.incidents import describe
from protocol.errors import ArnodeError


class NetworkError(ArnodeError):
    """Something that did not work with a peer, or cannot be sent at all."""


@contextmanager
def explaining(what: str) -> Iterator[None]:
    """Raise whatever libp2p raises as a `NetworkError`; no list of its exceptions is complete."""
    try:
        yield
    except NetworkError:
        raise
    except Exception as fault:
        raise NetworkError(f"{what}: {describe(fault)}", "check address and connection") from fault
