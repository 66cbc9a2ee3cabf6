"""Taking up an invite: its addresses go into the home's definition, and the network into use.

Joining stores what was told and asks nobody's consent: `node.networks.consent` does, before the
node first speaks to a peer.
"""

from dataclasses import replace
from pathlib import Path

from node.home.home import Home
from node.networks.known import defined_network, own_file, replace_network
from node.settings.config import load_config
from node.settings.config_file import change_settings
from node.settings.network_definition import MAX_BOOTSTRAP, Network
from protocol.errors import ConfigurationError


def join_network(home: Home, invited: Network) -> Path:
    """Store a network that an invite tells of, make it the one in use, return its file.

    Known addresses stay, behind the new ones. A user who once said no is asked again.

    Raises:
        ConfigurationError: another network of this name is known here, or a file has a fault.
    """
    home.prepare()
    settings = load_config(home.config, env={})
    known = defined_network(home, invited.name)
    network = invited
    if known is not None:
        for what in ("secret", "authors", "tasks"):
            if getattr(known.network, what) != getattr(invited, what):
                raise ConfigurationError(
                    f"this invite is to another network {invited.name!r} than that of "
                    f"{known.place}: they differ in `{what}`",
                    "move that file away first, if the invite is right"
                    if known.is_own
                    else "ask for a network of another name: this one comes with arnode",
                )
        addresses = dict.fromkeys((*invited.bootstrap, *known.network.bootstrap))
        network = replace(invited, bootstrap=tuple(addresses)[:MAX_BOOTSTRAP])
    if known is not None and known.is_own and known.network == network:
        path = own_file(home, network.name)  # its comments stay
    else:
        path = replace_network(home, network)
    said_no = settings.config.online is False
    change_settings(home.config, {"net": network.name} | ({"online": None} if said_no else {}))
    return path
