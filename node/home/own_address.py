"""How machines of one's own are named: a Ray cluster by its address, others as `ssh` knows them."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from protocol.errors import Rejected
from protocol.ip_addresses import is_own

LOCAL: Final = "local"  # a Ray of this node's own, on this machine
AUTO: Final = "auto"  # the one that runs on this machine
RAY_PORT: Final = 6379
HERE: Final = "here"  # the machine of the node itself, where a lane needs no ssh
_LANE_HOST = re.compile(r"(?P<host>[A-Za-z0-9_][A-Za-z0-9._@-]{0,252})(:(?P<lanes>[1-9][0-9]?))?")
_ADDRESS = re.compile(r"(?P<host>[0-9.]+|\[[0-9a-fA-F:]+\]):(?P<port>[0-9]{1,5})")


def own_host(text: str) -> str | Rejected:
    """Return an IP address of this machine or a network of one's own; another is refused."""
    try:
        host = ipaddress.ip_address(text)
    except ValueError:
        return Rejected(f"{text!r} is no IP address")
    if not is_own(text):
        return Rejected(f"{text} is no address of a private network or a VPN")
    return str(host)


def ray_cluster(text: str) -> str | Rejected:
    """Return what names a Ray cluster: LOCAL, AUTO, or `HOST:PORT` of a network of one's own."""
    if text in (LOCAL, AUTO):
        return text
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 1 << 16:
        return Rejected(f"{text!r} is no address of a Ray cluster")
    host = own_host(found["host"].strip("[]"))
    return host if isinstance(host, Rejected) else text


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneMachine:
    """A machine that `ssh` knows by this name, or HERE, and how many lanes it has."""

    host: str
    lanes: int


def lane_host(text: str) -> LaneMachine | Rejected:
    """Return what `HOST[:N]` says."""
    found = _LANE_HOST.fullmatch(text)
    if found is None:
        return Rejected(f"{text!r} is no machine's name with a number of lanes")
    return LaneMachine(host=found["host"], lanes=int(found["lanes"] or 1))
