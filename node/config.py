"""The user's settings: flag > `ARNODE_*` > `config.toml` > default, each value checked once.

One frozen dataclass is the whole table: its fields are the keys of the file, the names of the
variables and, with dashes, the flags. A key that it does not have is a misspelling.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from node.faults import explaining_faults
from node.peering.addresses import EXAMPLE, parse_direct
from node.peering.definition import NO_NETWORK
from protocol.errors import ConfigurationError, Rejected
from protocol.fields import NAME_PATTERN

AGENTS = ("knobs", "none")
COLORS = ("auto", "always", "never")
PEER_CODE = ("none", "friends", "all")  # whose code runs here
LISTEN_EXAMPLE = "/ip4/0.0.0.0/tcp/4001"
_SOCKET = re.compile(r"/ip4/[0-9.]{7,15}/tcp/[0-9]{1,5}|/ip6/[0-9a-f:]{2,39}/tcp/[0-9]{1,5}")
_SWITCH = {"true": True, "1": True, "false": False, "0": False}
NAME_LIMIT = 64  # what a profile record holds
_PREFIX = "ARNODE_"
_NEAR = 0.75  # similarity above which an unknown ARNODE_* variable is taken for a misspelling
# Not settings: where the home is, and what program tasks are told (INTERFACES, "A task folder").
_NOT_SETTINGS = {"HOME", "SEED", "OUT", "DATA", "BUDGET_S"}

Setting = str | int | float | tuple[str, ...] | list[str] | None


class _NotAnAddressError(ValueError):
    """One of several values is wrong, and how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting with its default."""

    task: str = "tiny"
    text: str | None = None
    net: str = "main"
    online: bool | None = None
    bootstrap: tuple[str, ...] = ()
    name: str = ""
    agent: str = "knobs"
    data_url: str | None = None
    gpus: tuple[str, ...] = ()
    max_experiments: int | None = None
    max_watts: int | None = None
    checkpoint_hours: float = 12.0
    max_records: int = 2_000_000
    peer_code: str = "all"
    listen: tuple[str, ...] = ()
    mdns: bool = True
    peer_share: float = 0.25
    allow_partial_sandbox: bool = False
    peers_in_container: bool = False
    color: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration and, per key, where its value came from."""

    config: Config
    origins: Mapping[str, str]


def load_config(
    path: Path, *, env: Mapping[str, str], flags: Mapping[str, Setting] | None = None
) -> Settings:
    """Return the settings in force. Flags that are None were not given."""
    values: dict[str, Setting] = {}
    origins = dict.fromkeys(_PARSERS, "default")
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    for layer, origin in ((_from_file(path), str(path)), (_from_env(env), ""), (given, "")):
        for name, value in layer.items():
            where = origin or (
                f"--{name.replace('_', '-')}" if layer is given else _PREFIX + name.upper()
            )
            values[name] = _checked(name, value, where)
            origins[name] = where
    return Settings(config=Config(**values), origins=origins)  # type: ignore[arg-type]


def _from_file(path: Path) -> dict[str, Setting]:
    with explaining_faults(path):
        try:
            text = path.read_bytes().decode("utf-8")
        except (FileNotFoundError, NotADirectoryError):  # a home that is no folder is told later
            return {}
        except IsADirectoryError as fault:
            raise ConfigurationError(f"{path} is a folder", "move it away") from fault
        except UnicodeDecodeError as fault:
            raise ConfigurationError(
                f"{path} is not UTF-8 text (byte {fault.start})", "save it as UTF-8"
            ) from fault
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigurationError(
            f"{path}: {fault}", 'mend that line; values need quotes: task = "tiny"'
        ) from fault
    for name in table:
        if name not in _PARSERS:
            raise ConfigurationError(
                f"{path}, line {_line_of(name, text)}: unknown key `{name}`", _nearest_hint(name)
            )
    return table


def _from_env(env: Mapping[str, str]) -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    for variable, value in sorted(env.items()):
        name = variable.removeprefix(_PREFIX)
        if name == variable or name in _NOT_SETTINGS:
            continue
        if name.lower() in _PARSERS:
            found[name.lower()] = value
        elif difflib.get_close_matches(name.lower(), _PARSERS, 1, _NEAR):
            raise ConfigurationError(f"unknown variable {variable}", _nearest_hint(name.lower()))
    return found


def _checked(name: str, value: Setting, where: str) -> Setting:
    parse, wanted = _PARSERS[name]
    try:
        return parse(value)
    except _NotAnAddressError as fault:
        raise ConfigurationError(
            f"{where}: `{name}`: {fault}", f"`{name}` takes {wanted}"
        ) from fault
    except (KeyError, TypeError, ValueError) as fault:
        raise ConfigurationError(
            f"{where}: `{name}` is {value!r}", f"`{name}` takes {wanted}"
        ) from fault


def _nearest_hint(name: str) -> str:
    near = difflib.get_close_matches(name, _PARSERS, 1, 0.0)
    return f"did you mean `{near[0]}`? Known keys: {', '.join(_PARSERS)}"


def _line_of(name: str, text: str) -> int:
    pattern = re.compile(rf"\s*\[*\s*[\"']?{re.escape(name)}\b")
    lines = enumerate(text.splitlines(), 1)
    return next((number for number, line in lines if pattern.match(line)), 1)


def _text(value: Setting) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _filled(value: Setting) -> str:
    if not _text(value):
        raise ValueError
    return _text(value)


def _short_name(value: Setting) -> str:
    name = _text(value)
    if len(name) > NAME_LIMIT or not name.isprintable():
        raise ValueError
    return name


def _net(value: Setting) -> str:
    if not re.fullmatch(NAME_PATTERN, _text(value)) or value == NO_NETWORK:
        raise ValueError
    return _text(value)


def _addresses(value: Setting) -> tuple[str, ...]:
    words = _words(value)
    faults = [found for word in words if isinstance(found := parse_direct(word), Rejected)]
    if faults:
        raise _NotAnAddressError(faults[0].reason)
    return words


def _sockets(value: Setting) -> tuple[str, ...]:
    words = _words(value)
    if not all(_SOCKET.fullmatch(word) for word in words):
        raise ValueError
    return words


def _words(value: Setting) -> tuple[str, ...]:
    words = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(words, list | tuple):
        raise TypeError
    return tuple(_text(word) for word in words)


def _count(value: Setting) -> int:
    number = int(value) if isinstance(value, str) else value
    if type(number) is not int or number < 1:
        raise ValueError
    return number


def _hours(value: Setting) -> float:
    hours = float(value) if isinstance(value, str) else value
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours <= 8760:
        raise ValueError
    return float(hours)


def _share(value: Setting) -> float:
    share = float(value) if isinstance(value, str) else value
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ValueError
    return float(share)


def _switch(value: Setting) -> bool:
    if isinstance(value, bool):
        return value
    return _SWITCH[_text(value).lower()]


def _one_of(words: tuple[str, ...]) -> Callable[[Setting], Setting]:
    def checked(value: Setting) -> str:
        if value not in words:
            raise ValueError
        return _text(value)

    return checked


_PARSERS: dict[str, tuple[Callable[[Setting], Setting], str]] = {
    "task": (_filled, "a task's name or folder, in quotes"),
    "text": (_filled, "the path of a text file, in quotes"),
    "net": (_net, "a network's name: a-z, 0-9 and -, at most 48; `online = false` for none"),
    "online": (_switch, "true or false"),
    "bootstrap": (_addresses, f'addresses: ["{EXAMPLE}"], in a variable with commas between'),
    "name": (_short_name, f"text of at most {NAME_LIMIT} printable characters, in quotes"),
    "agent": (_one_of(AGENTS), f"one of {', '.join(AGENTS)}"),
    "data_url": (_filled, "the URL or folder that has a task's shards, in quotes"),
    "gpus": (_words, 'NVIDIA cards by number, UUID or class: ["0"]'),
    "max_experiments": (_count, "a whole number from 1"),
    "max_watts": (_count, "a whole number of watts"),
    "checkpoint_hours": (_hours, "a number of hours above 0"),
    "max_records": (_count, "a whole number from 1"),
    "peer_code": (_one_of(PEER_CODE), f"one of {', '.join(PEER_CODE)}"),
    "listen": (_sockets, f'addresses to listen on: ["{LISTEN_EXAMPLE}"]'),
    "mdns": (_switch, "true or false"),
    "peer_share": (_share, "a number from 0 to 1"),
    "allow_partial_sandbox": (_switch, "true or false"),
    "peers_in_container": (_switch, "true or false"),
    "color": (_one_of(COLORS), f"one of {', '.join(COLORS)}"),
}
