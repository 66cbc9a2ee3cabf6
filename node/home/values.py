"""Functions that read a setting's value from the file, a flag or an environment variable.

They raise KeyError, TypeError or ValueError for an invalid value. The caller adds where the value
was found and which values are accepted (`node.home.setting`).
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
from protocol.codecs import NAME_PATTERN, single_line
from protocol.errors import Rejected, UsageError

NAME_LIMIT = 64  # characters; the limit in a profile record
NO_PAGE = "none"
FREE_PAGE = "auto"
NEAR = 0.75  # similarity above which an unknown word counts as a misspelling
_SOCKET = re.compile(r"/ip4/[0-9.]{7,15}/tcp/[0-9]{1,5}|/ip6/[0-9a-f:]{2,39}/tcp/[0-9]{1,5}")
_NAME = single_line(0, NAME_LIMIT)
_CARD = re.compile(r"[A-Za-z0-9-]*[0-9][A-Za-z0-9-]*")
_SWITCH = {"true": True, "1": True, "false": False, "0": False}

Given: TypeAlias = str | int | float | tuple[str, ...] | list[str] | None


class WrongWordError(ValueError):
    """One word of a value is invalid; the message says why."""


def text(value: Given) -> str:
    """Return the value, which must be text."""
    if not isinstance(value, str):
        raise TypeError
    return value


def text_if(is_right: Callable[[str], object]) -> Callable[[Given], str]:
    """Return a reader that accepts only text for which `is_right` is true."""

    def read(value: Given) -> str:
        if not is_right(text(value)):
            raise ValueError
        return text(value)

    return read


def one_of(*words: str) -> Callable[[Given], str]:
    """Return a reader that accepts only these words."""
    return text_if(words.__contains__)


def ray_address(value: Given) -> str:
    """Return the address or name of the user's own Ray cluster."""
    named = ray_cluster(text(value))
    if isinstance(named, Rejected):
        raise WrongWordError(named.reason)
    return named


def lane_hosts(value: Given) -> tuple[str, ...]:
    """Return machines, each with its number of lanes."""
    named = words(value)
    for word in named:
        if isinstance(read := lane_host(word), Rejected):
            raise WrongWordError(read.reason)
    return named


def network_typed(word: str) -> str:
    """Return the value of `--network`. Raises UsageError for another spelling of `none`."""
    if word.startswith("-"):
        raise UsageError(
            f"--network needs a value, not `{word}`",
            "`arnode network show` lists names; `--network none` stays offline",
        )
    if word != NO_NETWORK and word.lower() in (NO_NETWORK, "", "off", "offline"):
        raise UsageError(f"there is no network {word!r}", "did you mean `--network none`?")
    return word


def _is_server(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username


filled = text_if(bool)
fleet = text_if(lambda named: not named or owner_of(named) is not None)
short_name = text_if(lambda name: name.isprintable() and name == _NAME.read(name))
net = text_if(lambda name: name != NO_NETWORK and re.fullmatch(NAME_PATTERN, name))
variable = text_if(re.compile(r"[A-Z][A-Z0-9_]{0,63}").fullmatch)
url = text_if(_is_server)
approval = text_if(re.compile(r"off|wait|[1-9][0-9]{0,2}[smhd](:skip)?").fullmatch)


def addresses(value: Given) -> tuple[str, ...]:
    """Return addresses of peers, without relays."""
    given = words(value)
    faults = [found for word in given if isinstance(found := parse_direct(word), Rejected)]
    if faults:
        raise WrongWordError(faults[0].reason)
    return given


def sockets(value: Given) -> tuple[str, ...]:
    """Return addresses to listen on."""
    given = words(value)
    if not all(_SOCKET.fullmatch(word) for word in given):
        raise ValueError
    return given


def words(value: Given) -> tuple[str, ...]:
    """Return a list of words. In a text they are separated by commas or blanks."""
    words = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(words, list | tuple):
        raise TypeError
    return tuple(text(word) for word in words)


def cards(value: Given) -> tuple[str, ...]:
    """Return a list of cards, each by number, UUID or hardware class such as `nvidia-h200`."""
    named = words(value)
    if not all(map(_CARD.fullmatch, named)):
        raise ValueError
    return named


def count(value: Given) -> int:
    """Return a whole number from 1."""
    number = int(value) if isinstance(value, str) else value
    if type(number) is not int or number < 1:
        raise ValueError
    return number


def page_address(value: Given) -> str:
    """Return an address and a port to serve the page at, `auto` or `none`."""
    if text(value) in (NO_PAGE, FREE_PAGE):
        return text(value)
    host, _, port = text(value).rpartition(":")
    ip_address(host.removeprefix("[").removesuffix("]"))
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError
    return text(value)


def auto_or_count(value: Given) -> int | Literal["auto"]:
    """Return `auto`, or a whole number from 1."""
    return "auto" if value == "auto" else count(value)


def argv(value: Given) -> tuple[str, ...]:
    """Return a command. A text must be a list in JSON, since a word may contain blanks."""
    if isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, list | tuple) or not value:
        raise TypeError
    return tuple(text(word) for word in value)


def number(is_right: Callable[[float], bool]) -> Callable[[Given], float]:
    """Return a reader that accepts only numbers for which `is_right` is true."""

    def read(value: Given) -> float:
        number = float(value) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int | float) or not is_right(number):
            raise ValueError
        return float(number)

    return read


def switch(value: Given) -> bool:
    """Return True or False."""
    if isinstance(value, bool):
        return value
    return _SWITCH[text(value).lower()]
