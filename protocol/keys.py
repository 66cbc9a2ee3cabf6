"""Ed25519 keys: made from a seed that is passed in, and checked without trusting their owner.

A node has two. The author key signs records; the transport key is its libp2p identity and
signs, once, the author key that it belongs to. What is signed begins with a context, so that a
signature made for one purpose means nothing for another.
"""

from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from protocol.errors import ArnodeError

ID_CONTEXT: Final = b"arnode/id/1\0"
SIGNATURE_CONTEXT: Final = b"arnode/sig/1\0"
BINDING_CONTEXT: Final = b"arnode/bind/1\0"
SEED_CONTEXT: Final = b"arnode/seed/1\0"

# libsodium's list (ge25519_has_small_order): points of order 1, 2, 4 and 8 with their
# non-canonical spellings, little-endian and without the sign bit; with it they are 14. Under
# such a key a signature can be forged for any message, and OpenSSL does not refuse them.
_SMALL_ORDER_Y: Final = frozenset(
    bytes.fromhex(y)
    for y in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
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
    """Tell whether `public` signed `message`; keys of small order signed nothing.

    OpenSSL's rule holds. libsodium's is stricter about points that no key is made of, and takes
    half the time: what it accepts OpenSSL does, so only what it refuses is asked twice.
    """
    if len(public) != 32 or len(signature) != 64 or is_small_order(public):
        return False
    return _accepted_by_libsodium(public, message, signature) or _accepted_by_openssl(
        public, message, signature
    )


def _accepted_by_libsodium(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


def _accepted_by_openssl(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def is_small_order(public: bytes) -> bool:
    """Tell whether a public key is one of the 14 that anybody can sign for."""
    return public[:31] + bytes([public[31] & 0x7F]) in _SMALL_ORDER_Y


def bind(transport: SigningKey, author: bytes) -> bytes:
    """Return the signature by which a transport key vouches for an author key."""
    return transport.sign(BINDING_CONTEXT + author)


def bond(author: bytes, *, transport: bytes, binding: bytes) -> Signature:
    """Return what `transport` must have signed to vouch for `author`."""
    return Signature(transport, BINDING_CONTEXT + author, binding)
