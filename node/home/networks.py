"""Networks: a name, addresses of first peers, and for some a secret and a list of authors.

A definition is a TOML file. The user's own ones are in the home (0600, since they may contain a
secret) and take precedence over those that come with arnode. A definition confers no trust: a node
adopts only what it measured itself, whatever network it came from. An invalid file is an error that
names the file and the key.
"""

import difflib
import importlib.resources
import re
import stat
from dataclasses import dataclass, replace
from importlib.resources.abc import Traversable
from pathlib import Path

from node.home.faults import explaining_faults
from node.home.files import create_file, write_file
from node.home.home import PRIVATE_FOLDER, Home
from node.home.network_definition import (
    MAX_FILE_BYTES,
    NO_NETWORK,
    Network,
    read_definition,
    write_definition,
)
from protocol.codecs import NAME_PATTERN
from protocol.errors import ConfigurationError, UsageError

# The package bootstrap imports node, so node must not import it. Its files are found by name.
_SHIPPED = ("bootstrap", "networks")
_SUFFIX = ".toml"
_OTHERS = 0o077
_RULE = f"use a-z, 0-9 and -, at most 48, not `{NO_NETWORK}`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defined:
    """A definition and its file."""

    network: Network
    place: str
    is_own: bool


def find_network(home: Home, name: str) -> Defined:
    """Return the definition of a network.

    Raises:
        UsageError: no network has that name.
        ConfigurationError: its file is invalid.
    """
    found = defined_network(home, name)
    if found is not None:
        return found
    known = sorted(_own_names(home) | _shipped_names())
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    raise UsageError(
        f"there is no network {name!r} here",
        f"{hint}known: {', '.join(known)}; `arnode network join LINE` adds one, "
        "`arnode network init NAME` creates one",
    )


def defined_network(home: Home, name: str) -> Defined | None:
    """Return the user's definition of a network, else the one that comes with arnode, else None.

    Addresses that come with arnode are added after the user's own.
    """
    own, shipped = own_file(home, name), shipped_network(name)
    if not _is_there(own):
        return shipped
    network = _read_own(own)
    if shipped is not None and network.secret is None:
        addresses = dict.fromkeys((*network.bootstrap, *shipped.network.bootstrap))
        network = replace(network, bootstrap=tuple(addresses))
    return Defined(network=network, place=str(own), is_own=True)


def shipped_network(name: str) -> Defined | None:
    """Return the definition of that name that comes with arnode; None if there is none."""
    if name not in _shipped_names():
        return None
    file = _shipped() / f"{name}{_SUFFIX}"
    network = read_definition(file.read_bytes(), place=str(file), name=name)
    return Defined(network=network, place=str(file), is_own=False)


def all_networks(home: Home) -> list[Defined]:
    """Return all networks that are defined here, sorted by name."""
    return [find_network(home, name) for name in sorted(_own_names(home) | _shipped_names())]


def own_file(home: Home, name: str) -> Path:
    """Return the path of the user's definition of a network, which need not exist.

    Raises:
        UsageError: the name is invalid.
    """
    if not _is_name(name):
        raise UsageError(f"{name!r} is not a network name", _RULE)
    return home.networks / f"{name}{_SUFFIX}"


def create_network(home: Home, network: Network) -> Path:
    """Write a new definition into the home and return its file.

    Raises:
        UsageError: a network of that name exists.
    """
    path = _prepared_file(home, network.name)
    taken = shipped_network(network.name)
    if taken is not None:
        raise UsageError(
            f"network {network.name!r} comes with arnode: {taken.place}", "choose another name"
        )
    with explaining_faults(path):
        try:
            create_file(path, write_definition(network))
        except FileExistsError as fault:
            raise UsageError(
                f"there is a network of that name: {path}",
                "edit that file, move it away, or choose another name",
            ) from fault
    return path


def replace_network(home: Home, network: Network) -> Path:
    """Write a definition into the home, replacing an existing one, and return its file."""
    path = _prepared_file(home, network.name)
    with explaining_faults(path):
        write_file(path, write_definition(network))
    return path


def _read_own(path: Path) -> Network:
    with explaining_faults(path):
        if not path.is_file():
            raise ConfigurationError(f"{path} is not a file", "move it away")
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
        mode = stat.S_IMODE(path.stat().st_mode)
    network = read_definition(data, place=str(path), name=path.stem)
    if network.secret is not None and mode & _OTHERS:
        raise ConfigurationError(
            f"{path} contains a secret and can be read by other users (mode {mode:04o})",
            f"if no one has copied it: chmod 600 {path}",
        )
    return network


def _prepared_file(home: Home, name: str) -> Path:
    path = own_file(home, name)
    home.prepare()
    with explaining_faults(home.networks):
        home.networks.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    return path


def _own_names(home: Home) -> set[str]:
    with explaining_faults(home.networks):
        if not home.networks.is_dir():
            return set()
        files = sorted(home.networks.glob(f"*{_SUFFIX}"))
    for path in files:
        if not _is_name(path.stem):
            raise ConfigurationError(f"{path}: invalid network name", f"rename the file: {_RULE}")
    return {path.stem for path in files}


def _is_name(text: str) -> bool:
    return re.fullmatch(NAME_PATTERN, text) is not None and text != NO_NETWORK


def _shipped_names() -> set[str]:
    names = (file.name for file in _shipped().iterdir())
    return {name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)}


def _shipped() -> Traversable:
    package, folder = _SHIPPED
    return importlib.resources.files(package) / folder


def _is_there(path: Path) -> bool:
    with explaining_faults(path):
        return path.exists()
