"""Which network is meant where none is named: the running node's, else that of the settings.

The settings remember the one that was joined or named at a start last.
"""

from collections.abc import Collection
from dataclasses import dataclass

from node.home.config import Config, load_config
from node.home.config_file import change_settings
from node.home.control_socket import Message, call
from node.home.home import Home
from node.home.networks import find_network
from protocol.errors import NotRunningError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningMember:
    """What the node that runs on a home says of its part in a network.

    `network`: None while it speaks to none. `in_use`: whose name its records carry, None if it does
    not say. `addresses`: where it says that it can be dialled.
    """

    network: str | None
    in_use: str | None = None
    addresses: tuple[str, ...] = ()


def running_member(home: Home) -> RunningMember | None:
    """Ask the node that runs on this home, if there is one.

    Raises:
        ArnodeError: it does not answer.
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


def network_in_force(config: Config, running: RunningMember | None) -> str:
    """Return the name of the network that this home works in now."""
    return running.in_use if running and running.in_use else config.net


def network_meant(
    home: Home, config: Config, named: str | None, *, also_known: Collection[str] = ()
) -> str:
    """Return the network that a flag names, else the one in force.

    `also_known`: names that are right although no definition here has them.

    Raises:
        UsageError: none of that name is known here.
        ConfigurationError: its definition has a fault.
    """
    if named is None:
        return network_in_force(config, running_member(home))
    return named if named in also_known else find_network(home, named).network.name


def remember_network(home: Home, name: str) -> None:
    """Make a network the one in use from now on, if it is not yet.

    A user who said no, which was to another network, is asked again.

    Raises:
        UsageError: none of that name is defined here.
        ConfigurationError: its definition or the settings file has a fault.
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
