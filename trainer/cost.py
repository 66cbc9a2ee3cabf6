"""What a run's stages cost in CPU seconds, and what they may cost at most.

Ceilings are multiples of what the task's baseline tree costs on this machine in this session,
never of what a candidate's parent costs: that would ratchet.
"""

import math
from dataclasses import dataclass

_TRAIN = 1.5
_SERVE = 2.0  # else a script trains on in serve role
# Up to the first answer: what is learned later contradicts that in the audit. A third of it is
# start and no model, so that a model of twice the cost stays well below.
_START = 1.5
_TRAIN_SLACK_S = 0.25  # a scheduler's rounding must not fail an honest run
_SERVE_SLACK_S = 0.05  # less: what a script may train on in serve role is worth bits
_START_SLACK_S = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """CPU seconds of one run's stages; `first_…` up to a serving script's first answer."""

    train_cpu_s: float
    first_claim_cpu_s: float
    claim_cpu_s: float
    first_audit_cpu_s: float
    audit_cpu_s: float

    def exceeds(self, other: "Cost", factor: float) -> bool:
        """Say whether any whole stage took more than `factor` times the other's."""
        return (
            self.train_cpu_s > factor * other.train_cpu_s
            or self.claim_cpu_s > factor * other.claim_cpu_s
            or self.audit_cpu_s > factor * other.audit_cpu_s
        )

    def at_least(self, other: "Cost") -> "Cost":
        """The larger of the two, stage by stage."""
        return Cost(
            train_cpu_s=max(self.train_cpu_s, other.train_cpu_s),
            first_claim_cpu_s=max(self.first_claim_cpu_s, other.first_claim_cpu_s),
            claim_cpu_s=max(self.claim_cpu_s, other.claim_cpu_s),
            first_audit_cpu_s=max(self.first_audit_cpu_s, other.first_audit_cpu_s),
            audit_cpu_s=max(self.audit_cpu_s, other.audit_cpu_s),
        )

    def ceiling(self, *, has_token_budget: bool) -> "Cost":
        """What a candidate may cost where the baseline costs this.

        With a budget of seconds the clock limits training.
        """
        training_s = _TRAIN * self.train_cpu_s + _TRAIN_SLACK_S
        return Cost(
            train_cpu_s=training_s if has_token_budget else math.inf,
            first_claim_cpu_s=_START * self.first_claim_cpu_s + _START_SLACK_S,
            claim_cpu_s=_SERVE * self.claim_cpu_s + _SERVE_SLACK_S,
            first_audit_cpu_s=_START * self.first_audit_cpu_s + _START_SLACK_S,
            audit_cpu_s=_SERVE * self.audit_cpu_s + _SERVE_SLACK_S,
        )


UNLIMITED = Cost(
    train_cpu_s=math.inf,
    first_claim_cpu_s=math.inf,
    claim_cpu_s=math.inf,
    first_audit_cpu_s=math.inf,
    audit_cpu_s=math.inf,
)
