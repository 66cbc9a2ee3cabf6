"""What each kind of setting takes: from a file's value, or from the word of a flag or variable.

A value that is wrong raises KeyError, TypeError or ValueError; who reads the settings says where
it stood and what is taken there.
"""

import difflib
import json
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from node.settings.addresses import parse_direct
from node.settings.network_definition import NO_NETWORK
from protocol.errors import Rejected
from protocol.fields import NAME_PATTERN, line

AGENTS = ("knobs", "none", "auto", "claude", "codex", "aider", "command")  # else a model's name
NAME_LIMIT = 64  # what a profile record holds
NEAR = 0.75  # similarity above which an unknown word is taken for a misspelling
_SOCKET = re.compile(r"/ip4/[0-9.]{7,15}/tcp/[0-9]{1,5}|/ip6/[0-9a-f:]{2,39}/tcp/[0-9]{1,5}")
_NAME = line(0, NAME_LIMIT)
_SWITCH = {"true": True, "1": True, "false": False, "0": False}
_MODEL = re.compile(r"[A-Za-z0-9][\w.:/@+-]{0,119}")

Setting = str | int | float | tuple[str, ...] | list[str] | None


class NotAnAddressError(ValueError):
    """One of several values is wrong, and how."""


def text(value: Setting) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise TypeError
    return value


def filled(value: Setting) -> str:
    """Text that is not empty."""
    if not text(value):
        raise ValueError
    return text(value)


def short_name(value: Setting) -> str:
    """A name as records carry it."""
    name = text(value)
    if not name.isprintable() or isinstance(_NAME.read(name), Rejected):
        raise ValueError
    return name


def net(value: Setting) -> str:
    """A network's name."""
    if not re.fullmatch(NAME_PATTERN, text(value)) or value == NO_NETWORK:
        raise ValueError
    return text(value)


def addresses(value: Setting) -> tuple[str, ...]:
    """Addresses of peers, each direct."""
    given = words(value)
    faults = [found for word in given if isinstance(found := parse_direct(word), Rejected)]
    if faults:
        raise NotAnAddressError(faults[0].reason)
    return given


def sockets(value: Setting) -> tuple[str, ...]:
    """Where to listen."""
    given = words(value)
    if not all(_SOCKET.fullmatch(word) for word in given):
        raise ValueError
    return given


def words(value: Setting) -> tuple[str, ...]:
    """A list of words; in one text they have commas or blanks between."""
    words = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(words, list | tuple):
        raise TypeError
    return tuple(text(word) for word in words)


def count(value: Setting) -> int:
    """A whole number from 1."""
    number = int(value) if isinstance(value, str) else value
    if type(number) is not int or number < 1:
        raise ValueError
    return number


def agent(value: Setting) -> str:
    """Who proposes: one that is listed, or a model."""
    name = text(value)
    # One of ours misspelled, rather than a model: their names have a digit or a provider.
    is_near = name.isalpha() and difflib.get_close_matches(name.lower(), AGENTS, 1, NEAR)
    if name not in AGENTS and (is_near or not _MODEL.fullmatch(name)):
        raise ValueError
    return name


def url(value: Setting) -> str:
    """The URL of a server."""
    parts = urlsplit(text(value))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError
    return text(value)


def variable(value: Setting) -> str:
    """The name of an environment variable."""
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", text(value)):
        raise ValueError
    return text(value)


def argv(value: Setting) -> tuple[str, ...]:
    """A command; as one text it is a list in JSON, as a word may have blanks."""
    if isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, list | tuple) or not value:
        raise TypeError
    return tuple(text(word) for word in value)


def amount(value: Setting) -> float:
    """A number from 0."""
    amount = float(value) if isinstance(value, str) else value
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount < 1e6:
        raise ValueError
    return float(amount)


def seconds(value: Setting) -> float:
    """A number above 0."""
    if not amount(value):
        raise ValueError
    return amount(value)


def hours(value: Setting) -> float:
    """A number of hours above 0, within a year."""
    hours = float(value) if isinstance(value, str) else value
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours <= 8760:
        raise ValueError
    return float(hours)


def share(value: Setting) -> float:
    """A number from 0 to 1."""
    share = float(value) if isinstance(value, str) else value
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ValueError
    return float(share)


def switch(value: Setting) -> bool:
    """Yes or no."""
    if isinstance(value, bool):
        return value
    return _SWITCH[text(value).lower()]


def one_of(words: tuple[str, ...]) -> Callable[[Setting], Setting]:
    """One of these words."""

    def checked(value: Setting) -> str:
        if value not in words:
            raise ValueError
        return text(value)

    return checked
