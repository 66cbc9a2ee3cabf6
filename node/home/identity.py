"""Who this node is to others: its keys, its name and the version of arnode."""

from dataclasses import dataclass
from importlib import metadata

from node.home.config import Config
from node.home.keyfile import NodeKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The keys that sign here, the name and version they sign with, and the network."""

    keys: NodeKeys
    name: str
    version: str
    net: str


def identity_of(keys: NodeKeys, config: Config, *, role: str = "node") -> Identity:
    """Return who signs records here; a node without a name is named by its role and key."""
    return Identity(
        keys=keys,
        name=config.name or f"{role}-{keys.author.public.hex()[:12]}",
        version=version(),
        net=config.net,
    )


def version() -> str:
    """The version of arnode that is installed."""
    return metadata.version("arnode")
