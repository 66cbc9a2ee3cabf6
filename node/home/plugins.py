"""Discovery of plugins: entry points of installed distributions in one of arnode's groups.

A plugin runs with all of the node's rights, so only packages that the user installed next to arnode
are searched. A group is scanned when a command needs it, and a plugin is imported when it is used.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

from protocol.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

IMPORTERS: Final = "arnode.importers"
EXPORTERS: Final = "arnode.exporters"
PROPOSERS: Final = "arnode.proposers"
GROUPS: Final = {  # with the class of their entries
    PROPOSERS: "ProposerPlugin",
    IMPORTERS: "Importer",
    EXPORTERS: "Exporter",
}
_OWN: Final = "arnode"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An installed plugin: its name and its distribution."""

    name: str
    distribution: str
    version: str
    entry: "EntryPoint"

    @property
    def is_own(self) -> bool:
        """True if it comes with arnode."""
        return self.distribution == _OWN

    def load(self, kind: type[T]) -> T:
        """Import the plugin and return its object.

        Raises ConfigurationError, which names the plugin and its distribution, if the plugin cannot
        be imported or is not a `kind`.
        """
        loaded = self.called(self.entry.load)
        if not isinstance(loaded, kind):
            raise self.fault(f"is no {kind.__name__}")
        return loaded

    def called(self, action: Callable[[], T]) -> T:
        """Call the plugin's code and return the result. Raises ConfigurationError if it fails."""
        try:
            return action()
        except (Exception, SystemExit) as fault:  # third-party code may raise anything
            raise self.fault(f"cannot be loaded: {type(fault).__name__}: {fault}") from fault

    def fault(self, what: str) -> ConfigurationError:
        """Return an error that names the plugin and its distribution, and says what is wrong."""
        return ConfigurationError(
            f"the plugin `{self.name}` of {self.distribution} {self.version} {what}",
            f"update it, or remove it: pip uninstall {self.distribution}",
        )


def plugins(group: str) -> dict[str, Found]:
    """Return a group's plugins by name. If two share a name, arnode's own takes precedence."""
    found: dict[str, Found] = {}
    for one in sorted(_scanned(group), key=lambda one: (not one.is_own, one.distribution)):
        found.setdefault(one.name, one)
    return dict(sorted(found.items()))


def plugin(group: str, name: str, what: str) -> Found:
    """Return a plugin by name. Raises UsageError, which lists the known plugins."""
    found = plugins(group)
    if name not in found:
        raise UsageError(f"there is no {what} `{name}`", f"there are: {', '.join(found)}")
    return found[name]


@cache
def _scanned(group: str) -> tuple[Found, ...]:
    return tuple(_found(group))


def _found(group: str) -> Iterator[Found]:
    from importlib.metadata import entry_points  # a fifth of a command's import time

    for entry in entry_points(group=group):
        if entry.dist is not None:
            dist = entry.dist
            yield Found(name=entry.name, distribution=dist.name, version=dist.version, entry=entry)
