"""Whom a node hears how: whom its user named, and who is of the user's own fleet."""

import time
from dataclasses import replace

from node.home.faults import explaining_faults
from node.home.files import write_file
from node.home.fleet_list import members_of, owner_of, read_fleet
from node.home.home import Home
from node.home.people import People, read_people
from node.home.signed_list import SignedList, told_time
from protocol.errors import ConfigurationError, Rejected, UsageError


def people_of(home: Home, friends: str) -> People:
    """Return whom the home's file names, and the fleet of the setting `friends`, if it names one.

    Of the fleet are the keys on its list and its owner's. Whoever is blocked is not.

    Raises:
        ConfigurationError: a file is not what it should be.
    """
    people, owner = read_people(home.people), owner_of(friends)
    if owner is None:
        return people
    listed = kept_list(home, owner)
    members = members_of(listed) if listed else frozenset[bytes]()
    return replace(people, fleet=(members | {owner}) - people.blocked)


def kept_list(home: Home, owner: bytes) -> SignedList | None:
    """Return the list of an owner's nodes that this home has; None if there is none yet.

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
            "move it away and bring the list anew: `arnode friends take FILE`",
        )
    return read


def take_list(home: Home, owner: bytes, data: bytes) -> SignedList:
    """Keep a list of an owner's nodes, and return it.

    Raises:
        UsageError: it is none, or older than the one that is here.
    """
    read = read_fleet(data, owner=owner, now_s=time.time())
    if isinstance(read, Rejected):
        raise UsageError(
            f"that is no list of this fleet: {read.reason}",
            "`arnode friends sign KEY…` in the owner's home prints one",
        )
    kept = kept_list(home, owner)
    if kept is not None and kept.written_s > read.written_s:
        then, now = told_time(read.written_s), told_time(kept.written_s)
        raise UsageError(
            f"it is of {then}, older than the one that is here, of {now}",
            "bring the newest: a key that is off the list must not come back by an old one",
        )
    home.prepare()
    write_file(home.fleet_list, read.text())
    return read
