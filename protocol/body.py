"""What each kind of record says of itself, so that whoever handles records need not know all kinds.

A new kind is a class with these, and its entry in `protocol.record_kinds.KnownBody`.
"""

from typing import Literal, TypeAlias

# Whose topics hear it (protocol/topics.py): every node's of the task, of the network's tasks, or of
# the task's results in one family of hardware; "everybody": no one task's. What belongs where other
# records name it has no place of its own.
Place: TypeAlias = Literal["tasks", "news", "family", "everybody"]
# What it counts as among its author's records: news is what boards and everybody's nodes read.
Sort: TypeAlias = Literal["news", "bulk", "intent", "unknown"]


class RecordBody:
    """A kind of record, whose `kind` is its word. What differs of these is overridden."""

    __slots__ = ()

    @property
    def places(self) -> tuple[Place, ...]:
        """Where it belongs."""
        return ("news",)

    @property
    def sort(self) -> Sort:
        """What it counts as."""
        return "news"

    @property
    def about(self) -> bytes | None:
        """The record that it is about, which is shown with it."""
        return None

    @property
    def lives_s(self) -> int | None:
        """For how long from its time it says anything; None: for ever."""
        return None
