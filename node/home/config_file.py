"""Functions that change single settings in the user's `config.toml` and keep every other line.

The file belongs to the user, with comments and an order of its own. Python can read TOML but not
write it, so lines are replaced as text. The result is parsed before it is written. If it is not
what was wanted, the file stays unchanged and an error tells the user what to write.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from node.home.faults import explaining_faults
from node.home.files import write_file
from node.home.settings_in_force import load_config
from node.home.values import Given
from protocol.errors import ConfigurationError


def change_settings(path: Path, changes: Mapping[str, Given]) -> None:
    """Set settings in the file; None removes one. The file's folder must exist.

    Raises:
        ConfigurationError: the file is invalid already, or cannot be changed line by line.
    """
    load_config(path, env={})
    with explaining_faults(path):
        text = path.read_bytes().decode("utf-8") if path.exists() else ""
    before = tomllib.loads(text)
    for name, value in changes.items():
        text = _with_setting(text, name, value)
    wanted = {name: value for name, value in {**before, **changes}.items() if value is not None}
    if not _holds(text, wanted):
        lines = ", ".join(f"`{_line(name, value)}`" for name, value in changes.items())
        raise ConfigurationError(
            f"{path} cannot be changed line by line", f"write into it: {lines}"
        )
    with explaining_faults(path):
        write_file(path.resolve(), text.encode())  # keeps a symbolic link to the file


def _with_setting(text: str, name: str, value: Given) -> str:
    line = _line(name, value)
    found = re.search(rf"^[ \t]*{name}[ \t]*=[^\n]*(\n|\Z)", text, re.MULTILINE)
    if found is not None:
        return text[: found.start()] + (line and f"{line}\n") + text[found.end() :]
    if not line:
        return text
    return text + ("" if not text or text.endswith("\n") else "\n") + f"{line}\n"


def _line(name: str, value: Given) -> str:
    # JSON's literals and escapes are also valid TOML.
    return "" if value is None else f"{name} = {json.dumps(value)}"


def _holds(text: str, wanted: Mapping[str, object]) -> bool:
    try:
        return tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        return False
