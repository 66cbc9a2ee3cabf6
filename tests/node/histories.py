"""The forms of histories that importers read."""

from node.exchange.importers import Importer
from node.home.plugins import IMPORTERS, plugins


def histories() -> list[str]:
    """Return what those are called that come with arnode."""
    own = (one for one in plugins(IMPORTERS).values() if one.is_own)
    return [one.name for one in own if one.load(Importer).history]
