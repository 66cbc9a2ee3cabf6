"""The small kinds: a measured noise floor, an intent, an insight, a retraction.

    noise   {task, class, env, tree, runs [base run] 1…64}
    intent  {task, class, base, title 1…120, ttl_s 1…3600}
    insight {task, class|nil, text 1…600, evidence [record id] ≤ 16}
    retract {target record id|nil, revoke, reason ≤ 200}

An intent is advisory and forgotten after a day. A retraction takes back one own record, or with
`revoke` the author's key and all that it ever signed; of what others signed it means nothing.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from protocol.fields import (
    CLASS_PATTERN,
    Codec,
    Mapped,
    Table,
    boolean,
    digest,
    field,
    integer,
    line,
    listing,
    nullable,
    text,
    word,
)
from protocol.runs import MAX_RUNS, Env, Run

MAX_INTENT_S: Final = 3600
MAX_TITLE: Final = 120
MAX_INSIGHT: Final = 600
MAX_EVIDENCE: Final = 16
_MAX_REASON = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseBody(Mapped):
    """An A/A measurement: runs of one tree with different seeds."""

    kind: ClassVar = "noise"
    task: bytes
    hardware_class: str
    env: Env
    tree: bytes
    runs: tuple[Run, ...]

    TABLE: ClassVar = Table(
        field("task", digest()),
        field("class", word(CLASS_PATTERN), "hardware_class"),
        field("env", Codec(Env.from_value, Env.to_value)),
        field("tree", digest()),
        field("runs", listing(Codec(Run.from_value, Run.to_value), low=1, high=MAX_RUNS)),
    )

    def _fault(self) -> str | None:
        if any(run.role != "base" for run in self.runs):
            return "runs: the runs of a noise measurement have the role base"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentBody(Mapped):
    """Somebody is about to try this, for `ttl_s` seconds from the record's time."""

    kind: ClassVar = "intent"
    task: bytes
    hardware_class: str
    base: bytes
    title: str
    ttl_s: int

    TABLE: ClassVar = Table(
        field("task", digest()),
        field("class", word(CLASS_PATTERN), "hardware_class"),
        field("base", digest()),
        field("title", line(1, MAX_TITLE)),
        field("ttl_s", integer(1, MAX_INTENT_S)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightBody(Mapped):
    """What a series of results taught; of one hardware class, or of all."""

    kind: ClassVar = "insight"
    task: bytes
    hardware_class: str | None
    message: str
    evidence: tuple[bytes, ...]

    TABLE: ClassVar = Table(
        field("task", digest()),
        field("class", nullable(word(CLASS_PATTERN)), "hardware_class"),
        field("text", text(MAX_INSIGHT), "message"),
        field("evidence", listing(digest(), high=MAX_EVIDENCE)),
    )

    def _fault(self) -> str | None:
        return None if self.message else "text: empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetractBody(Mapped):
    """An author takes back an own record, or the own key (`revoke`, without a target)."""

    kind: ClassVar = "retract"
    target: bytes | None
    revoke: bool
    reason: str

    TABLE: ClassVar = Table(
        field("target", nullable(digest())),
        field("revoke", boolean()),
        field("reason", line(0, _MAX_REASON)),
    )

    def _fault(self) -> str | None:
        if (self.target is None) != self.revoke:
            return "a retraction names a target or revokes the key, one of the two"
        return None
