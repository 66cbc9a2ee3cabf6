"""The encryption of private networks: the cipher's known answers, and what goes over a socket."""

import secrets
from hashlib import sha256

import pytest
import trio
from libp2p.io.abc import ReadWriteCloser
from libp2p.network.connection.raw_connection import RawConnection
from nacl.bindings import crypto_secretbox

from node.network.private import NONCE_BYTES, PrivateConnection, hsalsa20, xsalsa20
from tests.network.arena import run

# Source: "Cryptography in NaCl", sections 8 and 10, and NaCl's tests/core2.c and tests/stream.c.
KEY = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
NONCE = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
SUBKEY = "dc908dda0b9344a953629b733820778880f3ceb421bb61b91cbd4c3e66256ce4"
STREAM_SHA256 = "662b9d0e3463029156069b12f918691a98f7dfb2ca0393c96bbfc6b1fbd630a2"
MAC_BYTES, MAC_KEY_BYTES = 16, 32


def test_the_cipher_gives_the_known_answers() -> None:
    assert hsalsa20(KEY, NONCE[:16]).hex() == SUBKEY
    assert sha256(xsalsa20(KEY, NONCE).encrypt(bytes(4_194_304))).hexdigest() == STREAM_SHA256


@pytest.mark.parametrize(
    "nonce",
    [bytes(24), b"\xff" * 24, secrets.token_bytes(24)],
    ids=["zeros", "ones", "random"],
)
def test_the_cipher_is_libsodiums(nonce: bytes) -> None:
    key, message = secrets.token_bytes(32), secrets.token_bytes(1000)
    boxed = crypto_secretbox(message, nonce, key)[MAC_BYTES:]
    assert xsalsa20(key, nonce).encrypt(bytes(MAC_KEY_BYTES) + message)[MAC_KEY_BYTES:] == boxed


class Pipe(ReadWriteCloser):
    """One end of a socket: what was `written`, what is `arriving` and in pieces of what size."""

    def __init__(self, *, piece: int = 1 << 20) -> None:
        self.written = bytearray()
        self.arriving = bytearray()
        self.piece = piece

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.written += data

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        size = self.piece if n is None else min(n, self.piece)
        data, self.arriving = bytes(self.arriving[:size]), self.arriving[size:]
        return data

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()

    def get_remote_address(self) -> tuple[str, int] | None:
        return ("192.0.2.1", 4001)


def private(pipe: Pipe, secret: bytes = KEY) -> PrivateConnection:
    return PrivateConnection(RawConnection(pipe, initiator=True), secret)


def test_a_nonce_goes_first_and_everything_else_is_one_stream() -> None:
    async def test() -> None:
        pipe = Pipe()
        connection = private(pipe)
        parts = [secrets.token_bytes(size) for size in (1, 63, 64, 65, 0, 1000)]
        for part in parts:
            await connection.write(part)
        nonce, encrypted = bytes(pipe.written[:NONCE_BYTES]), bytes(pipe.written[NONCE_BYTES:])
        assert xsalsa20(KEY, nonce).decrypt(encrypted) == b"".join(parts)
        again = Pipe()
        await private(again).write(b"another connection")
        assert again.written[:NONCE_BYTES] != nonce

    run(test)


def test_who_only_reads_has_said_its_nonce_before() -> None:
    async def test() -> None:
        pipe = Pipe()
        assert await private(pipe).read(10) == b""
        assert len(pipe.written) == NONCE_BYTES

    run(test)


@pytest.mark.parametrize("piece", [1, 7, 24, 25, 1000])
def test_what_arrives_in_pieces_of_any_size_is_read_whole(piece: int) -> None:
    async def test() -> None:
        message = secrets.token_bytes(500)
        pipe = Pipe(piece=piece)
        pipe.arriving += NONCE + xsalsa20(KEY, NONCE).encrypt(message)
        connection = private(pipe)
        read = b""
        while part := await connection.read(100):
            assert len(part) <= 100
            read += part
        assert read == message

    run(test)


def test_an_end_within_the_nonce_is_an_end() -> None:
    async def test() -> None:
        pipe = Pipe()
        pipe.arriving += NONCE[:5]
        connection = private(pipe)
        assert await connection.read(10) == b""

    run(test)


def test_another_secret_reads_noise() -> None:
    async def test() -> None:
        pipe = Pipe()
        pipe.arriving += NONCE + xsalsa20(KEY, NONCE).encrypt(b"multistream")
        assert await private(pipe, secret=bytes(32)).read(100) != b"multistream"

    run(test)
