"""The encryption of private networks, around all bytes of a connection.

To a peer without the secret all data looks random. This implements libp2p's specification (Private
Networks, PSK v1). Each side first sends a nonce of 24 bytes; all its later bytes are one XSalsa20
stream under the secret and that nonce. py-libp2p 0.8.1 instead uses Salsa20 with nonces of 8 bytes,
which no other libp2p implementation supports. This layer only encrypts; the Noise protocol inside
it authenticates the peer.
"""

import os
import struct
from typing import Final

from Crypto.Cipher import Salsa20
from libp2p.abc import IRawConnection
from libp2p.connection_types import ConnectionType
from multiaddr import Multiaddr

SECRET_BYTES: Final = 32
NONCE_BYTES: Final = 24
_BLOCK_BYTES: Final = 64
# Salsa20's constants, and the indices of the state words that hold them and HSalsa20's input.
_CONSTANTS: Final = struct.unpack("<4I", b"expand 32-byte k")
_PUBLIC_WORDS: Final = (0, 5, 10, 15, 6, 7, 8, 9)


class PrivateConnection(IRawConnection):
    """A private network's connection: it encrypts the data of an inner connection."""

    def __init__(self, inner: IRawConnection, secret: bytes) -> None:
        self.is_initiator = inner.is_initiator
        self._inner = inner
        self._secret = secret
        self._writing: Salsa20.Salsa20Cipher | None = None
        self._reading: Salsa20.Salsa20Cipher | None = None
        self._their_nonce = b""

    async def write(self, data: bytes) -> None:
        """Encrypt and write data; the first call sends the nonce. Only one task may write."""
        await self._inner.write((await self._write_cipher()).encrypt(data))

    async def read(self, n: int | None = None) -> bytes:
        """Return at most `n` decrypted bytes; no bytes at the end or if the nonce is cut short."""
        # Other libp2p implementations wait for the nonce before they send anything.
        await self._write_cipher()
        while self._reading is None:
            more = await self._inner.read(NONCE_BYTES - len(self._their_nonce))
            if not more:
                return b""
            self._their_nonce += more
            if len(self._their_nonce) == NONCE_BYTES:
                self._reading = xsalsa20(self._secret, self._their_nonce)
        return self._reading.decrypt(await self._inner.read(n))

    async def close(self) -> None:
        """Close the inner connection."""
        await self._inner.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the remote address of the inner connection."""
        return self._inner.get_remote_address()

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the addresses of the inner connection."""
        return self._inner.get_transport_addresses()

    def get_connection_type(self) -> ConnectionType:
        """Return the type of the inner connection."""
        return self._inner.get_connection_type()

    async def _write_cipher(self) -> Salsa20.Salsa20Cipher:
        """Return the cipher for writing; the first call makes it and sends its nonce."""
        if self._writing is None:
            nonce = os.urandom(NONCE_BYTES)
            self._writing = xsalsa20(self._secret, nonce)
            await self._inner.write(nonce)
        return self._writing


def xsalsa20(key: bytes, nonce: bytes) -> Salsa20.Salsa20Cipher:
    """Return a cipher for a 32-byte key and a 24-byte nonce, which keeps its stream position.

    Source: D. J. Bernstein, "Extending the Salsa20 nonce" (2011).
    """
    return Salsa20.new(key=hsalsa20(key, nonce[:16]), nonce=nonce[16:])


def hsalsa20(key: bytes, nonce: bytes) -> bytes:
    """Return the 32 bytes that HSalsa20 derives from a 32-byte key and a 16-byte nonce.

    A Salsa20 block is the state after the rounds plus the state before. HSalsa20 is eight words of
    the state after the rounds, at the positions of the constants and the nonce. These are public,
    so they can be subtracted from the block.
    """
    cipher = Salsa20.new(key=key, nonce=nonce[:8])
    cipher.seek(int.from_bytes(nonce[8:], "little") * _BLOCK_BYTES)
    block = struct.unpack("<16I", cipher.encrypt(bytes(_BLOCK_BYTES)))
    before = (*_CONSTANTS, *struct.unpack("<4I", nonce))
    words = (
        (block[place] - word) % 2**32 for place, word in zip(_PUBLIC_WORDS, before, strict=True)
    )
    return struct.pack("<8I", *words)
