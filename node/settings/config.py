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

from node.home.faults import explaining_faults
from node.settings import values as take
from node.settings.addresses import EXAMPLE
from node.settings.values import AGENTS, NAME_LIMIT, NEAR, Setting
from protocol.errors import ConfigurationError

COLORS = ("auto", "always", "never")
PEER_CODE = ("none", "friends", "all")  # whose code runs here
LISTEN_EXAMPLE = "/ip4/0.0.0.0/tcp/4001"
_PREFIX = "ARNODE_"
# Not settings: where the home is, and what program tasks are told (INTERFACES, "A task folder").
_NOT_SETTINGS = {"HOME", "SEED", "OUT", "DATA", "BUDGET_S"}


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
    llm_url: str | None = None
    llm_key: str | None = None
    llm_usd_in: float | None = None
    llm_usd_out: float | None = None
    llm_context: int | None = None
    llm_answer: int = 8192
    llm_timeout_s: float = 300.0
    usd_per_day: float = 5.0
    tokens_per_day: int | None = None
    calls_per_day: int | None = None
    visits_per_day: int = 50
    agent_command: tuple[str, ...] = ()
    agent_folders: tuple[str, ...] = ()
    agent_variables: tuple[str, ...] = ()
    agent_limit_s: float = 900.0
    agent_usd: float = 1.0
    peers_words: bool = False
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
        elif difflib.get_close_matches(name.lower(), _PARSERS, 1, NEAR):
            raise ConfigurationError(f"unknown variable {variable}", _nearest_hint(name.lower()))
    return found


def _checked(name: str, value: Setting, where: str) -> Setting:
    parse, wanted = _PARSERS[name]
    try:
        return parse(value)
    except take.NotAnAddressError as fault:
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


_PARSERS: dict[str, tuple[Callable[[Setting], Setting], str]] = {
    "task": (take.filled, "a task's name or folder, in quotes"),
    "text": (take.filled, "the path of a text file, in quotes"),
    "net": (take.net, "a network's name: a-z, 0-9 and -, at most 48; `online = false` for none"),
    "online": (take.switch, "true or false"),
    "bootstrap": (take.addresses, f'addresses: ["{EXAMPLE}"], in a variable with commas between'),
    "name": (take.short_name, f"text of at most {NAME_LIMIT} printable characters, in quotes"),
    "agent": (take.agent, f"one of {', '.join(AGENTS)}, ollama:NAME, or a model's name"),
    "llm_url": (take.url, "the URL of an OpenAI-compatible server, like http://127.0.0.1:8080/v1"),
    "llm_key": (
        take.variable,
        "the name of the variable that holds the API key, never the key itself",
    ),
    "llm_usd_in": (take.amount, "USD for a million tokens of a prompt"),
    "llm_usd_out": (take.amount, "USD for a million tokens of an answer"),
    "llm_context": (take.count, "how many tokens the model takes"),
    "llm_answer": (take.count, "how many tokens an answer may have"),
    "llm_timeout_s": (take.seconds, "a number of seconds above 0"),
    "usd_per_day": (take.amount, "USD that models may cost a day (UTC); 0 for what is free only"),
    "tokens_per_day": (take.count, "a whole number from 1"),
    "calls_per_day": (take.count, "a whole number from 1"),
    "visits_per_day": (take.count, "a whole number from 1"),
    "agent_command": (take.argv, 'a command as a list: ["my-agent", "--file", "{prompt_file}"]'),
    "agent_folders": (take.words, 'folders of the home that the command needs: ["~/.claude"]'),
    "agent_variables": (take.words, 'names of variables that the command needs: ["LANG"]'),
    "agent_limit_s": (take.seconds, "a number of seconds above 0"),
    "agent_usd": (take.amount, "USD that one proposal of a coding agent may cost; 0 if it is free"),
    "peers_words": (take.switch, "true or false"),
    "data_url": (take.filled, "the URL or folder that has a task's shards, in quotes"),
    "gpus": (take.words, 'NVIDIA cards by number, UUID or class: ["0"]'),
    "max_experiments": (take.count, "a whole number from 1"),
    "max_watts": (take.count, "a whole number of watts"),
    "checkpoint_hours": (take.hours, "a number of hours above 0"),
    "max_records": (take.count, "a whole number from 1"),
    "peer_code": (take.one_of(PEER_CODE), f"one of {', '.join(PEER_CODE)}"),
    "listen": (take.sockets, f'addresses to listen on: ["{LISTEN_EXAMPLE}"]'),
    "mdns": (take.switch, "true or false"),
    "peer_share": (take.share, "a number from 0 to 1"),
    "allow_partial_sandbox": (take.switch, "true or false"),
    "peers_in_container": (take.switch, "true or false"),
    "color": (take.one_of(COLORS), f"one of {', '.join(COLORS)}"),
}
