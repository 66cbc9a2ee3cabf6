"""What the reading routes may be asked: their queries, of which everything else is refused."""

from typing import Annotated, Literal

import msgspec

from node.reporting.boards import Level

Sort = Literal["ts", "metric", "gain", "title", "decision"]
Order = Literal["asc", "desc"]
Name = Annotated[str, msgspec.Meta(max_length=64)]
Words = Annotated[str, msgspec.Meta(max_length=200)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class OfLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which line: of a task, by name or id, and of a class; else the one that is worked on."""

    task: Name | None = None
    hardware_class: Name | None = msgspec.field(name="class", default=None)


class OfTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which task, by name or id; where there is one, that."""

    task: Name | None = None


class OfExperiments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which experiments, in which order; `q` is in their titles."""

    task: Name | None = None
    hardware_class: Name | None = msgspec.field(name="class", default=None)
    q: Words = ""
    decision: Name | None = None
    stage: Name | None = None
    origin: Name | None = None
    sort: Sort = "ts"
    order: Order = "desc"
    offset: Offset = 0
    limit: Limit = 100


class OfNight(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From when, as `arnode report --since` takes it."""

    since: Name = "24h"


class OfHypotheses(OfLine, frozen=True):
    """Which hypotheses; `best` first those that gained most, `newest` as they were registered."""

    order: Literal["newest", "best"] = "newest"


class OfRecords(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which records, the newest first."""

    kind: Name | None = None
    author: Name | None = None
    offset: Offset = 0
    limit: Limit = 100


class OfBoard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which rows of a board."""

    network: Name | None = None
    level: Level = "claimed"
    offset: Offset = 0
    limit: Limit = 100
