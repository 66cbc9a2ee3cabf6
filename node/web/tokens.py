"""Tokens for the page, valid until its server ends, and links for one use.

Loopback alone does not keep out other users of the machine. They may also listen at the page's
address while no node does, and receive what a browser or a program sends there. So each server
generates new tokens at its start. A token that an impostor received is useless after the restart.
A link contains a code that can be exchanged for a token once, so that links in a terminal's or a
browser's history are useless. The fleet key outlives the server and is never sent (`proof.py`).
`Credentials` holds everything that a server accepts.
"""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

from node.home.files import TEMPORARY_PREFIX, write_file
from node.web.proof import Challenges, is_same, request_proof, server_proof
from protocol.errors import ConfigurationError, NotRunningError

Right: TypeAlias = Literal["read", "steer"]

_BEARER: Final = "Bearer "
_PROOF: Final = "Proof "
_TOKEN_BYTES: Final = 32
_CODE_BYTES: Final = 16
_CODE_LIVES_S: Final = 3600.0
_MOST_CODES: Final = 64  # beyond that the oldest is dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The tokens of a server: one to read, and one to read and steer."""

    read: str
    steer: str

    @classmethod
    def drawn(cls) -> Self:
        """Generate new random tokens."""
        return cls(
            read=secrets.token_urlsafe(_TOKEN_BYTES), steer=secrets.token_urlsafe(_TOKEN_BYTES)
        )

    @classmethod
    def current(cls, path: Path) -> Self:
        """Read the tokens of the running server. Raises NotRunningError if no server runs.

        The file counts only while the server that wrote it holds its lock, so that tokens of a
        killed server do not look valid.
        """
        not_served = NotRunningError(
            "this home's page is not being served",
            "start the node (`arnode start`), or serve the stored data (`arnode view`)",
        )
        try:
            with path.open("rb") as stream:
                if not _is_locked(stream.fileno()):
                    raise not_served
                kept = json.loads(stream.read())
            return cls(read=str(kept["read"]), steer=str(kept["steer"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError) as fault:
            raise not_served from fault

    def of_right(self, right: Right) -> str:
        """Return the token that gives a right."""
        return self.steer if right == "steer" else self.read

    def rights(self, token: str) -> frozenset[Right]:
        """Return the rights that a token gives. An invalid token gives none."""
        if is_same(token, self.steer):
            return frozenset({"read", "steer"})
        if is_same(token, self.read):
            return frozenset({"read"})
        return frozenset()

    def proofs(self, nonce: str) -> list[str]:
        """Return proofs that this server has the tokens, one proof for each token."""
        return [server_proof(token, nonce) for token in (self.read, self.steer)]


@contextmanager
def issued(path: Path) -> Iterator[Tokens]:
    """Generate the tokens of a server, and write them to a file for the commands.

    The file is locked during the block and removed at its end.
    """
    tokens = Tokens.drawn()
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, json.dumps({"read": tokens.read, "steer": tokens.steer}).encode())
        temporary.replace(path)
        yield tokens
        with suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(descriptor)):  # not a later server's file
                path.unlink()
    finally:
        temporary.unlink(missing_ok=True)
        os.close(descriptor)


def fleet_key(path: Path) -> str:
    """Return the key with which the owner's other nodes read this one. Create it if missing.

    Raises ConfigurationError if the file contains something else.
    """
    try:
        key = path.read_text("utf-8")
    except FileNotFoundError:
        return new_fleet_key(path)
    except ValueError:
        key = ""
    if len(key) < _TOKEN_BYTES or not key.isascii():
        raise ConfigurationError(
            f"{path} contains no fleet key", "delete the file, and arnode creates a new key"
        )
    return key


def new_fleet_key(path: Path) -> str:
    """Replace the fleet key. Nodes that have the old one lose access."""
    key = secrets.token_urlsafe(_TOKEN_BYTES)
    write_file(path, key.encode())
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The secrets of a server, and the rights that they give."""

    tokens: Tokens
    fleet_key: str
    challenges: Challenges = field(default_factory=Challenges)

    def rights(self, authorization: str, asked: str) -> frozenset[Right]:
        """Return the rights that an `Authorization` header gives for a request.

        `asked` is the request, such as "GET /path?query". The header is `Bearer TOKEN`, or
        `Proof CHALLENGE MAC` from a page with a token or a node with the fleet key. An invalid
        header gives no rights.
        """
        if authorization.startswith(_BEARER):
            return self.tokens.rights(authorization.removeprefix(_BEARER))
        if authorization.startswith(_PROOF):
            challenge, _, proof = authorization.removeprefix(_PROOF).partition(" ")
            if self.challenges.accepts(challenge):
                for key in (self.tokens.steer, self.tokens.read):
                    if is_same(proof, request_proof(key, challenge, asked)):
                        return self.tokens.rights(key)
                if is_same(proof, request_proof(self.fleet_key, challenge, asked)):
                    return frozenset({"read"})
        return frozenset()

    def proofs(self, nonce: str) -> list[str]:
        """Return proofs that this server has the tokens and the fleet key, one proof for each."""
        return [*self.tokens.proofs(nonce), server_proof(self.fleet_key, nonce)]


def proof_header(key: str, challenge: str, asked: str) -> str:
    """Return the `Authorization` header of a request by a holder of `key`."""
    return f"{_PROOF}{challenge} {request_proof(key, challenge, asked)}"


class Codes:
    """The codes of links, each valid for one exchange within an hour."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._issued: dict[str, tuple[Right, float]] = {}

    def issue(self, right: Right) -> str:
        """Return a new code."""
        while len(self._issued) >= _MOST_CODES:
            del self._issued[next(iter(self._issued))]
        code = secrets.token_urlsafe(_CODE_BYTES)
        self._issued[code] = right, self._clock_s() + _CODE_LIVES_S
        return code

    def exchange(self, code: str) -> Right | None:
        """Use up a code and return its right; None if it is unknown, used or too old."""
        right, ends_s = self._issued.pop(code, (None, 0.0))
        return right if self._clock_s() < ends_s else None


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
