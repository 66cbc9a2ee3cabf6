"""A free port for tests that must name one, because port 0 will not do."""

import errno
import secrets
import socket
from typing import Final

_FIRST: Final = 10_240
_END: Final = 32_768  # from this port on Linux assigns them itself, to other tests too


def free_port() -> int:
    """Return a free TCP and UDP port of loopback that the kernel assigns to nobody by itself.

    Raises OSError if a thousand random ports were in use.
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
