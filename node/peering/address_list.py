"""A signed, published list of a network's addresses (`node.home.signed_list`).

In the DNS, TXT records hold the same list. The list's text is rebuilt from these records, so one
parser reads both forms. A signature does not prove that the addresses work: they are only
candidates to dial.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from node.home.addresses import Address, parse_direct
from node.home.signed_list import ListKind, SignedList, iso_time, read_signed, signed
from protocol.errors import Rejected
from protocol.keys import SigningKey

MAX_ADDRESSES: Final = 64

_KIND: Final = ListKind(
    header="arnode-peers 1",
    context=b"arnode/peers-list/1\0",
    items="addresses",
    most=MAX_ADDRESSES,
)
_ADDRESS_RECORD: Final = b"dnsaddr="
_LIST_RECORD: Final = b"arnode-peers="


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressList:
    """A list whose signature `read_list` has verified or `sign_list` made.

    `written_s`: seconds since 1970. `addresses`: sorted as text, without duplicates.
    """

    network: str
    addresses: tuple[Address, ...]
    signed: SignedList

    @property
    def written_s(self) -> int:
        """The time of writing, in seconds since 1970."""
        return self.signed.written_s

    def text(self) -> bytes:
        """Return the text to publish."""
        return self.signed.text()

    def records(self) -> list[str]:
        """Return the list as TXT records of `_dnsaddr.NAME`; all of them must be published."""
        time_text = iso_time(self.written_s)
        return [
            *(f"dnsaddr={address}" for address in self.addresses),
            f"arnode-peers=1 {self.network} {time_text} {self.signed.signature.hex()}",
        ]


def sign_list(
    network: str, addresses: Iterable[Address], *, key: SigningKey, written_s: int
) -> AddressList:
    """Return a signed list of 1 to 64 addresses."""
    by_text = {str(address): address for address in addresses}
    made = signed(_KIND, f"network {network}", by_text, key=key, written_s=written_s)
    ordered = tuple(by_text[text] for text in made.items)
    return AddressList(network=network, addresses=ordered, signed=made)


def read_list(data: bytes, *, network: str, key: bytes, now_s: float) -> AddressList | Rejected:
    """Return the list of a network that `key` signed, or its first fault."""
    read = read_signed(
        _KIND, data, of=f"network {network}", key=key, whose="`lists_key`", now_s=now_s
    )
    if isinstance(read, Rejected):
        return read
    addresses = _addresses(read.items)
    if isinstance(addresses, Rejected):
        return addresses
    return AddressList(network=network, addresses=addresses, signed=read)


def text_of_records(records: Iterable[bytes]) -> bytes | Rejected:
    """Return the list's text from TXT records. Records for other purposes are skipped."""
    places: list[bytes] = []
    lists: list[bytes] = []
    for record in records:
        if record.startswith(_ADDRESS_RECORD):
            places.append(record.removeprefix(_ADDRESS_RECORD))
        elif record.startswith(_LIST_RECORD):
            lists.append(record.removeprefix(_LIST_RECORD))
    if len(lists) != 1:
        return Rejected(f"{len(lists)} of its TXT records begin with arnode-peers=, instead of one")
    match lists[0].split(b" "):
        case [version, network, written, signature]:
            lines = [
                b"arnode-peers " + version,
                b"network " + network,
                b"written " + written,
                *sorted(places),
                b"signature " + signature,
            ]
            return b"".join(line + b"\n" for line in lines)
    return Rejected("its record arnode-peers= is not of the form 1 NETWORK TIME SIGNATURE")


def _addresses(lines: Iterable[str]) -> tuple[Address, ...] | Rejected:
    addresses: list[Address] = []
    for number, line in enumerate(lines, 1):
        address = parse_direct(line)
        if isinstance(address, Rejected):
            return Rejected(f"its address {number}: {address.reason}")
        if str(address) != line:
            return Rejected(f"its address {number} must be written {address}")
        addresses.append(address)
    return tuple(addresses)
