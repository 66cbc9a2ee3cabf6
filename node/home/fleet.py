"""A fleet: the nodes of one owner, given by a list of their keys that the owner's key signs.

The machines of a fleet can be far apart, connected only by the internet. Each remains a node with
records of its own. `friends = "fleet:KEY"` names the owner. `arnode network friends sign`, in the
home of that key, writes the list. `arnode network friends take` stores a newer list on a node. A
key that was removed from the list is untrusted again.

Machines that only make runs for a node are not nodes. Settings name them by their `ssh` host name,
or by the address of a Ray cluster.
"""

import ipaddress
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from node.home.faults import explaining_faults
from node.home.files import write_file
from node.home.home import Home
from node.home.network_definition import AUTHOR_BYTES, key_of
from node.home.people import People, read_people
from node.home.signed_list import ListKind, SignedList, iso_time, read_signed, signed
from protocol.errors import ConfigurationError, Rejected, UsageError
from protocol.ip_addresses import is_own
from protocol.keys import SigningKey

MAX_MEMBERS: Final = 256
FLEET: Final = "fleet:"  # before the owner's key in a setting

_KIND: Final = ListKind(
    header="arnode-fleet 1", context=b"arnode/fleet-list/1\0", items="keys", most=MAX_MEMBERS
)
LOCAL: Final = "local"  # a Ray cluster that the node starts on this machine
AUTO: Final = "auto"  # the Ray cluster that runs on this machine already
RAY_PORT: Final = 6379
HERE: Final = "here"  # the node's own machine, where a lane needs no ssh
_LANE_HOST = re.compile(r"(?P<host>[A-Za-z0-9_][A-Za-z0-9._@-]{0,252})(:(?P<lanes>[1-9][0-9]?))?")
_ADDRESS = re.compile(r"(?P<host>[0-9.]+|\[[0-9a-fA-F:]+\]):(?P<port>[0-9]{1,5})")


def people_of(home: Home, friends: str) -> People:
    """Return the people in the home's file, and the fleet if the setting `friends` names one.

    The fleet has the owner's key and the keys on the owner's list, without blocked ones.

    Raises:
        ConfigurationError: a file is invalid.
    """
    people, owner = read_people(home.people), owner_of(friends)
    if owner is None:
        return people
    listed = kept_list(home, owner)
    members = members_of(listed) if listed else frozenset[bytes]()
    return replace(people, fleet=(members | {owner}) - people.blocked)


def kept_list(home: Home, owner: bytes) -> SignedList | None:
    """Return the stored list of an owner's nodes; None if there is none yet.

    Raises:
        ConfigurationError: it is not a list, or another owner's.
    """
    with explaining_faults(home.fleet_list):
        try:
            data = home.fleet_list.read_bytes()
        except FileNotFoundError:
            return None
    read = read_fleet(data, owner=owner, now_s=time.time())
    if isinstance(read, Rejected):
        raise ConfigurationError(
            f"{home.fleet_list}: {read.reason}",
            "move it away and copy the list again: `arnode network friends take FILE`",
        )
    return read


def take_list(home: Home, owner: bytes, data: bytes) -> SignedList:
    """Store a list of an owner's nodes, and return it.

    Raises:
        UsageError: it is invalid, or older than the stored one.
    """
    read = read_fleet(data, owner=owner, now_s=time.time())
    if isinstance(read, Rejected):
        raise UsageError(
            f"that is not a list of this fleet: {read.reason}",
            "`arnode network friends sign KEY…` in the owner's home prints one",
        )
    kept = kept_list(home, owner)
    if kept is not None and kept.written_s > read.written_s:
        then, now = iso_time(read.written_s), iso_time(kept.written_s)
        raise UsageError(
            f"the list was written at {then}, before the stored list ({now})",
            "take the newest list: an older list would restore removed keys",
        )
    home.prepare()
    write_file(home.fleet_list, read.text())
    return read


def owner_of(friends: str) -> bytes | None:
    """Return the key in a setting of the form `fleet:KEY`; None for any other text."""
    if not friends.startswith(FLEET):
        return None
    return key_of(friends.removeprefix(FLEET), AUTHOR_BYTES)


def sign_fleet(members: Iterable[bytes], *, key: SigningKey, written_s: int) -> SignedList:
    """Return a list of the author keys of 1 to 256 nodes, signed with the owner's key."""
    keys = (member.hex() for member in members)
    return signed(_KIND, _of(key.public), keys, key=key, written_s=written_s)


def read_fleet(data: bytes, *, owner: bytes, now_s: float) -> SignedList | Rejected:
    """Return the list that an owner signed, or the first reason it is invalid."""
    whose = "the owner that `friends` names"
    read = read_signed(_KIND, data, of=_of(owner), key=owner, whose=whose, now_s=now_s)
    if isinstance(read, SignedList):
        for number, digits in enumerate(read.items, 1):
            if key_of(digits, AUTHOR_BYTES) is None or digits != digits.lower():
                return Rejected(f"its key {number} is not 64 hex digits")
    return read


def members_of(listed: SignedList) -> frozenset[bytes]:
    """Return the author keys on a list."""
    return frozenset(map(bytes.fromhex, listed.items))


def _of(owner: bytes) -> str:
    return f"owner {owner.hex()}"


def own_host(text: str) -> str | Rejected:
    """Return an IP address of this machine or a private network; reject any other text."""
    try:
        host = ipaddress.ip_address(text)
    except ValueError:
        return Rejected(f"{text!r} is not an IP address")
    if not is_own(text):
        return Rejected(f"{text} is not an address in a private network or VPN")
    return str(host)


def ray_cluster(text: str) -> str | Rejected:
    """Return a valid name of a Ray cluster: LOCAL, AUTO, or `HOST:PORT` in a private network."""
    if text in (LOCAL, AUTO):
        return text
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 1 << 16:
        return Rejected(f"{text!r} is not the address of a Ray cluster")
    host = own_host(found["host"].strip("[]"))
    return host if isinstance(host, Rejected) else text


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneMachine:
    """A machine by its name for `ssh`, or HERE, and its number of lanes."""

    host: str
    lanes: int


def lane_host(text: str) -> LaneMachine | Rejected:
    """Parse `HOST[:N]`; N is 1 by default."""
    found = _LANE_HOST.fullmatch(text)
    if found is None:
        return Rejected(f"{text!r} is not a machine's name with a number of lanes")
    return LaneMachine(host=found["host"], lanes=int(found["lanes"] or 1))
