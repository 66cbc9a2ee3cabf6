"""Runs that a long measurement by hand has finished: a file of lines that a kill cannot spoil.

The first line holds a salt from which all seeds follow, so that they are fixed before anything has
run and interrupting it picks none. Each other line is one run, on disk as soon as it ends; a line
that is not whole is not read. Runs of another setting stay in the file and answer nothing.
"""

import fcntl
import hashlib
import json
import os
import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Final, TypeVar

from node.home.faults import explaining_faults
from node.home.home import PRIVATE_FOLDER
from protocol.codecs import Codec, integer, word
from protocol.encoding import Value, encode
from protocol.errors import ConfigurationError, Rejected
from protocol.fields import Mapped, Named, Natural
from protocol.runs import MAX_SEED, Run

T = TypeVar("T", bound=Mapped)

_SALT_BYTES = 16
_VERSION = 1
_HEX: Final = word(r"([0-9a-f]{2})+")


def _hex(size_bytes: int) -> Codec[bytes]:
    def read(value: Value) -> bytes | Rejected:
        digits = _HEX.read(value)
        if isinstance(digits, Rejected):
            return digits
        found = bytes.fromhex(digits)
        return found if len(found) == size_bytes else Rejected(f"not {size_bytes} bytes")

    return Codec(read, bytes.hex)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header(Mapped):
    """What all seeds follow from."""

    version: Annotated[int, integer(_VERSION, _VERSION), Named("v")]
    salt: Annotated[bytes, _hex(_SALT_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRun(Mapped):
    """A finished run of a tree, and what judging it needs of the session that measured it.

    `setting` is the digest of everything else that the metric depends on. `tolerance_nano` is the
    audit's in the metric's unit, `memorised_nano` what the tree could know of the text by heart.
    """

    setting: Annotated[bytes, _hex(32)]
    tree: Annotated[bytes, _hex(32)]
    run: Run
    tolerance_nano: Annotated[Natural, Named("tolerance")]
    memorised_nano: Annotated[Natural, Named("memorised")]


class KeptRuns:
    """The runs of one setting, by tree and seed. `unread` counts the lines that are none."""

    def __init__(self, stream: BinaryIO, path: Path, salt: bytes, setting: bytes) -> None:
        self.setting = setting
        self.unread = 0
        self._stream = stream
        self._path = path
        self._salt = salt
        self._runs: defaultdict[tuple[bytes, int], list[KeptRun]] = defaultdict(list)

    def seed(self, block: int, number: int) -> int:
        """Return the seed of a block's pair; nobody could know it before the file was begun."""
        digest = hashlib.sha256(self._salt + encode([block, number])).digest()
        return int.from_bytes(digest[:4]) & MAX_SEED

    @property
    def split_nonce(self) -> bytes:
        """What names the secret split of these runs; another file's and setting's is another."""
        return hashlib.sha256(b"split" + self._salt + self.setting).digest()

    def find(self, tree: bytes, seed: int) -> KeptRun | None:
        """Return the run of a tree with a seed, if it has ended: the first, if there are more."""
        return next(iter(self.tries(tree, seed)), None)

    def tries(self, tree: bytes, seed: int) -> tuple[KeptRun, ...]:
        """Return all of them: a base that failed may be run once more."""
        return tuple(self._runs.get((tree, seed), ()))

    def keep(self, kept: KeptRun) -> None:
        """Write a run that has ended to disk."""
        _append(self._stream, self._path, kept)
        self._runs[kept.tree, kept.run.seed].append(kept)

    def take_in(self, lines: Sequence[bytes]) -> None:
        """Know what was kept before."""
        for line in lines:
            kept = _read(KeptRun, line)
            if not isinstance(kept, KeptRun):
                self.unread += 1
            elif kept.setting == self.setting:
                self._runs[kept.tree, kept.run.seed].append(kept)


@contextmanager
def kept_runs(path: Path, setting: bytes, *, is_fresh: bool) -> Iterator[KeptRuns]:
    """Open a file of runs for this process alone; `is_fresh` forgets what it holds.

    Raises ConfigurationError while another process has it open.
    """
    with explaining_faults(path):
        path.parent.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        # Appending, so that every write goes to the end, also after one that a full disk cut short.
        stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+b")
    with stream:
        header, lines = _begun(stream, path, is_fresh=is_fresh)
        runs = KeptRuns(stream, path, header.salt, setting)
        runs.take_in(lines)
        yield runs


def _begun(stream: BinaryIO, path: Path, *, is_fresh: bool) -> tuple[_Header, list[bytes]]:
    """Lock the file, drop what a kill left half-written, and return the header and other lines.

    Without the salt no run could be found again, so a file without it is begun anew.
    """
    with explaining_faults(path):
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            raise ConfigurationError(
                f"another command is at work on {path}", "wait for its end, or interrupt it"
            ) from fault
        stream.seek(0)
        data = b"" if is_fresh else stream.read()
        whole = data[: data.rfind(b"\n") + 1]
        lines = whole.split(b"\n")[:-1]
        header = _read(_Header, lines[0]) if lines else None
        if isinstance(header, _Header):
            stream.truncate(len(whole))
            return header, lines[1:]
        stream.truncate(0)
    header = _Header(version=_VERSION, salt=secrets.token_bytes(_SALT_BYTES))
    _append(stream, path, header)
    return header, []


def _append(stream: BinaryIO, path: Path, entry: Mapped) -> None:
    with explaining_faults(path):
        stream.write(json.dumps(entry.to_value()).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def _read(kind: type[T], line: bytes) -> T | Rejected:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return Rejected("not JSON")
    return kind.from_value(value)
