"""The query parameters of the API's documents. Unknown fields are rejected."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from node.terminal.durations import moment_before
from protocol.errors import UsageError

Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{4,64}$")]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
HardwareClass = Annotated[str, msgspec.Meta(pattern="^[a-z0-9_-]{1,48}$")]
Number = Annotated[int, msgspec.Meta(ge=1, lt=10**15)]
Level = Literal["claimed", "others", "here"]
Sort = Literal["ts", "metric", "gain", "title", "decision"]
Order = Literal["asc", "desc"]
Name = Annotated[str, msgspec.Meta(max_length=64)]
Words = Annotated[str, msgspec.Meta(max_length=200)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class OfLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line, by task (name or id) and hardware class; by default the current one."""

    task: Name | None = None
    hardware_class: Name | None = msgspec.field(name="class", default=None)


class OfTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A task, by name or id; by default all tasks or the only one."""

    task: Name | None = None


class OfExperiments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A filter and an order of experiments; `q` is searched in titles."""

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
    """The start of a report, in the format of `arnode report --since`."""

    since: Name = "24h"

    def __post_init__(self) -> None:
        try:
            moment_before(self.since, datetime.now().astimezone())
        except UsageError as fault:
            raise ValueError(f"{fault.message} ({fault.hint})") from fault


class OfHypotheses(OfLine, frozen=True):
    """A line's hypotheses. `best` sorts by gain, `newest` by time, both in descending order."""

    order: Literal["newest", "best"] = "newest"


class OfRecords(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A filter of records, newest first."""

    kind: Name | None = None
    author: Name | None = None
    offset: Offset = 0
    limit: Limit = 100


class OfBoard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A leaderboard and a range of its rows."""

    task: Digest
    hardware_class: HardwareClass = msgspec.field(name="class")
    network: Name | None = None
    level: Level = "claimed"
    offset: Offset = 0
    limit: Limit = 100


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A query without fields."""


class OfId(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record, by the first digits of its id."""

    id: Id


class OfJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A job, by its number."""

    number: Number


class OfVisits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A range of visits of models and agents; `without=experiments`: those that led to none."""

    without: Literal["experiments"] | None = None
    offset: Offset = 0
    limit: Limit = 100


class OfTrace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A visit of a model or an agent, by its number."""

    number: Number


class OfTry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A submitted source, by its fingerprint."""

    mark: Digest
