"""The address book on disk: one JSON file for each network, replaced as a whole.

It only saves time, for the network's definition leads back in: a file that does not read is moved
aside, said in one line of the log, and the book starts empty.
"""

import json
import logging
import random
from collections.abc import Callable
from pathlib import Path

from node.home.faults import explaining_faults
from node.home.files import write_file
from node.home.home import PRIVATE_FOLDER, Home
from node.network.limits import PeerId
from node.networks.known import own_file
from node.peering.book import MAX_ENTRIES, Book, Entry, Source
from node.settings.addresses import Address, parse_address, transport_key
from protocol.encoding import MAX_INT
from protocol.errors import Rejected

_VERSION = 1
_MAX_BYTES = 1 << 20  # 1,000 of the longest entries
_ASIDE = ".damaged"
_log = logging.getLogger(__name__)


def book_path(home: Home, network: str) -> Path:
    """Return where a network's address book is or would be."""
    return own_file(home, network).with_suffix(".addresses.json")


def read_book(path: Path, *, clock: Callable[[], float], chance: random.Random) -> Book:
    """Return the book that was kept, empty if there is none or none that reads.

    Raises:
        ConfigurationError: the file may not be read or moved.
    """
    book = Book(clock=clock, chance=chance)
    with explaining_faults(path):
        try:
            with path.open("rb") as stream:
                data = stream.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return book
    entries = _parse(data)
    if isinstance(entries, Rejected):
        aside = path.with_name(path.name + _ASIDE)
        with explaining_faults(path):
            path.replace(aside)
        _log.warning(
            "the address book does not read (%s) and starts anew; it lies in %s",
            entries.reason,
            aside,
        )
        return book
    for entry in entries:
        book.restore(entry)
    return book


def write_book(path: Path, book: Book) -> None:
    """Keep the book.

    Raises:
        ArnodeError: it cannot be written.
    """
    entries = [
        {
            "address": str(entry.address),
            "source": entry.source.value,
            "teller": entry.teller,
            "tried_s": entry.tried_s,
            "success_s": entry.success_s,
            "failures": entry.failures,
            "not_before_s": entry.not_before_s,
        }
        for entry in book.entries
    ]
    with explaining_faults(path):
        path.parent.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        write_file(path, (json.dumps({"v": _VERSION, "addresses": entries}) + "\n").encode())


def _parse(data: bytes) -> list[Entry] | Rejected:
    if len(data) > _MAX_BYTES:
        return Rejected("too long")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return Rejected("no JSON")
    match document:
        case {"v": int(version), "addresses": list() as values} if version == _VERSION:
            pass
        case _:
            return Rejected("not of this version")
    if len(values) > MAX_ENTRIES:
        return Rejected(f"{len(values)} entries")
    entries: list[Entry] = []
    for number, value in enumerate(values):
        entry = _entry(value)
        if isinstance(entry, Rejected):
            return Rejected(f"entry {number}: {entry.reason}")
        entries.append(entry)
    return entries


def _entry(value: object) -> Entry | Rejected:
    match value:
        case {
            "address": str() as text,
            "source": str() as source,
            "teller": (str() | None) as teller,
            "tried_s": int() as tried_s,
            "success_s": int() as success_s,
            "failures": int() as failures,
            "not_before_s": int() as not_before_s,
        }:
            pass
        case _:
            return Rejected("a field is missing or of another kind")
    address: Address | Rejected = parse_address(text)
    if isinstance(address, Rejected):
        return address
    if source not in {known.value for known in Source}:
        return Rejected("an unknown source")
    if teller is not None and isinstance(transport_key(teller), Rejected):
        return Rejected("a teller that is no peer")
    numbers = (tried_s, success_s, failures, not_before_s)
    if not all(0 <= number <= MAX_INT for number in numbers):
        return Rejected("a number out of range")
    return Entry(
        address=address,
        source=Source(source),
        teller=None if teller is None else PeerId(teller),
        tried_s=tried_s,
        success_s=success_s,
        failures=failures,
        not_before_s=not_before_s,
    )
