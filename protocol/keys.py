"""Ed25519 keys, made from a given seed, and checks of untrusted keys and signatures.

A node has two keys. The author key signs records. The transport key is the node's libp2p identity
and signs, once, the author key that it belongs to. Every signed message begins with a context, so
that a signature made for one purpose is not valid for another.
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

# The number of keys whose check is cached, because authors sign many records.
_KEYS_REMEMBERED: Final = 1 << 14
# A key, message and signature whose R has a component of order 8 (tests/vectors/signatures.json).
# The equation does not hold, but multiplied by the cofactor 8 it does.
_COFACTORED: Final = (
    bytes.fromhex("054259afbd74647bbcea17e1117434df164a536cb510cd5e952bbca4726849ef"),
    b"R",
    bytes.fromhex(
        "d66674598412c8db3f5bc0a1a97e23c341fb6abf211cc683b6d5315a54b38f08"
        "62d05d37fb8d46b123ec07d539dbbc214a550bfadb84d0a8aba7375dfed52d06"
    ),
)


class SigningKey:
    """A private key. Its repr shows only the public half."""

    __slots__ = ("_private", "public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private: Final = private
        self.public: Final = private.public_key().public_bytes_raw()

    @classmethod
    def from_seed(cls, seed: bytes) -> "SigningKey":
        """Return the key made from these 32 secret bytes.

        Raises:
            ArnodeError: the seed has another length.
        """
        if len(seed) != 32:
            raise ArnodeError(
                f"a key is made from 32 bytes, not {len(seed)}",
                "restore the key file from a backup",
            )
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of `message`, which must begin with a context."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.public.hex()[:12]})"


class Signature(NamedTuple):
    """A key, a message and a signature, not yet verified."""

    public: bytes
    message: bytes
    signature: bytes

    def holds(self) -> bool:
        """Return True if that key signed the message."""
        return verify(*self)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return True if `public` signed `message`, by the rule in docs/protocol.md.

    Libraries disagree about points that honest signers never produce: of small order, with a
    torsion component, or in a second spelling. All of these are refused here. Libraries agree
    about the rest.
    """
    if len(signature) != 64 or not is_key(public):
        return False
    if not _accepted_by_libsodium(public, message, signature):
        return False
    # If the key has prime order and the equation holds without the cofactor, R has prime order too.
    # libsodium refuses the neutral element, any S ≥ the order and, if it does not multiply by the
    # cofactor, other spellings of R.
    return not _multiplies_by_cofactor() or _is_point(signature[:32])


def _accepted_by_libsodium(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


@cache
def _multiplies_by_cofactor() -> bool:
    """Return True if this libsodium multiplies the equation by the cofactor 8; versions differ."""
    return _accepted_by_libsodium(*_COFACTORED)


@lru_cache(_KEYS_REMEMBERED)
def is_key(public: bytes) -> bool:
    """Return True if the bytes are a valid key: the canonical spelling of a point of prime order.

    Anyone can sign anything under a key of small order. Under a key with a torsion component,
    libraries disagree whether a signature is valid.
    """
    return len(public) == 32 and _is_point(public)


def _is_point(encoded: bytes) -> bool:
    """Return True if these are the canonical bytes of a point of prime order."""
    return bool(crypto_core_ed25519_is_valid_point(encoded))


def bind(transport: SigningKey, author: bytes) -> bytes:
    """Return the signature with which a transport key vouches for an author key."""
    return transport.sign(BINDING_CONTEXT + author)


def bond(author: bytes, *, transport: bytes, binding: bytes) -> Signature:
    """Return the unverified signature with which `transport` vouches for `author`."""
    return Signature(transport, BINDING_CONTEXT + author, binding)


def name_successor(old: SigningKey, author: bytes) -> bytes:
    """Return the signature with which an old author key names `author` as its successor."""
    return old.sign(SUCCESSOR_CONTEXT + author)
