"""`network sign-list`: sign a list of a network's addresses, to be published for others."""

import random
import time
from collections.abc import Iterator
from itertools import islice

import click

from node.commands.network import checked_address
from node.home.addresses import Address, Reach
from node.home.home import Home
from node.home.keyfile import read_keys
from node.home.network_definition import DNSADDR, Network
from node.home.networks import find_network
from node.peering.address_list import MAX_ADDRESSES, AddressList, sign_list
from node.peering.book_file import book_path, read_book
from protocol.errors import UsageError

_ANSWERED_WITHIN_S = 86_400
_STRING_BYTES = 255  # limit of one string of a TXT record (RFC 1035, 3.3)


@click.command("sign-list")
@click.argument("name", metavar="NETWORK")
@click.argument("given", metavar="[ADDRESS]...", nargs=-1)
@click.option(
    "--dns", "as_records", is_flag=True, help="Print the list as TXT records for a DNS zone file."
)
def sign_list_(name: str, given: tuple[str, ...], as_records: bool) -> None:
    """Print a list of a network's addresses, signed by this home's author key.

    Without ADDRESS the list has the addresses in the network's definition and the public ones that
    answered this node within the last day, 64 at most. Publish the list unchanged at an
    address in the definition's `lists`: as a file over HTTPS, or with --dns as TXT records.
    """
    home = Home.here()
    defined = find_network(home, name).network
    zones = [place.removeprefix(DNSADDR) for place in defined.lists if place.startswith(DNSADDR)]
    if as_records and not zones:
        raise UsageError(
            f"the definition of {name} names no list in the DNS",
            f'add it to `lists`, as "{DNSADDR}example.org", or leave out --dns',
        )
    addresses = _to_list(home, defined, given)
    key = read_keys(home).author
    if defined.lists_key not in (None, key.public):
        raise UsageError(
            f"the lists of {name} are not signed by this home's key, {key.public.hex()}",
            "sign it in the home of the right key, or set lists_key in the definition to this key",
        )
    listed = sign_list(name, addresses, key=key, written_s=int(time.time()))
    if as_records:
        for zone in zones:
            _print_records(zone, listed)
    else:
        click.echo(listed.text(), nl=False)
    if defined.lists_key is None:
        click.echo(
            "no node reads this list yet: the definition needs `lists` and "
            f'lists_key = "{key.public.hex()}"',
            err=True,
        )


def _to_list(home: Home, defined: Network, given: tuple[str, ...]) -> list[Address]:
    """Return the given addresses, else the known ones.

    Raises UsageError if there is no address or more than 64 are given.
    """
    addresses = dict.fromkeys(checked_address(text, "ADDRESS") for text in given)
    if len(addresses) > MAX_ADDRESSES:
        raise UsageError(
            f"{len(addresses)} addresses are given; the limit is {MAX_ADDRESSES}", "name fewer"
        )
    chosen = list(addresses) or list(islice(_known(home, defined), MAX_ADDRESSES))
    if not chosen:
        raise UsageError(
            f"there is no address to list: the definition of {defined.name} has none, and no "
            "public address answered within the last day",
            "give one: /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…",
        )
    return chosen


def _known(home: Home, defined: Network) -> Iterator[Address]:
    """Yield the definition's addresses, then public ones that answered, most recent first."""
    yield from defined.bootstrap
    book = read_book(book_path(home, defined.name), clock=time.time, chance=random.Random())
    since_s = time.time() - _ANSWERED_WITHIN_S
    for entry in sorted(book.entries, key=lambda entry: -entry.success_s):
        address = entry.address
        is_public = address.reach is Reach.PUBLIC and address.relay is None
        if entry.success_s >= since_s and is_public and address not in defined.bootstrap:
            yield address


def _print_records(zone: str, listed: AddressList) -> None:
    for record in listed.records():
        strings = [
            record[at : at + _STRING_BYTES] for at in range(0, len(record), _STRING_BYTES)
        ]  # records contain no quotes or backslashes, so no escaping is needed
        quoted = " ".join(f'"{one}"' for one in strings)
        click.echo(f"_dnsaddr.{zone}. 3600 IN TXT {quoted}")
