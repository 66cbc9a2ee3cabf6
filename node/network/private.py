"""The encryption of private networks, around a connection's everything: who lacks the secret reads
noise and says noise.

This is libp2p's specification (Private Networks, PSK v1): either side first sends a nonce of 24
bytes, and all that it writes then is one stream of XSalsa20 under the secret and that nonce. What
py-libp2p 0.8.1 has instead, Salsa20 with nonces of 8 bytes, no other libp2p speaks. It hides and
proves nothing else: that a peer is who it says is for noise to find out, inside.
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
# Salsa20's constants, and the words of its state that hold them and what HSalsa20 takes in.
_CONSTANTS: Final = struct.unpack("<4I", b"expand 32-byte k")
_PUBLIC_WORDS: Final = (0, 5, 10, 15, 6, 7, 8, 9)


class PrivateConnection(IRawConnection):
    """A connection of a private network: what is written to it goes encrypted through another."""

    def __init__(self, inner: IRawConnection, secret: bytes) -> None:
        self.is_initiator = inner.is_initiator
        self._inner = inner
        self._secret = secret
        self._writing: Salsa20.Salsa20Cipher | None = None
        self._reading: Salsa20.Salsa20Cipher | None = None
        self._their_nonce = b""

    async def write(self, data: bytes) -> None:
        """Encrypt and write, behind the own nonce. One writer at a time, as for noise."""
        await self._inner.write((await self._greeted()).encrypt(data))

    async def read(self, n: int | None = None) -> bytes:
        """Return at most `n` bytes, decrypted; none at the end, also of half a nonce."""
        # Other libp2ps wait for the nonce before they say anything.
        await self._greeted()
        while self._reading is None:
            more = await self._inner.read(NONCE_BYTES - len(self._their_nonce))
            if not more:
                return b""
            self._their_nonce += more
            if len(self._their_nonce) == NONCE_BYTES:
                self._reading = xsalsa20(self._secret, self._their_nonce)
        return self._reading.decrypt(await self._inner.read(n))

    async def close(self) -> None:
        """Close the connection inside."""
        await self._inner.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return where the connection inside leads."""
        return self._inner.get_remote_address()

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the addresses of the connection inside."""
        return self._inner.get_transport_addresses()

    def get_connection_type(self) -> ConnectionType:
        """Return what the connection inside goes through."""
        return self._inner.get_connection_type()

    async def _greeted(self) -> Salsa20.Salsa20Cipher:
        """Return the cipher for what is written, once the nonce is on its way."""
        if self._writing is None:
            nonce = os.urandom(NONCE_BYTES)
            self._writing = xsalsa20(self._secret, nonce)
            await self._inner.write(nonce)
        return self._writing


def xsalsa20(key: bytes, nonce: bytes) -> Salsa20.Salsa20Cipher:
    """Return the cipher of a key of 32 and a nonce of 24 bytes, which keeps its place.

    Source: D. J. Bernstein, "Extending the Salsa20 nonce" (2011).
    """
    return Salsa20.new(key=hsalsa20(key, nonce[:16]), nonce=nonce[16:])


def hsalsa20(key: bytes, nonce: bytes) -> bytes:
    """Return the 32 bytes that HSalsa20 makes of a key of 32 and a nonce of 16.

    A block of Salsa20 is its state after the rounds, added to the state before; HSalsa20 is eight
    words of the former, whose place before was taken by what everybody knows.
    """
    cipher = Salsa20.new(key=key, nonce=nonce[:8])
    cipher.seek(int.from_bytes(nonce[8:], "little") * _BLOCK_BYTES)
    block = struct.unpack("<16I", cipher.encrypt(bytes(_BLOCK_BYTES)))
    before = (*_CONSTANTS, *struct.unpack("<4I", nonce))
    words = (
        (block[place] - word) % 2**32 for place, word in zip(_PUBLIC_WORDS, before, strict=True)
    )
    return struct.pack("<8I", *words)
