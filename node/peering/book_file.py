"""The address book on disk: one JSON file for each network, replaced as a whole.

The file only saves time, since the network definition is enough to rejoin. An unreadable file is
renamed, with one log message; the book then starts empty.
"""

import json
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from node.home.faults import explaining_faults
from node.home.files import write_file
from node.home.home import PRIVATE_FOLDER, Home
from node.home.networks import own_file
from node.peering.book import MAX_ENTRIES, AddressBook, AddressEntry
from protocol.codecs import integer
from protocol.errors import Rejected
from protocol.fields import Items, Mapped

_VERSION = 1
_MAX_BYTES = 1 << 20  # room for 1,000 of the longest entries
_ASIDE = ".damaged"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _File(Mapped):
    v: Annotated[int, integer(_VERSION, _VERSION)]
    addresses: Annotated[tuple[AddressEntry, ...], Items(0, MAX_ENTRIES)]


def book_path(home: Home, network: str) -> Path:
    """Return the path of a network's address book."""
    return own_file(home, network).with_suffix(".addresses.json")


def read_book(path: Path, *, clock: Callable[[], float], chance: random.Random) -> AddressBook:
    """Return the stored book; empty if there is no file or it is invalid.

    Raises:
        ConfigurationError: the file cannot be read or renamed.
    """
    book = AddressBook(clock=clock, chance=chance)
    with explaining_faults(path):
        try:
            with path.open("rb") as stream:
                data = stream.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return book
    kept = _parse(data)
    if isinstance(kept, Rejected):
        aside = path.with_name(path.name + _ASIDE)
        with explaining_faults(path):
            path.replace(aside)
        _log.warning(
            "the address book cannot be read (%s); starting a new one, the old one is now %s",
            kept.reason,
            aside,
        )
        return book
    for entry in kept.addresses:
        book.restore(entry)
    return book


def write_book(path: Path, book: AddressBook) -> None:
    """Write the book.

    Raises:
        ArnodeError: it cannot be written.
    """
    text = json.dumps(_File(v=_VERSION, addresses=book.entries).to_value())
    with explaining_faults(path):
        path.parent.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        write_file(path, f"{text}\n".encode())


def _parse(data: bytes) -> _File | Rejected:
    if len(data) > _MAX_BYTES:
        return Rejected("too long")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return Rejected("no JSON")
    return _File.from_value(value)
