"""The network to use if the user names none: the running node's, else that in the settings.

The settings name the network that was last joined, or last named by `arnode start --network`.
"""

from collections.abc import Collection
from dataclasses import dataclass

from node.home.config import Config
from node.home.config_file import change_settings
from node.home.control_socket import Message, call
from node.home.home import Home
from node.home.networks import find_network
from node.home.settings_in_force import load_config
from protocol.errors import NotRunningError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningMember:
    """The network state that the running node reports.

    `network`: the network that the node is connected to; None while it is offline. `in_use`: the
    network whose name the node's records carry; None if not reported. `addresses`: the addresses
    at which the node expects to be dialled.
    """

    network: str | None
    in_use: str | None = None
    addresses: tuple[str, ...] = ()


def running_member(home: Home) -> RunningMember | None:
    """Return the network state of the node that runs in this home; None if no node runs.

    Raises:
        ArnodeError: the node does not answer.
    """
    try:
        status = call(home.socket, "status")
    except NotRunningError:
        return None
    network: Message = status.get("network") if isinstance(status, dict) else None
    match network:
        case {"name": str() as name, "addresses": list() as values}:
            addresses = tuple(value for value in values if isinstance(value, str))
            return RunningMember(network=name, in_use=name, addresses=addresses)
        case {"in_use": str() as in_use}:
            return RunningMember(network=None, in_use=in_use)
    return RunningMember(network=None)


def current_network(config: Config, running: RunningMember | None) -> str:
    """Return the name of the network that this home uses now."""
    return running.in_use if running and running.in_use else config.net


def selected_network(
    home: Home, config: Config, named: str | None, *, also_known: Collection[str] = ()
) -> str:
    """Return the network that a flag names, else the one in use.

    `also_known`: names that are valid although they are not defined here.

    Raises:
        UsageError: no network of that name is known here.
        ConfigurationError: its definition is invalid.
    """
    if named is None:
        return current_network(config, running_member(home))
    return named if named in also_known else find_network(home, named).network.name


def remember_network(home: Home, name: str) -> None:
    """Store a network in the settings as the one in use.

    If the user declined to connect to another network, `arnode start` asks again.

    Raises:
        UsageError: no network of that name is defined here.
        ConfigurationError: its definition or the settings file is invalid.
    """
    find_network(home, name)
    home.prepare()
    kept = load_config(home.config, env={}).config
    if kept.net == name:
        return
    changes: dict[str, str | bool | None] = {"net": name}
    if kept.online is False:
        changes["online"] = None
    change_settings(home.config, changes)
