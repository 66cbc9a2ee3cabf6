"""The user's consent to connect to a network. Nothing is sent before the user agrees.

If there is a peer to connect to, the node asks the user once, at a terminal. The answer is stored
as the setting `online`. Without a terminal, the node connects only if a flag or that setting says
so. The user's own text never leaves the machine, and a program task of the user's own is shared
only in private networks.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from node.home.addresses import parse_direct
from node.home.config import Config
from node.home.config_file import change_settings
from node.home.current_network import remember_network
from node.home.home import Home
from node.home.network_definition import NO_NETWORK, Network
from node.home.networks import find_network
from protocol.errors import ConfigurationError, Rejected
from trainer.sandbox.tier import Tier
from trainer.task_folder.task import Task
from trainer.task_kinds import builtin_ids

_KEY_DIGITS: Final = 12
_IN_DHT = (
    "Peers are found through libp2p's public DHT, which shows a public address of this machine "
    "for a day or two (`dht = false` prevents it)."
)
_BY_LISTS = "Peers' addresses are read from {}, which sees this machine's IP address."
_HOW = "`arnode start` in a terminal asks you, `--yes` agrees"
_NO_LIBRARY = "libp2p is not installed"
_INSTALL = "`pip install 'arnode[network]'` installs it; this needs a C compiler and GMP's headers"


class TaskOf(Enum):
    """The permitted sharing of a task: with everybody, in private networks only, or not at all."""

    EVERYBODY = "comes with arnode, or was announced by others"
    ITS_USER = "a folder of the user's that holds all that others need to run it"
    THIS_MACHINE = "data that only this machine has"

    @classmethod
    def of(cls, task: Task, *, data_dir: Path) -> "TaskOf":
        """Return how a task may be shared. The task's name does not matter."""
        if task.id in builtin_ids(data_dir).values() or task.program_path is None:
            return cls.EVERYBODY
        is_judged = task.manifest.program is not None and task.manifest.is_ranked
        is_whole = is_judged and not task.is_private
        return cls.ITS_USER if is_whole else cls.THIS_MACHINE


@dataclass(frozen=True, slots=True)
class Offline:
    """The decision to use no network this time; `reason` is a message for the log."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The network options of the command: `--network` (a name or "none"), `--join`, `--yes`."""

    network: str | None = None
    has_invite: bool = False
    agrees: bool = False

    @property
    def settings(self) -> dict[str, str | None]:
        """The settings that these options imply: the network's name."""
        return {"net": None if self.network == NO_NETWORK else self.network}


def network_terms(author: bytes, tier: Tier, config: Config) -> list[str]:
    """Return the four lines of terms that a user agrees to.

    They name the key, whose code runs in which sandbox, the share of runs, and the visible IP
    address.
    """
    key = author.hex()[:_KEY_DIGITS]
    is_isolated = tier.name == "full" or (tier.name == "container" and config.peers_in_container)
    code = "Peers' code does not run here; their results are only shown."
    share = "No run is spent on peers' claims."
    if config.peer_code != "none" and is_isolated:
        whose = "Friends'" if config.peer_code == "friends" else "Peers'"
        code = (
            f"{whose} code runs here, in sandbox tier {tier.name} "
            '(`peer_code = "none"` prevents it).'
        )
        share = (
            f"At most {config.peer_share:.0%} of the runs go to peers' patches and claims, apart "
            "from trials of a peer's best source (`peer_share`)."
        )
    return [
        f"This node's results are published under its key {key}…, permanently.",
        code,
        share,
        "Peers see this machine's IP address.",
    ]


def plan_network(
    home: Home,
    config: Config,
    wishes: Wishes,
    *,
    terms: list[str],
    task: TaskOf,
    has_met: bool,
    ask: Callable[[list[str], str], bool] | None,
) -> Network | Offline:
    """Return the network to connect to, or the reason there is none.

    The network includes addresses from flags and settings. `config` already contains
    `wishes.settings` and an invite's network. `has_met`: the home knows peers of its network. `ask`
    prints lines, asks a question and returns the answer; it is None without a terminal. The answer
    is stored. The network that the command line names is stored too, because the node's records
    carry its name even if the node is offline.

    Raises:
        UsageError: the network is not defined here.
        ConfigurationError: its definition or the settings file is invalid, or the user names a
            network and libp2p is not installed.
    """
    if wishes.network == NO_NETWORK:
        return Offline("the network is off: `--network none`")
    if wishes.network is not None:
        remember_network(home, wishes.network)
    if task is TaskOf.THIS_MACHINE:
        return Offline("the network is off: this task is your own and stays on this machine")
    is_wanted = wishes.has_invite or wishes.network is not None
    if config.online is False and not is_wanted:
        return Offline("the network is off: `online = false`")
    if is_wanted:
        require_library()
    elif not _has_library():
        return Offline(f"the network is off: {_NO_LIBRARY}; {_INSTALL}")
    defined = find_network(home, config.net)
    if task is TaskOf.ITS_USER and defined.network.secret is None:
        return Offline(
            "the network is off: this task is your own, and is shared only in private networks "
            "(`arnode network init NAME --private`)"
        )
    network = with_settings(defined.network, config)
    if config.online or wishes.agrees:
        return network
    # In the user's own network, or a network named explicitly, this node may be the first.
    has_anybody = bool(network.bootstrap or network.dht or network.lists or has_met)
    if not (is_wanted or defined.is_own or has_anybody):
        return Offline(
            f"the network is off: no peer in {network.name} is known. `arnode network join LINE` "
            f"joins a network by an invite, {joining_words(network.name)} without one"
        )
    if ask is None:
        return network if wishes.has_invite else Offline(f"the network is off: {_HOW}")
    if network.dht:
        terms = [*terms, _IN_DHT]
    if network.lists:
        terms = [*terms, _BY_LISTS.format(" and ".join(network.lists))]
    is_agreed = ask(terms, f"Join the network `{config.net}`?")
    home.prepare()
    changes: dict[str, str | bool] = {"online": is_agreed}
    if is_agreed:  # consent to a friend's network is no consent to the public one
        changes["net"] = config.net
    change_settings(home.config, changes)
    return network if is_agreed else Offline("the network is off: you declined")


def joining_words(network: str) -> str:
    """Return the command that connects a node to a network, whatever its settings are."""
    return f"`arnode start --network {network} --yes` joins {network}"


def require_library() -> None:
    """Raise ConfigurationError if libp2p is not installed."""
    if not _has_library():
        raise ConfigurationError(_NO_LIBRARY, _INSTALL)


def _has_library() -> bool:
    return find_spec("libp2p") is not None


def with_settings(network: Network, config: Config) -> Network:
    """Return a network with the settings applied.

    Addresses in the settings come before the network's own. The network's DHT
    servers are removed if the setting `dht` is false.
    """
    parsed = (parse_direct(text) for text in config.bootstrap)
    valid = [address for address in parsed if not isinstance(address, Rejected)]
    if not config.dht:
        network = replace(network, dht=())
    return replace(network, bootstrap=tuple(dict.fromkeys((*valid, *network.bootstrap))))
