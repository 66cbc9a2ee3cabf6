"""The constants that this node's patches changed, by which experiments are shown and sorted.

They are read from the diff inside a patch record, so the table can be derived again at any time. A
diff that is too long for its record is not read.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from agent.source.constants import changed_constants, number_in
from node.store.database import Database
from protocol.errors import Rejected
from protocol.patches import unpack_diff
from protocol.record_kinds import PatchBody

Changes: TypeAlias = Mapping[str, tuple[str, str]]

_MOST: Final = 100  # of one patch
_AT_ONCE: Final = 1_000  # values in one statement


class ChangedConstants:
    """The table of changed constants: the old and new value of each, by patch."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def derive(self, patch_id: bytes, patch: PatchBody) -> None:
        """Add the constants that a patch changes."""
        text = unpack_diff(patch.diff.zlib) if patch.diff.zlib else ""
        if isinstance(text, Rejected):
            return
        changes = changed_constants(text.encode("utf-8", "replace").decode())
        for name, (old, new) in [*changes.items()][:_MOST]:
            self._database.rows(
                "INSERT OR IGNORE INTO changed_constant VALUES (?,?,?,?,?)",
                (patch_id, name, old, new, number_in(new)),
            )

    def of(self, patches: Sequence[bytes]) -> dict[bytes, dict[str, tuple[str, str]]]:
        """Return the changes of each patch, by name; patches without any are left out."""
        found: dict[bytes, dict[str, tuple[str, str]]] = {}
        sought = [*dict.fromkeys(patches)]
        for first in range(0, len(sought), _AT_ONCE):
            some = sought[first : first + _AT_ONCE]
            places = ",".join("?" * len(some))
            for patch, name, old, new in self._database.rows(
                f"SELECT patch, name, old, new FROM changed_constant WHERE patch IN ({places})"  # noqa: S608 (constants)
                " ORDER BY patch, name",
                some,
            ):
                found.setdefault(patch, {})[name] = old, new
        return found

    def forget_all(self) -> None:
        """Empty the table. The caller derives it again."""
        self._database.rows("DELETE FROM changed_constant")
