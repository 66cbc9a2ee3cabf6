"""Frames between the harness and the runner: one tag byte, eight bytes of length, the payload.

The harness sends frames from inside the sandbox, where a candidate could send them too, so the
runner does not trust any frame. A descriptor is sent with a frame's first byte.
"""

import array
import os
import socket
import struct

HEADER = struct.Struct(">cQ")

READY, JOB = b"R", b"J"  # sandbox is warm; role, seed and source follow
NEED_DATA, DATA = b"N", b"D"  # the clock starts when the descriptor of the data is sent
WEIGHTS = b"W"  # from train: the exported weights; to serve: their descriptor
SERVING = b"S"  # weights are loaded
ANSWER = b"A"  # to a question; each kind of task has its own tags for those

FORKS = "forks"  # the argument of a harness that is a zygote: it imports, then forks sandboxes

# The harness's exit status if a device ran out of memory. A script that exits with this status on
# its own fails in the same way.
OUT_OF_MEMORY = 77


class Channel:
    """The harness's end of the socket pair."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def send(
        self, tag: bytes, payload: bytes | memoryview = b"", *, descriptor: int | None = None
    ) -> None:
        """Send one frame; a descriptor is sent with it and closed here."""
        header = HEADER.pack(tag, len(payload))
        if descriptor is not None:
            try:
                header = header[socket.send_fds(self._socket, [header], [descriptor]) :]
            finally:  # even if sending failed: an open gate listener would block this process
                os.close(descriptor)
        self._socket.sendall(header)
        if len(payload):
            self._socket.sendall(payload)

    def fileno(self) -> int:
        """Return this end's descriptor, for poll or select."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def receive(self) -> tuple[bytes, bytes, int | None]:
        """Return the next frame's tag and payload, and the descriptor that came with it."""
        header, ancillary, _, _ = self._socket.recvmsg(HEADER.size, socket.CMSG_SPACE(4))
        descriptor = None
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptor = array.array("i", data[:4])[0]
        if not header:
            raise SystemExit(0)  # the runner closed its end: nothing more to do
        header += self._read(HEADER.size - len(header))
        tag, size = HEADER.unpack(header)
        return tag, self._read(size), descriptor

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            chunk = self._socket.recv(min(1 << 20, size - len(data)))
            if not chunk:
                raise SystemExit(0)
            data += chunk
        return bytes(data)
