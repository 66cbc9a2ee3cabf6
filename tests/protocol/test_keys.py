"""Keys: valid signatures, and signatures that must be rejected."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from protocol import keys
from protocol.errors import ArnodeError
from protocol.keys import (
    BINDING_CONTEXT,
    ID_CONTEXT,
    SIGNATURE_CONTEXT,
    SigningKey,
    bind,
    bond,
    is_key,
    verify,
)
from tests.vectors import edwards, signatures

VECTORS: Any = json.loads((Path(edwards.__file__).parent / "signatures.json").read_text("utf-8"))


# Message, key, R and S of signatures that implementations disagree about. None of them is valid.
# Source: github.com/novifinancial/ed25519-speccheck, of "Taming the many EdDSAs" (2020).
DISPUTED = (
    (
        "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "0000000000000000000000000000000000000000000000000000000000000000",
    ),
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
    ),
    (
        "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
    ),
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f",
        "87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
    ),
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed512",
        "5ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
    ),
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7",
        "e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
    ),
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e",
        "547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
    ),
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa1942",
        "7e71f98a4734e74f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c2",
    ),
    (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f",
    ),
    (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "ca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908",
    ),
    (
        "e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dc",
        "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
    ),
    (
        "39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dc",
        "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
    ),
)


def _signed(entry: Any) -> tuple[bytes, bytes, bytes]:
    """Return a vector's key, message and signature."""
    return (
        bytes.fromhex(entry["public"]),
        bytes.fromhex(entry["message"]),
        bytes.fromhex(entry["signature"]),
    )


def _accepted_by_openssl(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _accepted_eightfold(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return True if eight times the equation holds, in any encoding, as in ZIP 215."""
    key, r = _point_of(public), _point_of(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or r is None or s >= edwards.L:
        return False
    k = edwards.hashed(signature[:32], public, message)
    difference = edwards.add(
        edwards.multiply(s, edwards.BASE),
        edwards.negative(edwards.add(r, edwards.multiply(k, key))),
    )
    return edwards.multiply(edwards.COFACTOR, difference) == edwards.NEUTRAL


def _point_of(encoded: bytes) -> edwards.Point | None:
    number = int.from_bytes(encoded, "little")
    y = number % 2**255 % edwards.P
    x = edwards.x_of(y)
    return None if x is None else (x if x & 1 == number >> 255 else -x % edwards.P, y)


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


@pytest.mark.parametrize(("message", "public", "r", "s"), DISPUTED)
def test_what_libraries_are_known_to_dispute_is_no_signature(
    message: str, public: str, r: str, s: str
) -> None:
    assert not verify(bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(r + s))


@pytest.mark.parametrize("entry", VECTORS, ids=lambda entry: entry["name"])
def test_a_vector_is_judged_as_the_document_says(entry: Any) -> None:
    assert edwards.fault_of(*_signed(entry)) == entry["fault"]
    assert verify(*_signed(entry)) == (entry["fault"] is None)
    assert is_key(bytes.fromhex(entry["public"])) == (entry["fault"] != "A")


def test_the_vectors_are_what_the_generator_makes_today() -> None:
    assert signatures.vectors() == VECTORS
    assert [entry["fault"] for entry in VECTORS].count(None) >= 7


def test_a_library_that_multiplies_by_the_cofactor_changes_no_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = [_accepted_eightfold(*_signed(entry)) for entry in VECTORS]
    assert sum(alone) > 40, "left to itself it accepts most of them"
    monkeypatch.setattr(keys, "_accepted_by_libsodium", _accepted_eightfold)
    keys._multiplies_by_cofactor.cache_clear()
    try:
        for entry in VECTORS:
            assert verify(*_signed(entry)) == (entry["fault"] is None), entry["name"]
    finally:
        keys._multiplies_by_cofactor.cache_clear()


def test_openssl_alone_accepts_what_nobody_signed() -> None:
    # The reason for the rule: for keys of small order the equation holds without a secret key.
    alone = {entry["name"] for entry in VECTORS if _accepted_by_openssl(*_signed(entry))}
    good = {entry["name"] for entry in VECTORS if entry["fault"] is None}
    assert good < alone
    assert sum(name.startswith("A of small order") for name in alone) == 14


def test_a_key_needs_a_seed_of_32_bytes() -> None:
    with pytest.raises(ArnodeError) as caught:
        SigningKey.from_seed(bytes(31))
    assert caught.value.hint


def test_a_key_does_not_show_its_secret() -> None:
    seed = bytes(range(32))
    assert seed.hex()[:8] not in repr(SigningKey.from_seed(seed))


def test_the_fourteen_keys_of_small_order_are_refused() -> None:
    assert len(set(signatures.small_orders())) == 14
    assert not any(is_key(public) for public in signatures.small_orders())


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
