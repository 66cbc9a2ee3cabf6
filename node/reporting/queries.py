"""The query parameters of the API's documents. Unknown fields are rejected."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from node.store.tags import TAG_PATTERN
from node.terminal.durations import moment_before
from protocol.errors import UsageError

Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{4,64}$")]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
HardwareClass = Annotated[str, msgspec.Meta(pattern="^[a-z0-9_-]{1,48}$")]
Number = Annotated[int, msgspec.Meta(ge=1, lt=10**15)]
Level = Literal["claimed", "others", "here"]
Sort = Annotated[
    str,
    msgspec.Meta(
        pattern="^(ts|metric|gain|title|decision|stage|origin|memory|[A-Z][A-Z0-9_]{0,63})$"
    ),
]
Constant = Annotated[str, msgspec.Meta(pattern="^[A-Z][A-Z0-9_]{0,63}$")]
TagNames = Annotated[str, msgspec.Meta(pattern=f"^{TAG_PATTERN}(,{TAG_PATTERN}){{0,9}}$")]
Order = Literal["asc", "desc"]
Name = Annotated[str, msgspec.Meta(max_length=64)]
Words = Annotated[str, msgspec.Meta(max_length=200)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class OfLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line, by task (name or id) and hardware class; by default the current one."""

    task: Name | None = None
    hardware_class: Name | None = msgspec.field(name="class", default=None)


class OfHyperparameters(OfLine, frozen=True):
    """A line's experiments that changed a hyperparameter: any, or the one called `name`."""

    name: Constant | None = None


class OfTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A task, by name or id; by default all tasks or the only one."""

    task: Name | None = None


class OfExperiments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A filter and an order of experiments.

    `q` is searched in titles, or is the first digits of an id. `tag` is one tag, or several with
    commas, all of which an experiment must have. `since` is a time as in `arnode log
    --since`. `sort` is a column, or a hyperparameter in capitals, whose new values are compared.
    """

    task: Name | None = None
    hardware_class: Name | None = msgspec.field(name="class", default=None)
    q: Words = ""
    decision: Name | None = None
    stage: Name | None = None
    origin: Name | None = None
    tag: TagNames | None = None
    since: Name | None = None
    sort: Sort = "ts"
    order: Order = "desc"
    offset: Offset = 0
    limit: Limit = 100

    def __post_init__(self) -> None:
        if self.since is not None:
            _require_moment(self.since)


class OfNight(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The start of a report, in the format of `arnode report --since`."""

    since: Name = "24h"

    def __post_init__(self) -> None:
        _require_moment(self.since)


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


class OfProposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A proposal, by its number."""

    id: Number


def _require_moment(since: str) -> None:
    """Raise ValueError if `since` is not a time in the past."""
    try:
        moment_before(since, datetime.now().astimezone())
    except UsageError as fault:
        raise ValueError(f"{fault.message} ({fault.hint})") from fault
