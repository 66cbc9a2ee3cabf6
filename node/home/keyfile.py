"""This node's identity and secrets on disk.

One 0600 file has the seeds of both keys. Another has the secret from which the node draws secret
splits. Both are created once, on first use. A lost author key is a lost identity: only `renew_keys`
replaces it. A damaged file is an error, and is never replaced.
"""

import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from node.home.faults import explaining_faults
from node.home.files import create_file, write_file
from node.home.home import Home
from protocol.errors import ConfigurationError
from protocol.keys import SigningKey, name_successor
from protocol.record_kinds import Formerly

if TYPE_CHECKING:
    from node.home.config import Config

SEED_BYTES = 32
_HEADER = "arnode key 1"
_KEPT_DIGITS = 12
_OTHERS = 0o077
_SET_DUMPABLE = 4  # prctl(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKeys:
    """The keys of a node: the author key signs records, the transport key is its network identity.

    `transport_seed` is the seed from which the network process derives the transport key.
    `formerly` is the signed link to the previous author key, if the keys were renewed.
    """

    author: SigningKey
    transport: SigningKey
    transport_seed: bytes = field(repr=False)
    formerly: Formerly | None = None


def load_keys(home: Home) -> NodeKeys:
    """Return the node's keys; create them on first use."""
    home.prepare()
    if not home.key.exists():
        _create(home.key, _new_keys(secrets.token_bytes(SEED_BYTES)))
    return read_keys(home)


def renew_keys(home: Home) -> Path:
    """Replace the keys by new ones that name the old ones; return where the old ones are kept.

    The caller must hold the home's lock.
    """
    old = read_keys(home).author
    kept = home.key.with_name(f"{home.key.name}-{old.public.hex()[:_KEPT_DIGITS]}")
    _create(kept, _read_private(home.key))
    seed = secrets.token_bytes(SEED_BYTES)
    signature = name_successor(old, SigningKey.from_seed(seed).public)
    formerly = f"formerly {old.public.hex()} {signature.hex()}\n".encode()
    with explaining_faults(home.key):
        write_file(home.key, _new_keys(seed) + formerly, mode=0o600)
    return kept


def _new_keys(author: bytes) -> bytes:
    transport = secrets.token_bytes(SEED_BYTES)
    return f"{_HEADER}\nauthor {author.hex()}\ntransport {transport.hex()}\n".encode()


def read_keys(home: Home) -> NodeKeys:
    """Return the node's keys, which must exist, and make this process undumpable.

    Raises ConfigurationError if the file is missing, damaged, or readable by other users.
    """
    keep_to_oneself()
    lines = _read_private(home.key).decode("ascii", "replace").splitlines()
    if len(lines) not in (3, 4) or lines[0] != _HEADER:
        raise _damaged(home.key, f"is not an arnode key file (it should begin with `{_HEADER}`)")
    transport_seed = _seed(home.key, lines[2], "transport")
    return NodeKeys(
        author=SigningKey.from_seed(_seed(home.key, lines[1], "author")),
        transport=SigningKey.from_seed(transport_seed),
        transport_seed=transport_seed,
        formerly=_formerly(home.key, lines[3]) if lines[3:] else None,
    )


def keep_to_oneself() -> None:
    """Forbid core dumps, and stop the user's other processes from tracing this one.

    Those processes then cannot read its memory or its initial environment, which stays in memory
    even after variables are removed.
    """
    import ctypes

    if ctypes.CDLL(None, use_errno=True).prctl(_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "this process cannot be made undumpable")


def load_secret(home: Home) -> bytes:
    """Return the node's secret for secret splits; create it on first use.

    Raises ConfigurationError if the file is damaged or readable by other users.
    """
    home.prepare()
    if not home.secret.exists():
        _create(home.secret, secrets.token_bytes(SEED_BYTES))
    secret = _read_private(home.secret)
    if len(secret) != SEED_BYTES:
        raise _damaged(home.secret, f"holds {len(secret)} bytes instead of {SEED_BYTES}")
    return secret


def _create(path: Path, data: bytes) -> None:
    with explaining_faults(path):
        try:
            create_file(path, data)
        except FileExistsError:
            return  # another command of the same user was first; use its file


def _read_private(path: Path) -> bytes:
    with explaining_faults(path):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError as fault:
            raise ConfigurationError(
                f"there is no key yet at {path}", "`arnode start` makes one on first use"
            ) from fault
        if not stat.S_ISREG(mode):
            raise _damaged(path, "is not a regular file")
        if mode & _OTHERS:
            raise ConfigurationError(
                f"{path} can be read by other users (mode {stat.S_IMODE(mode):04o})",
                f"if no one has copied it: chmod 600 {path}",
            )
        return path.read_bytes()


def _seed(path: Path, line: str, name: str) -> bytes:
    word, _, digits = line.partition(" ")
    try:
        seed = bytes.fromhex(digits)
    except ValueError:
        seed = b""
    if word != name or len(seed) != SEED_BYTES:
        raise _damaged(path, f"has no complete {name} seed ({len(seed)} bytes, not {SEED_BYTES})")
    return seed


def _formerly(path: Path, line: str) -> Formerly:
    word, *digits = line.split(" ")
    try:
        author, signature = (bytes.fromhex(one) for one in digits)
    except ValueError:
        author = signature = b""
    if (word, len(author), len(signature)) != ("formerly", 32, 64):
        raise _damaged(path, "has an incomplete `formerly` line")
    return Formerly(author=author, signature=signature)


def _damaged(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} {what}",
        "restore it from a backup, or move it away and continue under a new identity",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The keys that sign here, the name and version in records, and the network."""

    keys: NodeKeys
    name: str
    version: str
    net: str


def identity_of(keys: NodeKeys, config: "Config", *, role: str = "node") -> Identity:
    """Return the identity that signs records here. The default name is made of role and key."""
    return Identity(
        keys=keys,
        name=config.name or f"{role}-{keys.author.public.hex()[:12]}",
        version=version(),
        net=config.net,
    )


def version() -> str:
    """Return the installed version of arnode."""
    from importlib import metadata  # takes 18 ms, and few commands need it

    return metadata.version("arnode")
