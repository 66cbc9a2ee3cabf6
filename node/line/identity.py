"""Who this node is to others: its keys, its name, and the profile that tells both."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

from node.home.config import Config
from node.home.keyfile import NodeKeys
from node.store.store import Store
from protocol.keys import bind
from protocol.record_kinds import ProfileBody


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


def announce_profile(
    store: Store, identity: Identity, *, classes: Sequence[str], now_ms: int
) -> None:
    """Record the profile if it changed. Callers hold the transaction."""
    author, transport = identity.keys.author, identity.keys.transport
    profile = ProfileBody(
        name=identity.name,
        version=identity.version,
        transport=transport.public,
        binding=bind(transport, author.public),
        classes=tuple(classes),
        formerly=identity.keys.formerly,
    )
    latest = store.records.listed("profile", author.public, newest_first=True, limit=1)
    if not latest or latest[0].body != profile:
        store.append_own(author, profile, ts_ms=now_ms, net=identity.net)
