"""Public names of torch and numpy that candidates may use: data, made by `tools/allow_list.py`.

What reads or writes files, loads code or starts anything is left out (`tools/allow_list.toml`), and
a test fails when the data are not those of the pinned versions. The diff of allow_list.json at an
upgrade is what candidates may use from then on: read it before you commit it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final


def listed(text: str) -> frozenset[str]:
    """Return the names in a text, between blanks and line ends."""
    return frozenset(text.split())


_DATA: Final[Mapping[str, Any]] = json.loads(
    Path(__file__).with_name("allow_list.json").read_text("utf-8")
)
# By dotted path the names of each module, without modules.
MODULES: Final[Mapping[str, frozenset[str]]] = {
    path: frozenset(names) for path, names in _DATA["modules"].items()
}
# Attributes of their classes: those of arithmetic, and all others but a few that are harmless.
KNOWN: Final = frozenset[str](_DATA["known"])
TAKEN: Final = frozenset[str](_DATA["taken"])
