"""How a setting's value is read: a file's value, or the word of a flag or variable.

A value that is wrong raises KeyError, TypeError or ValueError; who reads the settings says where
it stood and what is taken there (`node.home.setting`).
"""

import json
import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from node.home.addresses import parse_direct
from node.home.fleet import lane_host, owner_of, ray_cluster
from node.home.network_definition import NO_NETWORK
from protocol.codecs import NAME_PATTERN, line
from protocol.errors import Rejected

NAME_LIMIT = 64  # what a profile record holds
NO_PAGE = "none"
FREE_PAGE = "auto"
NEAR = 0.75  # similarity above which an unknown word is taken for a misspelling
_SOCKET = re.compile(r"/ip4/[0-9.]{7,15}/tcp/[0-9]{1,5}|/ip6/[0-9a-f:]{2,39}/tcp/[0-9]{1,5}")
_NAME = line(0, NAME_LIMIT)
_SWITCH = {"true": True, "1": True, "false": False, "0": False}

Given: TypeAlias = str | int | float | tuple[str, ...] | list[str] | None


class WrongWordError(ValueError):
    """One word of a value is wrong, and how."""


def text(value: Given) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise TypeError
    return value


def text_if(is_right: Callable[[str], object]) -> Callable[[Given], str]:
    """Text of which something holds."""

    def read(value: Given) -> str:
        if not is_right(text(value)):
            raise ValueError
        return text(value)

    return read


def one_of(*words: str) -> Callable[[Given], str]:
    """One of these words."""
    return text_if(words.__contains__)


def ray_address(value: Given) -> str:
    """What names a Ray cluster of one's own."""
    named = ray_cluster(text(value))
    if isinstance(named, Rejected):
        raise WrongWordError(named.reason)
    return named


def lane_hosts(value: Given) -> tuple[str, ...]:
    """Machines, each with how many lanes it has."""
    named = words(value)
    for word in named:
        if isinstance(read := lane_host(word), Rejected):
            raise WrongWordError(read.reason)
    return named


def _is_server(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username


filled = text_if(bool)
fleet = text_if(lambda named: not named or owner_of(named) is not None)
short_name = text_if(lambda name: name.isprintable() and name == _NAME.read(name))
net = text_if(lambda name: name != NO_NETWORK and re.fullmatch(NAME_PATTERN, name))
variable = text_if(re.compile(r"[A-Z][A-Z0-9_]{0,63}").fullmatch)
url = text_if(_is_server)


def addresses(value: Given) -> tuple[str, ...]:
    """Addresses of peers, each direct."""
    given = words(value)
    faults = [found for word in given if isinstance(found := parse_direct(word), Rejected)]
    if faults:
        raise WrongWordError(faults[0].reason)
    return given


def sockets(value: Given) -> tuple[str, ...]:
    """Where to listen."""
    given = words(value)
    if not all(_SOCKET.fullmatch(word) for word in given):
        raise ValueError
    return given


def words(value: Given) -> tuple[str, ...]:
    """A list of words; in one text they have commas or blanks between."""
    words = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(words, list | tuple):
        raise TypeError
    return tuple(text(word) for word in words)


def count(value: Given) -> int:
    """A whole number from 1."""
    number = int(value) if isinstance(value, str) else value
    if type(number) is not int or number < 1:
        raise ValueError
    return number


def page_address(value: Given) -> str:
    """An address and a port to serve a page at; `auto`, or `none`."""
    if text(value) in (NO_PAGE, FREE_PAGE):
        return text(value)
    host, _, port = text(value).rpartition(":")
    ip_address(host.removeprefix("[").removesuffix("]"))
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError
    return text(value)


def auto_or_count(value: Given) -> int | Literal["auto"]:
    """`auto`, or a whole number from 1."""
    return "auto" if value == "auto" else count(value)


def argv(value: Given) -> tuple[str, ...]:
    """A command; as one text it is a list in JSON, as a word may have blanks."""
    if isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, list | tuple) or not value:
        raise TypeError
    return tuple(text(word) for word in value)


def number(is_right: Callable[[float], bool]) -> Callable[[Given], float]:
    """A number in a range."""

    def read(value: Given) -> float:
        number = float(value) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int | float) or not is_right(number):
            raise ValueError
        return float(number)

    return read


def switch(value: Given) -> bool:
    """Yes or no."""
    if isinstance(value, bool):
        return value
    return _SWITCH[text(value).lower()]
