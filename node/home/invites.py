"""Invites: a network's definition in one line of text, to be sent by mail or chat.

    line     = "arnode1" base32(payload checksum)       lower case, no padding
    payload  = canonical msgpack {name, addresses, secret?, authors, tasks}
    address  = [host, port, key]       host: 4 or 16 bytes, or text like "dns4/example.org"
    checksum = the first 4 bytes of SHA-256("arnode invite 1" payload)

Each invite has exactly one encoding. The checksum detects copying mistakes. It does not prove who
wrote the invite. Joining needs no proof of the writer, because no network is trusted. Joining
stores the network and does not ask for consent. `node.home.consent` asks before the node first
connects to a peer.
"""

import base64
import hashlib
import re
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Final

from node.home.addresses import KEY_BYTES, Address, parse_address, peer_id
from node.home.config_file import change_settings
from node.home.home import Home
from node.home.network_definition import MAX_BOOTSTRAP, NO_NETWORK, TASK_PATTERN, Network
from node.home.networks import defined_network, own_file, replace_network
from node.home.next_start import next_start
from node.home.settings_in_force import load_config
from protocol.codecs import NAME_PATTERN, Codec, identifier, listing
from protocol.encoding import Value, decode, encode
from protocol.errors import ConfigurationError, Rejected, UsageError
from protocol.fields import OPTIONAL, Digest, Items, Mapped

PREFIX: Final = "arnode1"
MAX_ADDRESSES: Final = 8
MAX_AUTHORS: Final = 32  # 1 KiB; longer lists travel as files
MAX_TASKS: Final = 16
MAX_LINE: Final = 10_000  # characters; enough for the longest invite

_CHECKSUM_BYTES = 4
_CONTEXT = b"arnode invite 1"
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_HINT = "ask for the invite again, and copy all of it"


def write_invite(network: Network) -> str:
    """Return the invite of a network, with at most its first 8 addresses.

    Raises:
        UsageError: the network has no address, or more authors or tasks than an invite can hold.
    """
    if not network.bootstrap:
        raise UsageError(
            f"an invite to {network.name!r} needs the address of a peer that answers",
            f"start a node on it ({next_start('--network', network.name, '--yes')}), or give an "
            "address: `--address /ip4/…/tcp/…/p2p/…`",
        )
    for what, count, most in (
        ("authors", len(network.authors), MAX_AUTHORS),
        ("tasks", len(network.tasks), MAX_TASKS),
    ):
        if count > most:
            raise UsageError(
                f"{count} {what} do not fit into an invite; the limit is {most}",
                "send the definition's file instead: `arnode network show` prints its path",
            )
    payload = encode(
        _Payload(
            name=network.name,
            addresses=network.bootstrap[:MAX_ADDRESSES],
            secret=network.secret,
            authors=tuple(sorted(network.authors)),
            tasks=network.tasks,
        ).to_value()
    )
    return PREFIX + _to_base32(payload + _checksum(payload))


def read_invite(line: str) -> Network:
    """Return the network of an invite. Spaces, line breaks and capitals in the line do not matter.

    Raises:
        UsageError: the invite is invalid.
    """
    text = "".join(line.split()).lower()
    found = _read(text)
    if isinstance(found, Rejected):
        is_name = re.fullmatch(NAME_PATTERN, text) and defined_network(Home.here(), text)
        start = next_start("--network", text, "--yes")
        hint = f"{text} is a network's name, which needs no invite: {start}" if is_name else _HINT
        raise UsageError(f"this is not a complete invite: {found.reason}", hint)
    return found


def join_network(home: Home, invited: Network) -> Path:
    """Store the network of an invite, and use it from now on; return the file of its definition.

    If the network is already known here, its known addresses follow the addresses of the invite. If
    the user once declined to go online, this answer is deleted, so that they are asked again.

    Raises:
        ConfigurationError: another network of this name is known here, or a file is invalid.
    """
    home.prepare()
    settings = load_config(home.config, env={})
    known = defined_network(home, invited.name)
    network = invited
    if known is not None:
        for what in ("secret", "authors", "tasks"):
            if getattr(known.network, what) != getattr(invited, what):
                raise ConfigurationError(
                    f"this invite and {known.place} define different networks "
                    f"{invited.name!r}: they differ in `{what}`",
                    "move that file away first, if the invite is right"
                    if known.is_own
                    else "ask for a network with another name: this one comes with arnode",
                )
        addresses = dict.fromkeys((*invited.bootstrap, *known.network.bootstrap))
        # Keep what an invite does not contain.
        network = replace(known.network, bootstrap=tuple(addresses)[:MAX_BOOTSTRAP])
    if known is not None and known.is_own and known.network == network:
        path = own_file(home, network.name)  # unchanged, so that its comments stay
    else:
        path = replace_network(home, network)
    had_declined = settings.config.online is False
    change_settings(home.config, {"net": network.name} | ({"online": None} if had_declined else {}))
    return path


def _read(text: str) -> Network | Rejected:
    if len(text) > MAX_LINE:
        return Rejected(f"it has {len(text)} characters, more than {MAX_LINE}")
    version = re.match(r"arnode([0-9])", text)
    if version is None:
        return Rejected(f"it does not begin with `{PREFIX}`")
    if version[0] != PREFIX:
        return Rejected(f"it has version {version[1]}, which this arnode cannot read")
    digits = text.removeprefix(PREFIX)
    for place, digit in enumerate(digits, len(PREFIX) + 1):
        if digit not in _ALPHABET:
            return Rejected(f"its character {place} is {digit!r}, neither a-z nor 2-7")
    try:
        data = base64.b32decode(digits.upper() + "=" * (-len(digits) % 8))
    except ValueError:  # the digits do not make whole bytes
        data = b""
    payload, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if checksum != _checksum(payload) or _to_base32(data) != digits:
        return Rejected("a character is missing or wrong (the checksum does not match)")
    value = decode(payload)
    if isinstance(value, Rejected):
        return value
    read = _Payload.from_value(value)
    if isinstance(read, Rejected):
        return read
    return Network(
        name=read.name,
        bootstrap=read.addresses,
        secret=read.secret,
        authors=frozenset(read.authors),
        tasks=read.tasks,
    )


def _read_address(value: Value) -> Address | Rejected:
    match value:
        case [bytes() as data, int() as port, bytes() as key] if len(data) in {4, 16}:
            host = f"ip4/{IPv4Address(data)}" if len(data) == 4 else f"ip6/{IPv6Address(data)}"
        case [str() as host, int() as port, bytes() as key] if host.startswith("dns"):
            pass
        case _:
            return Rejected("not an address")
    if len(key) != KEY_BYTES:
        return Rejected(f"a key of {len(key)} bytes")
    return parse_address(f"/{host}/tcp/{port}/p2p/{peer_id(key)}")


def _write_address(address: Address) -> Value:
    if address.kind.startswith("ip"):
        return [ip_address(address.host).packed, address.port, address.key]
    return [f"{address.kind}/{address.host}", address.port, address.key]


def _read_name(value: Value) -> str | Rejected:
    return (
        Rejected("not a network name")
        if value == NO_NETWORK
        else identifier(NAME_PATTERN).read(value)
    )


_ADDRESS: Final = Codec(_read_address, _write_address)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Payload(Mapped):
    name: Annotated[str, Codec(_read_name, str)]
    addresses: Annotated[tuple[Address, ...], listing(_ADDRESS, low=1, high=MAX_ADDRESSES)]
    secret: Annotated[Digest | None, OPTIONAL]
    authors: Annotated[tuple[Digest, ...], Items(0, MAX_AUTHORS)]
    tasks: Annotated[tuple[str, ...], listing(identifier(TASK_PATTERN), high=MAX_TASKS)]


def _checksum(payload: bytes) -> bytes:
    return hashlib.sha256(_CONTEXT + payload).digest()[:_CHECKSUM_BYTES]


def _to_base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()
