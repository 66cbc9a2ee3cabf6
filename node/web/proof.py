"""Proofs that somebody holds a key, without sending it: HMAC-SHA-256 over fresh values.

Another program may listen where a node listened. So neither a page nor a node that shows others of
its owner ever sends its key: the server proves that it has it, and each request that it comes from
a holder. Labels keep a proof of the one kind from passing for the other.
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
    """Return what a server that has `key` answers to `nonce`."""
    return _mac(key.encode(), _SERVER, nonce)


def request_proof(key: str, challenge: str, asked: str) -> str:
    """Return what proves that a request ("GET /path?query") comes from a holder of `key`."""
    return _mac(key.encode(), _REQUEST, f"{challenge}\n{asked}")


def is_same(given: str, wanted: str) -> bool:
    """Compare two words in constant time; `given` may hold any characters."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


class Challenges:
    """Values that a server issues for requests to answer within half a minute.

    None of them is stored: each carries its end and a proof that this run of the server issued it.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._secret = secrets.token_bytes(32)

    def issue(self) -> str:
        """Return a new challenge."""
        end = f"{round(self._clock_s() + _CHALLENGE_LIVES_S)}.{secrets.token_hex(8)}"
        return f"{end}.{_mac(self._secret, _CHALLENGE, end)}"

    def accepts(self, challenge: str) -> bool:
        """Return whether this run issued a challenge that has not ended."""
        end, _, proof = challenge.rpartition(".")
        if len(challenge) > _LONGEST_CHALLENGE or not challenge.isascii():
            return False
        if not is_same(proof, _mac(self._secret, _CHALLENGE, end)):
            return False
        return self._clock_s() < float(end.partition(".")[0])


def _mac(key: bytes, label: bytes, text: str) -> str:
    return hmac.new(key, label + text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
