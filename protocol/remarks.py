"""The small kinds: a measured noise floor, an intent, an insight, a retraction.

    noise   {task, class, env, tree, runs [base run] 1…64}
    intent  {task, class, base, title 1…120, ttl_s 1…3600}
    insight {task, class|nil, text 1…600, evidence [record id] ≤ 16}
    retract {target record id|nil, revoke, reason ≤ 200}

An intent is advisory and forgotten after a day. A retraction takes back one own record, or with
`revoke` the author's key and all that it ever signed; of what others signed it means nothing.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from protocol.codecs import integer, line, text
from protocol.fields import ClassName, Digest, Items, Mapped, Named
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
    task: Digest
    hardware_class: ClassName
    env: Env
    tree: Digest
    runs: Annotated[tuple[Run, ...], Items(1, MAX_RUNS)]

    def _fault(self) -> str | None:
        if any(run.role != "base" for run in self.runs):
            return "runs: the runs of a noise measurement have the role base"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentBody(Mapped):
    """Somebody is about to try this, for `ttl_s` seconds from the record's time."""

    kind: ClassVar = "intent"
    task: Digest
    hardware_class: ClassName
    base: Digest
    title: Annotated[str, line(1, MAX_TITLE)]
    ttl_s: Annotated[int, integer(1, MAX_INTENT_S)]


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightBody(Mapped):
    """What a series of results taught; of one hardware class, or of all."""

    kind: ClassVar = "insight"
    task: Digest
    hardware_class: ClassName | None
    message: Annotated[str, text(MAX_INSIGHT), Named("text")]
    evidence: Annotated[tuple[Digest, ...], Items(0, MAX_EVIDENCE)]

    def _fault(self) -> str | None:
        return None if self.message else "text: empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetractBody(Mapped):
    """An author takes back an own record, or the own key (`revoke`, without a target)."""

    kind: ClassVar = "retract"
    target: Digest | None
    revoke: bool
    reason: Annotated[str, line(0, _MAX_REASON)]

    def _fault(self) -> str | None:
        if (self.target is None) != self.revoke:
            return "a retraction names a target or revokes the key, one of the two"
        return None
