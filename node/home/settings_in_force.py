"""The settings in force: flag > `ARNODE_*` > `config.toml` > default, each value checked once.

A key, variable or value that `node.home.config` does not define is an error with a hint.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.home import values as take
from node.home.config import SETTINGS, Config
from node.home.faults import explaining_faults
from node.home.home import Home
from node.home.setting import VARIABLES
from node.home.values import NEAR, Given
from protocol.errors import ConfigurationError, UsageError

# Not settings: the home's folder, and variables that program tasks get (docs/writing-a-task.md).
_NOT_SETTINGS = {"HOME", "SEED", "OUT", "DATA", "BUDGET_S"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration, and for each key the origin of its value."""

    config: Config
    origins: Mapping[str, str]


def load_config(
    path: Path, *, env: Mapping[str, str], flags: Mapping[str, Given | Path] | None = None
) -> Settings:
    """Return the settings in force. Flags that are None or empty count as not given.

    Raises ConfigurationError for an unknown key, an unknown variable or an invalid value.
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(SETTINGS, "default")
    layers = (
        *((name, value, str(path)) for name, value in _from_file(path).items()),
        *((name, value, SETTINGS[name].variable) for name, value in _from_env(env).items()),
        *((name, value, SETTINGS[name].option) for name, value in _from_flags(flags or {})),
    )
    for name, value, where in layers:
        values[name] = _checked(name, value, where)
        origins[name] = where
    return Settings(config=Config(**values), origins=origins)


def config_of(home: Home, flags: Mapping[str, Given | Path] | None = None) -> Config:
    """Return the settings in force for a home, with this process's environment."""
    return load_config(home.config, env=os.environ, flags=flags).config


def parse_setting(name: str, text: str) -> Any:
    """Return the value of a setting that is set to this text.

    Raises:
        UsageError: there is no such setting.
        ConfigurationError: the text is no valid value of it.
    """
    if name not in SETTINGS:
        raise UsageError(f"there is no setting `{name}`", _nearest_hint(name))
    return _checked(name, text, "config set")


def _from_file(path: Path) -> dict[str, Given]:
    with explaining_faults(path):
        try:
            text = path.read_bytes().decode("utf-8")
        except (FileNotFoundError, NotADirectoryError):  # not a folder: reported later
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
            f"{path}: {fault}", 'fix that line; values need quotes: task = "tiny"'
        ) from fault
    for name in table:
        if name not in SETTINGS:
            raise ConfigurationError(
                f"{path}, line {_line_of(name, text)}: unknown key `{name}`", _nearest_hint(name)
            )
    return table


def unused_variables(env: Mapping[str, str]) -> list[str]:
    """Return the variables that begin like those of settings and are none."""
    return [variable for variable, name in _variables(env) if name not in SETTINGS]


def _variables(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the variables that may be of settings, each with the setting's name."""
    for variable in sorted(env):
        name = variable.removeprefix(VARIABLES)
        if name != variable and name not in _NOT_SETTINGS:
            yield variable, name.lower()


def _from_env(env: Mapping[str, str]) -> dict[str, Given]:
    found: dict[str, Given] = {}
    for variable, name in _variables(env):
        if name in SETTINGS:
            found[name] = env[variable]
        elif difflib.get_close_matches(name, SETTINGS, 1, NEAR):
            raise ConfigurationError(f"unknown variable {variable}", _nearest_hint(name))
    return found


def _from_flags(flags: Mapping[str, Given | Path]) -> Iterator[tuple[str, Given]]:
    for name, value in flags.items():
        if value not in (None, ()):
            yield name, str(value) if isinstance(value, Path) else value


def _checked(name: str, value: Given, where: str) -> Any:
    kind = SETTINGS[name].kind
    try:
        return kind.read(value)
    except take.WrongWordError as fault:
        raise ConfigurationError(
            f"{where}: `{name}`: {fault}", f"`{name}` takes {kind.wanted}"
        ) from fault
    except (KeyError, TypeError, ValueError) as fault:
        raise ConfigurationError(
            f"{where}: `{name}` cannot be {value!r}", f"`{name}` takes {kind.wanted}"
        ) from fault


_AGENTS = ("model", "llm", "proposer")  # what people call the setting


def _nearest_hint(name: str) -> str:
    meant = ["agent"] if name in _AGENTS else difflib.get_close_matches(name, SETTINGS, 1, 0.7)
    question = f"did you mean `{meant[0]}`? " if meant else ""
    return f"{question}`arnode home config show` lists the settings"


def _line_of(name: str, text: str) -> int:
    pattern = re.compile(rf"\s*\[*\s*[\"']?{re.escape(name)}\b")
    lines = enumerate(text.splitlines(), 1)
    return next((number for number, line in lines if pattern.match(line)), 1)
