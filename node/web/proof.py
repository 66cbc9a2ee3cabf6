"""Proofs of possession of a key, without sending it: HMAC-SHA-256 over fresh values.

Another program may listen at the address of a stopped node. So neither a page nor another node of
the owner ever sends its key. The server proves that it has the key, and each request proves that
its sender has it. Labels prevent the use of one kind of proof as the other.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

_SERVER: Final = b"arnode page: this server answers\n"
_REQUEST: Final = b"arnode page: this request is read\n"
_CHALLENGE: Final = b"arnode page: this challenge was issued\n"
_CHALLENGE_LIVES_S: Final = 30.0
_LONGEST_CHALLENGE: Final = 100  # characters


def server_proof(key: str, nonce: str) -> str:
    """Return the server's proof that it has `key`, for the client's `nonce`."""
    return _mac(key.encode(), _SERVER, nonce)


def request_proof(key: str, challenge: str, asked: str) -> str:
    """Return the proof that the sender of a request ("GET /path?query") has `key`."""
    return _mac(key.encode(), _REQUEST, f"{challenge}\n{asked}")


def is_same(given: str, wanted: str) -> bool:
    """Compare two strings in constant time. `given` may contain any characters."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


class Challenges:
    """Challenges of the server, each valid for 30 seconds.

    They are not stored. Each contains its expiry time and a MAC with a key of this server process.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._secret = secrets.token_bytes(32)

    def issue(self) -> str:
        """Return a new challenge."""
        end = f"{round(self._clock_s() + _CHALLENGE_LIVES_S)}.{secrets.token_hex(8)}"
        return f"{end}.{_mac(self._secret, _CHALLENGE, end)}"

    def accepts(self, challenge: str) -> bool:
        """Return True if this server issued the challenge and it has not expired."""
        end, _, proof = challenge.rpartition(".")
        if len(challenge) > _LONGEST_CHALLENGE or not challenge.isascii():
            return False
        if not is_same(proof, _mac(self._secret, _CHALLENGE, end)):
            return False
        return self._clock_s() < float(end.partition(".")[0])


def _mac(key: bytes, label: bytes, text: str) -> str:
    return hmac.new(key, label + text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
