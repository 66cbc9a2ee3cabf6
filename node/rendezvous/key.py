"""Where nodes of a network meet in the DHT."""

import hashlib
from typing import Final

KEY_BYTES: Final = 34
_CONTEXT: Final = b"arnode/rendezvous/1\0"
_SHA256: Final = bytes([0x12, 0x20])  # servers drop a hash that does not say which one it is


def key_of(network: str, day: str) -> bytes:
    """Return the multihash under which nodes of a network meet on a day (`2026-03-01`, UTC)."""
    return _SHA256 + hashlib.sha256(_CONTEXT + f"{network}\0{day}".encode()).digest()
