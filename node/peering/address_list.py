"""A list of addresses that somebody signs and publishes: one text, which people can read.

    arnode-peers 1
    network lab
    written 2026-11-26T06:00:00Z
    /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…     sorted, distinct, 1 to 64
    signature …                              128 hex digits, by Ed25519, of all that is above

In the DNS the same lies in TXT records, from which this text is made again, so that there is one
reader for both. A list has one writing only. It is an address to try, whoever signed it. Pure: it
knows no clock and no place.
"""

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from node.settings.addresses import Address, parse_direct
from protocol.errors import Rejected
from protocol.keys import SigningKey, verify

MAX_ADDRESSES: Final = 64
MAX_BYTES: Final = 1 << 16
AHEAD_S: Final = 86_400  # of the reader's clock

_CONTEXT: Final = b"arnode/peers-list/1\0"
_HEADER: Final = "arnode-peers 1"
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_SIGNATURE: Final = re.compile(r"signature [0-9a-f]{128}")
_ADDRESS_RECORD: Final = b"dnsaddr="
_LIST_RECORD: Final = b"arnode-peers="
_EXCERPT: Final = 80  # characters of what is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressList:
    """A list and its signature, which `read_list` has verified and `sign_list` made.

    `written_s`: seconds since 1970. `addresses`: sorted as text, each once.
    """

    network: str
    written_s: int
    addresses: tuple[Address, ...]
    signature: bytes

    def text(self) -> bytes:
        """Return what is published."""
        signed = _signed_part(self.network, self.written_s, self.addresses)
        return signed + f"signature {self.signature.hex()}\n".encode()

    def records(self) -> list[str]:
        """Return what is published as TXT records of `_dnsaddr.NAME`, each in whole."""
        told = told_time(self.written_s)
        return [
            *(f"dnsaddr={address}" for address in self.addresses),
            f"arnode-peers=1 {self.network} {told} {self.signature.hex()}",
        ]


def sign_list(
    network: str, addresses: Iterable[Address], *, key: SigningKey, written_s: int
) -> AddressList:
    """Return a list of 1 to 64 addresses, signed."""
    ordered = tuple(sorted(set(addresses), key=str))
    signature = key.sign(_CONTEXT + _signed_part(network, written_s, ordered))
    return AddressList(network=network, written_s=written_s, addresses=ordered, signature=signature)


def read_list(data: bytes, *, network: str, key: bytes, now_s: float) -> AddressList | Rejected:
    """Return the list of a network that `key` signed, or the first thing that is wrong with it."""
    if len(data) > MAX_BYTES:
        return Rejected(f"it has more than {MAX_BYTES} bytes")
    if not data.isascii():
        return Rejected("it is no ASCII text")
    *lines, end = data.decode("ascii").split("\n")
    if end or len(lines) < 4:
        return Rejected("it is no whole list, which has four lines and more, each with an end")
    header, named, written, *places, signed = lines
    if header != _HEADER:
        return Rejected(f"it begins with {header[:_EXCERPT]!r}, not with {_HEADER!r}")
    if named != f"network {network}":
        return Rejected(f"its second line is {named[:_EXCERPT]!r}, not 'network {network}'")
    written_s = _time(written.removeprefix("written "))
    if written_s is None or not written.startswith("written "):
        return Rejected(f"its third line is {written[:_EXCERPT]!r}, not 'written' and a time")
    if not _SIGNATURE.fullmatch(signed):
        return Rejected("its last line is no signature of 128 hex digits")
    addresses = _addresses(places)
    if isinstance(addresses, Rejected):
        return addresses
    signature = bytes.fromhex(signed.removeprefix("signature "))
    if not verify(key, _CONTEXT + _signed_part(network, written_s, addresses), signature):
        return Rejected("its signature is not that of `lists_key`")
    if written_s > now_s + AHEAD_S:
        return Rejected(f"it was written at {told_time(written_s)}, more than a day ahead")
    return AddressList(
        network=network, written_s=written_s, addresses=addresses, signature=signature
    )


def text_of_records(records: Iterable[bytes]) -> bytes | Rejected:
    """Return the text that TXT records stand for; those of other purposes are left out."""
    places: list[bytes] = []
    lists: list[bytes] = []
    for record in records:
        if record.startswith(_ADDRESS_RECORD):
            places.append(record.removeprefix(_ADDRESS_RECORD))
        elif record.startswith(_LIST_RECORD):
            lists.append(record.removeprefix(_LIST_RECORD))
    if len(lists) != 1:
        return Rejected(f"{len(lists)} of its TXT records begin with arnode-peers=, not one")
    match lists[0].split(b" "):
        case [version, network, written, signature]:
            told = [
                b"arnode-peers " + version,
                b"network " + network,
                b"written " + written,
                *sorted(places),
                b"signature " + signature,
            ]
            return b"".join(line + b"\n" for line in told)
    return Rejected("its record arnode-peers= is not of the form 1 NETWORK TIME SIGNATURE")


def told_time(at_s: int) -> str:
    """Return a time as a list tells it: 2026-11-26T06:00:00Z."""
    return dt.datetime.fromtimestamp(at_s, dt.UTC).strftime(_TIME)


def _signed_part(network: str, written_s: int, addresses: Iterable[Address]) -> bytes:
    lines = [_HEADER, f"network {network}", f"written {told_time(written_s)}"]
    return "".join(f"{line}\n" for line in (*lines, *map(str, addresses))).encode()


def _addresses(lines: list[str]) -> tuple[Address, ...] | Rejected:
    if not 1 <= len(lines) <= MAX_ADDRESSES:
        return Rejected(f"it has {len(lines)} addresses, not 1 to {MAX_ADDRESSES}")
    if lines != sorted(set(lines)):
        return Rejected("its addresses are not sorted, or one is there twice")
    addresses: list[Address] = []
    for number, line in enumerate(lines, 1):
        address = parse_direct(line)
        if isinstance(address, Rejected):
            return Rejected(f"its address {number}: {address.reason}")
        if str(address) != line:
            return Rejected(f"its address {number} is written {address}")
        addresses.append(address)
    return tuple(addresses)


def _time(text: str) -> int | None:
    """Return the seconds since 1970 of a time in its one writing, else None."""
    try:
        at_s = int(dt.datetime.strptime(text, _TIME).replace(tzinfo=dt.UTC).timestamp())
    except ValueError:
        return None
    return at_s if told_time(at_s) == text else None
