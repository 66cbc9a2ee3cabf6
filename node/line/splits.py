"""Unpredictable seeds and secret splits.

A split is used for one trial in pairs. It is drawn after the trial's sources are fixed and never
used again. So facts that runs of earlier trials leaked do not help on its text.

The job stores the nonce in the transaction that opens it, so that a killed trial resumes with its
split. The text can be derived only from the nonce together with the node's secret.
"""

import hmac
import secrets
from typing import Final

from protocol.runs import MAX_SEED

NONCE_BYTES: Final = 32

_CONTEXT = b"arnode/secret-split/1\0"


def random_seed() -> int:
    """Return an unpredictable seed."""
    return secrets.randbelow(MAX_SEED + 1)


def fresh_nonce() -> bytes:
    """Return a random nonce for a new split."""
    return secrets.token_bytes(NONCE_BYTES)


def split_key(secret: bytes, *, task: bytes, nonce: bytes) -> bytes:
    """Return the key that draws a split's rows and their order; `secret` is the node's."""
    return hmac.digest(secret, _CONTEXT + task + nonce, "sha256")
