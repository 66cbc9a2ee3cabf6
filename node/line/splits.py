"""Seeds and secret splits, which nobody could know before.

A split is for one confirmation, drawn when its sources are fixed and never used again.

What runs of earlier confirmations let out tells nothing of this one's text. The job keeps the
nonce from the transaction that opens it, so that a killed confirmation goes on with its own split.
The nonce says which text that is only together with the node's secret.
"""

import hmac
import secrets
from typing import Final

from protocol.runs import MAX_SEED

NONCE_BYTES: Final = 32

_CONTEXT = b"arnode/secret-split/1\0"


def random_seed() -> int:
    """Return a seed that nobody could know before."""
    return secrets.randbelow(MAX_SEED + 1)


def fresh_nonce() -> bytes:
    """Return what names a new split."""
    return secrets.token_bytes(NONCE_BYTES)


def split_key(secret: bytes, *, task: bytes, nonce: bytes) -> bytes:
    """Return the key that a split's rows and their order are drawn with; `secret` is the node's."""
    return hmac.digest(secret, _CONTEXT + task + nonce, "sha256")
