"""Ed25519 keys: made from a seed that is passed in, and checked without trusting their owner.

A node has two. The author key signs records; the transport key is its libp2p identity and
signs, once, the author key that it belongs to. What is signed begins with a context, so that a
signature made for one purpose means nothing for another.
"""

from functools import cache, lru_cache
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign_open
from nacl.exceptions import BadSignatureError

from protocol.errors import ArnodeError

ID_CONTEXT: Final = b"arnode/id/1\0"
SIGNATURE_CONTEXT: Final = b"arnode/sig/1\0"
BINDING_CONTEXT: Final = b"arnode/bind/1\0"
SEED_CONTEXT: Final = b"arnode/seed/1\0"
SUCCESSOR_CONTEXT: Final = b"arnode/next/1\0"

# Verdicts on keys that are remembered: authors sign many records.
_KEYS_REMEMBERED: Final = 1 << 14
# Key, message and signature of which R has a part of order 8 (tests/vectors/signatures.json): the
# equation does not hold, eight times the equation does.
_COFACTORED: Final = (
    bytes.fromhex("054259afbd74647bbcea17e1117434df164a536cb510cd5e952bbca4726849ef"),
    b"R",
    bytes.fromhex(
        "d66674598412c8db3f5bc0a1a97e23c341fb6abf211cc683b6d5315a54b38f08"
        "62d05d37fb8d46b123ec07d539dbbc214a550bfadb84d0a8aba7375dfed52d06"
    ),
)


class SigningKey:
    """A private key. Only its public half shows in a repr."""

    __slots__ = ("_private", "public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private: Final = private
        self.public: Final = private.public_key().public_bytes_raw()

    @classmethod
    def from_seed(cls, seed: bytes) -> "SigningKey":
        """Return the key that these 32 secret bytes determine."""
        if len(seed) != 32:
            raise ArnodeError(
                f"a key is made from 32 bytes, not {len(seed)}",
                "restore the key file from a backup",
            )
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature; `message` begins with a context."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.public.hex()[:12]})"


class Signature(NamedTuple):
    """What somebody is said to have signed, for whoever has the time to verify it."""

    public: bytes
    message: bytes
    signature: bytes

    def holds(self) -> bool:
        """Tell whether it was signed by that key."""
        return verify(*self)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `public` signed `message`, by the one rule of docs/protocol.md.

    Libraries differ on points that honest signers never make: of small order, with a torsion
    part, in a second spelling. All of these are refused; about what is left they agree.
    """
    if len(signature) != 64 or not is_key(public):
        return False
    if not _accepted_by_libsodium(public, message, signature):
        return False
    # Where the key is of the prime order and the equation holds as it stands, so is R. libsodium
    # refuses the neutral element, S from the order on, and without the cofactor other spellings.
    return not _multiplies_by_cofactor() or _is_point(signature[:32])


def _accepted_by_libsodium(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


@cache
def _multiplies_by_cofactor() -> bool:
    """Tell whether this libsodium compares eight times the equation's sides; not all do."""
    return _accepted_by_libsodium(*_COFACTORED)


@lru_cache(_KEYS_REMEMBERED)
def is_key(public: bytes) -> bool:
    """Tell whether 32 bytes are a key that can sign: the one spelling of a point of prime order.

    Under a key of small order anybody can sign anything; with a torsion part, which others sign
    for as well, it depends on the library whether a signature verifies.
    """
    return len(public) == 32 and _is_point(public)


def _is_point(encoded: bytes) -> bool:
    """Tell whether these are the canonical bytes of a point of the prime order."""
    return bool(crypto_core_ed25519_is_valid_point(encoded))


def bind(transport: SigningKey, author: bytes) -> bytes:
    """Return the signature by which a transport key vouches for an author key."""
    return transport.sign(BINDING_CONTEXT + author)


def bond(author: bytes, *, transport: bytes, binding: bytes) -> Signature:
    """Return what `transport` must have signed to vouch for `author`."""
    return Signature(transport, BINDING_CONTEXT + author, binding)


def name_successor(old: SigningKey, author: bytes) -> bytes:
    """Return the signature by which an author key says which key its owner goes on with."""
    return old.sign(SUCCESSOR_CONTEXT + author)
