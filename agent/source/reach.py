"""How far dotted paths reach: modules of the allow-list, the harness's, the source's own."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from agent.source import allowed
from agent.source.names import Names

What: TypeAlias = Literal[
    "import", "builtin", "harness", "module", "attribute", "reflection", "uninspectable"
]

DUNDER: Final = re.compile(r"__[A-Za-z0-9_]+?__")


@dataclass(frozen=True, slots=True)
class Own:
    """What the source itself brings: its modules by name, the attributes that it defines.

    `reached` are all names by which one file can ask another for something.
    """

    modules: Mapping[str, Sequence[Names]]
    attributes: frozenset[str]
    reached: frozenset[str]

    def path_mark(self, path: str) -> What | None:
        """Return how a dotted path from an imported module is marked as far as modules go."""
        parts = path.split(".")
        root = parts[0]
        if root in self.modules and root not in allowed.MODULES:
            name = parts[1] if len(parts) > 1 else ""
            if DUNDER.search(name):
                return "reflection"
            return "module" if any(one.is_path_bound(name) for one in self.modules[root]) else None
        if root in allowed.OWN_PACKAGES:
            return "harness"
        at = root
        for name in [*parts[1:], ""]:
            if at not in allowed.MODULES:
                return "module"
            if not name:
                return None
            if name not in allowed.MODULES[at]:
                is_switch = any(f"{one}.".startswith(f"{at}.{name}.") for one in allowed.SWITCHES)
                is_harness = root in allowed.HARNESS
                return None if is_switch else "harness" if is_harness else "module"
            if f"{at}.{name}" not in allowed.MODULES:
                return None  # a value: what is asked of it is not a path's affair
            at = f"{at}.{name}"
        return None

    def is_module(self, path: str) -> bool:
        """Say whether a path is a module, an allowed one or the source's own."""
        return path in allowed.MODULES or path in self.modules
