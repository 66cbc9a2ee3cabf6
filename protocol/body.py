"""The interface that every kind of record implements, so that callers need not know all kinds.

To add a kind, write a class with these properties and list it in
`protocol.record_kinds.KnownBody`.
"""

from typing import Literal, TypeAlias

# The topics that carry the record (protocol/topics.py).
# "tasks": the network's task records. "news": every node that works on the task.
# "family": the task's results in one hardware family. "everybody": about no single task.
# A record that is sent to wherever other records refer to it has an empty tuple of places.
Place: TypeAlias = Literal["tasks", "news", "family", "everybody"]
# The category by which a record counts against its author's quota. All nodes read "news".
Sort: TypeAlias = Literal["news", "bulk", "intent", "unknown"]


class RecordBody:
    """A base of the classes of bodies, which override its defaults. `kind`: name on the wire."""

    __slots__ = ()

    @property
    def places(self) -> tuple[Place, ...]:
        """The groups of topics that carry this record."""
        return ("news",)

    @property
    def sort(self) -> Sort:
        """The quota category of this record."""
        return "news"

    @property
    def about(self) -> bytes | None:
        """The id of the record that this record refers to and is shown with."""
        return None

    @property
    def lives_s(self) -> int | None:
        """The number of seconds after its timestamp that the record is valid; None: no limit."""
        return None
