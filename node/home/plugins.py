"""Finds plugins: what installed distributions offer under one of arnode's entry-point groups.

A plugin runs with all of the node's rights, so nothing is looked for but in what the user installed
beside arnode. A group is scanned when a command needs it, a plugin imported when it is used.
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
GROUPS: Final = {  # and what the entries of each name
    PROPOSERS: "ProposerPlugin",
    IMPORTERS: "Importer",
    EXPORTERS: "Exporter",
}
_OWN: Final = "arnode"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A plugin that is installed: what it is called, and in which distribution it came."""

    name: str
    distribution: str
    version: str
    entry: "EntryPoint"

    @property
    def is_own(self) -> bool:
        """Whether it came with arnode."""
        return self.distribution == _OWN

    def load(self, kind: type[T]) -> T:
        """Import it and return what it is.

        Raises ConfigurationError, which names it and its distribution, if it cannot be imported or
        is something else.
        """
        loaded = self.called(self.entry.load)
        if not isinstance(loaded, kind):
            raise self.fault(f"is no {kind.__name__}")
        return loaded

    def called(self, action: Callable[[], T]) -> T:
        """Return what its code makes. Raises ConfigurationError, whatever that raises."""
        try:
            return action()
        except (Exception, SystemExit) as fault:  # somebody else's code
            raise self.fault(f"cannot be loaded: {type(fault).__name__}: {fault}") from fault

    def fault(self, what: str) -> ConfigurationError:
        """Return the error that says what is wrong with it, and in which distribution it is."""
        return ConfigurationError(
            f"the plugin `{self.name}` of {self.distribution} {self.version} {what}",
            f"update it, or remove it: pip uninstall {self.distribution}",
        )


def plugins(group: str) -> dict[str, Found]:
    """Return the plugins of a group by name; of two of one name arnode's own goes first."""
    found: dict[str, Found] = {}
    for one in sorted(_scanned(group), key=lambda one: (not one.is_own, one.distribution)):
        found.setdefault(one.name, one)
    return dict(sorted(found.items()))


def plugin(group: str, name: str, what: str) -> Found:
    """Return the plugin of a name. Raises UsageError, which says which there are."""
    found = plugins(group)
    if name not in found:
        raise UsageError(f"there is no {what} `{name}`", f"there are: {', '.join(found)}")
    return found[name]


@cache
def _scanned(group: str) -> tuple[Found, ...]:
    return tuple(_found(group))


def _found(group: str) -> Iterator[Found]:
    from importlib.metadata import entry_points  # a fifth of what a command imports

    for entry in entry_points(group=group):
        if entry.dist is not None:
            dist = entry.dist
            yield Found(name=entry.name, distribution=dist.name, version=dist.version, entry=entry)
