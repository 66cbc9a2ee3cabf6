"""Network addresses that peers exchange: a host, a TCP port and the peer id expected there.

The text is a multiaddr of one form, `/ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…`, or with `ip6`, `dns`,
`dns4`, `dns6`. Or it is such an address of a relay, followed by `/p2p-circuit/p2p/12D3Koo…` with
the id of the peer behind it. Nothing else is dialled. A peer id contains an Ed25519 public key,
as all transport keys here are of that kind. A machine without the private key cannot answer under
the id, so a wrong address costs a failed dial and nothing more. This module is pure: it resolves no
names.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, NewType

from protocol.address_blocks import AddressScope
from protocol.errors import Rejected
from protocol.ip_addresses import is_spelt_as_ipv6, may_be_machine, scope_of

PeerId = NewType("PeerId", str)  # base58, as libp2p prints it

LIMIT_CHARACTERS: Final = 400  # a DNS name of 253 characters, and the rest of the address
KEY_BYTES: Final = 32
EXAMPLE: Final = "/ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…"
SERVER_EXAMPLE: Final = "/dnsaddr/bootstrap.example.org/p2p/Qm…"
ANYWHERE: Final = "/ip4/0.0.0.0"  # listens at all addresses of a machine

_CIRCUIT = "/p2p-circuit"
_NAMED = ("dns", "dns4", "dns6")
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAX_NAME = 253
_MAX_PORT = 65_535
# An identity multihash of the key as protobuf, type 1 (Ed25519), 32 bytes:
# https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md
_ID_PREFIX = bytes([0x00, 0x24, 0x08, 0x01, 0x12, 0x20])
_HASHED_ID_PREFIX = bytes([0x12, 0x20])  # of a longer key: its SHA-256
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_MAX_ID = 60


class Reach(Enum):
    """The machines that can reach a host: its IP address's `AddressScope`; NAME if unknown."""

    PUBLIC = AddressScope.PUBLIC.value
    NAME = "name"  # a DNS name, which may resolve to anything
    PRIVATE = AddressScope.PRIVATE.value
    LINK_LOCAL = AddressScope.LINK_LOCAL.value
    LOOPBACK = AddressScope.LOOPBACK.value
    NOWHERE = AddressScope.NOWHERE.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address of a peer. `host` is an IP address in its shortest form or a DNS name."""

    kind: str  # ip4, ip6, dns, dns4, dns6
    host: str
    port: int
    key: bytes  # the peer's transport key
    relay_key: bytes | None = None  # the relay's transport key, if host and port are a relay's

    def __str__(self) -> str:
        place = f"/{self.kind}/{self.host}/tcp/{self.port}"
        through = "" if self.relay is None else f"/p2p/{self.relay}{_CIRCUIT}"
        return f"{place}{through}/p2p/{self.peer}"

    @property
    def relay(self) -> PeerId | None:
        """The id of the relay through which the peer is reached; None if there is none."""
        return None if self.relay_key is None else peer_id(self.relay_key)

    @property
    def peer(self) -> PeerId:
        """The id of the peer that must answer there."""
        return peer_id(self.key)

    @property
    def reach(self) -> Reach:
        """The machines that can reach the host."""
        return Reach.NAME if self.kind in _NAMED else reach_of(self.host)

    @property
    def site(self) -> str:
        """The group of addresses that one machine is likely to own.

        It is an IPv4 address, an IPv6 /64 or a name. A peer behind a relay is a site of its own,
        since it is dialled over an existing connection.
        """
        if self.relay_key is not None:
            return self.peer
        if self.kind != "ip6":
            return self.host
        return str(IPv6Network((self.host, 64), strict=False))

    @property
    def neighbourhood(self) -> str:
        """The group of addresses that one owner of many machines is likely to own.

        It is an IPv4 /16, an IPv6 /32 or a name.
        """
        match self.kind:
            case "ip4":
                return str(IPv4Network((self.host, 16), strict=False))
            case "ip6":
                return str(IPv6Network((self.host, 32), strict=False))
        return self.host


def parse_address(text: str) -> Address | Rejected:
    """Return the address in `text`, or the reason it is invalid."""
    if len(text) > LIMIT_CHARACTERS:
        return Rejected(f"an address of {len(text)} characters, more than {LIMIT_CHARACTERS}")
    match text.split("/"):
        case ["", kind, host, "tcp", port, "p2p", peer]:
            return make_address(kind=kind, host=host, port=port, peer=peer)
        case ["", kind, host, "tcp", port, "p2p", relay, "p2p-circuit", "p2p", peer]:
            return make_address(kind=kind, host=host, port=port, peer=peer, relay=relay)
        case ["", _, _, "tcp", _]:
            return Rejected("it has no /p2p/ID at its end, so any host could answer")
    return Rejected(f"not of the form {EXAMPLE}")


def parse_direct(text: str) -> Address | Rejected:
    """Return the address in `text`; reject one through a relay, which may soon be invalid."""
    address = parse_address(text)
    if isinstance(address, Address) and address.relay is not None:
        return Rejected(f"it goes through the relay {address.relay}: give the relay's own address")
    return address


def parse_server(text: str) -> str | Rejected:
    """Return the text if it is an address of a server of libp2p's DHT, else the reason it is not.

    Such an address has an IP address and a port, or a DNS name whose records have them
    (`/dnsaddr/NAME`). Its peer id may contain any kind of key.
    """
    match text.split("/") if len(text) <= LIMIT_CHARACTERS else []:
        case ["", "dnsaddr", name, "p2p", peer]:
            fault = host_fault("dns", name)
        case ["", "ip4" | "ip6" as kind, host, "tcp", port, "p2p", peer]:
            fault = host_fault(kind, host) or port_fault(port)
        case _:
            return Rejected(f"not of the form {SERVER_EXAMPLE} or {EXAMPLE}")
    data = _from_base58(peer) if len(peer) <= _MAX_ID else None
    if fault is None and (data is None or not data.startswith((_ID_PREFIX, _HASHED_ID_PREFIX))):
        fault = f"{peer[:_MAX_ID]!r} is not a peer id (Qm…, 12D3Koo…)"
    return text if fault is None else Rejected(fault)


def make_address(
    *, kind: str, host: str, port: str, peer: str, relay: str | None = None
) -> Address | Rejected:
    """Return the address with these parts, or the reason it is invalid."""
    host = host.lower()
    fault = host_fault(kind, host)
    if fault is not None:
        return Rejected(fault)
    fault = port_fault(port)
    if fault is not None:
        return Rejected(fault)
    key = transport_key(peer)
    if isinstance(key, Rejected):
        return key
    relay_key = None if relay is None else transport_key(relay)
    if isinstance(relay_key, Rejected):
        return relay_key
    if relay_key == key:
        return Rejected("a relay that points to itself")
    if kind not in _NAMED:
        host = str(ip_address(host))
    return Address(kind=kind, host=host, port=int(port), key=key, relay_key=relay_key)


def seen_at(listened: str, hosts: Iterable[str]) -> list[str]:
    """Return a listening address; if it begins with `ANYWHERE`, one address for each of `hosts`."""
    if not listened.startswith(f"{ANYWHERE}/"):
        return [listened]
    return [f"/ip4/{host}{listened.removeprefix(ANYWHERE)}" for host in hosts]


def peer_id(key: bytes) -> PeerId:
    """Return the id of the peer with this Ed25519 transport key."""
    return PeerId(_to_base58(_ID_PREFIX + key))


def transport_key(peer: str) -> bytes | Rejected:
    """Return the 32 bytes of the key in a peer id, or the reason the id is invalid."""
    data = _from_base58(peer) if len(peer) <= _MAX_ID else None
    if data is None or len(data) != len(_ID_PREFIX) + KEY_BYTES or data[:6] != _ID_PREFIX:
        return Rejected(f"{peer[:_MAX_ID]!r} is not a peer id (12D3Koo…)")
    return data[len(_ID_PREFIX) :]


def port_fault(port: str) -> str | None:
    """Return the reason a TCP port is invalid, as text; None if it is valid."""
    # Reject signs, leading zeros and digits of other scripts.
    if re.fullmatch(r"[1-9][0-9]{0,4}", port) is None or int(port) > _MAX_PORT:
        return f"{port!r} is not a port from 1 to {_MAX_PORT}"
    return None


def reach_of(host: str) -> Reach:
    """Return the reach of an IP address."""
    return Reach(scope_of(host).value)


def may_share(reach: Reach, peer_reach: Reach | None) -> bool:
    """Return True if a peer with reach `peer_reach` may report an address with reach `reach`."""
    # A name may resolve to something else each time. NOWHERE means that no machine is there.
    if reach in (Reach.NAME, Reach.NOWHERE):
        return False
    return reach is Reach.PUBLIC or peer_reach in (reach, Reach.LOOPBACK)


def host_fault(kind: str, host: str) -> str | None:
    """Return the reason a host is invalid for this kind of address; None if it is valid."""
    if kind in _NAMED:
        labels = host.split(".")
        is_name = len(host) <= _MAX_NAME and all(map(_LABEL.fullmatch, labels))
        # Some resolvers treat a name that ends in a number as an IP address.
        if not is_name or _NUMBER.fullmatch(labels[-1]):
            return f"{host[:_MAX_NAME]!r} is not a DNS name"
        return None
    if kind not in ("ip4", "ip6"):
        return f"{kind[:20]!r} is not one of ip4, ip6, {', '.join(_NAMED)}"
    try:
        found = IPv4Address(host) if kind == "ip4" else IPv6Address(host)
    except ValueError:
        return f"{host[:60]!r} is not an {kind} address"
    if "%" in host:
        return f"{host[:60]} names a network interface, which is valid on one machine only"
    if isinstance(found, IPv6Address) and is_spelt_as_ipv6(found):
        return f"{host} is an ip4 address: write it as /ip4"
    if not may_be_machine(found):
        return f"no peer can be reached at {host}"
    return None


def _to_base58(data: bytes) -> str:
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


def _from_base58(text: str) -> bytes | None:
    number = 0
    for character in text:
        digit = _ALPHABET.find(character)
        if digit < 0:
            return None
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
