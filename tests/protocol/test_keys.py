"""Keys: what verifies, what never may."""

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from protocol.errors import ArnodeError
from protocol.keys import (
    BINDING_CONTEXT,
    ID_CONTEXT,
    SIGNATURE_CONTEXT,
    SigningKey,
    bind,
    bond,
    is_small_order,
    verify,
)

P = 2**255 - 19
ORDER_8 = (
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)
SMALL_ORDER = [
    (y | sign << 255).to_bytes(32, "little")
    for y in (
        0,
        1,
        P - 1,
        P,
        P + 1,
        *(int.from_bytes(bytes.fromhex(point), "little") for point in ORDER_8),
    )
    for sign in (0, 1)
]
# R is the neutral element and s is 0: valid for A whenever h·A is the neutral element.
FORGED = b"\1" + bytes(63)


def _unguarded(public: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(FORGED, message)
    except InvalidSignature:
        return False
    return True


def test_a_signature_verifies_for_its_key_message_and_nothing_else() -> None:
    key, other = SigningKey.from_seed(bytes(32)), SigningKey.from_seed(b"\1" * 32)
    signature = key.sign(b"message")
    assert verify(key.public, b"message", signature)
    assert not verify(key.public, b"massage", signature)
    assert not verify(other.public, b"message", signature)
    assert not verify(key.public, b"message", bytes(64))


@pytest.mark.parametrize("length", [0, 31, 33, 63, 65])
def test_keys_and_signatures_of_other_lengths_do_not_verify(length: int) -> None:
    key = SigningKey.from_seed(bytes(32))
    assert not verify(key.public, b"message", bytes(length))
    assert not verify(bytes(length), b"message", key.sign(b"message"))


def test_rfc_8032_vector() -> None:
    key = SigningKey.from_seed(
        bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    )
    assert key.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert key.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


def test_a_key_needs_a_seed_of_32_bytes() -> None:
    with pytest.raises(ArnodeError) as caught:
        SigningKey.from_seed(bytes(31))
    assert caught.value.hint


def test_a_key_does_not_show_its_secret() -> None:
    seed = bytes(range(32))
    assert seed.hex()[:8] not in repr(SigningKey.from_seed(seed))


def test_libsodiums_fourteen_keys_are_refused() -> None:
    assert len(set(SMALL_ORDER)) == 14
    assert all(is_small_order(public) for public in SMALL_ORDER)
    assert not any(
        verify(public, f"message {i}".encode(), FORGED) for public in SMALL_ORDER for i in range(64)
    )


@pytest.mark.parametrize(
    "public", SMALL_ORDER, ids=lambda public: public.hex()[:8] + public.hex()[-2:]
)
def test_without_the_guard_one_signature_fits_strangers_messages(public: bytes) -> None:
    # The reason for the list: nobody signed these. A key of order n lets one in n through.
    assert any(_unguarded(public, f"message {i}".encode()) for i in range(256))


def test_the_neutral_element_signs_everything_without_the_guard() -> None:
    neutral = b"\1" + bytes(31)
    assert all(_unguarded(neutral, f"message {i}".encode()) for i in range(64))


def test_a_binding_is_for_one_author_and_one_purpose() -> None:
    author, transport = SigningKey.from_seed(bytes(32)), SigningKey.from_seed(b"\1" * 32)
    binding = bind(transport, author.public)
    assert bond(author.public, transport=transport.public, binding=binding).holds()
    assert not bond(transport.public, transport=transport.public, binding=binding).holds()
    assert not bond(author.public, transport=author.public, binding=binding).holds()
    as_record = transport.sign(SIGNATURE_CONTEXT + author.public)
    assert not bond(author.public, transport=transport.public, binding=as_record).holds()


def test_no_context_is_the_beginning_of_another() -> None:
    contexts = (ID_CONTEXT, SIGNATURE_CONTEXT, BINDING_CONTEXT)
    assert all(context.endswith(b"\0") and context.count(b"\0") == 1 for context in contexts)
    assert len(set(contexts)) == 3
