"""A port for a test that has to name one, where `0` will not do."""

import errno
import secrets
import socket
from typing import Final

_FIRST: Final = 10_240
_END: Final = 32_768  # from here on Linux hands them out by itself, to other tests too


def free_port() -> int:
    """Return a port of loopback at which nobody listens, by TCP or UDP, that nobody gets by chance.

    Raises:
        OSError: A thousand ports, tried at random, were taken.
    """
    for _ in range(1000):
        port = _FIRST + secrets.randbelow(_END - _FIRST)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError as fault:
                if fault.errno != errno.EADDRINUSE:
                    raise
                continue
            return port
    raise OSError(errno.EADDRINUSE, "no port is free")
