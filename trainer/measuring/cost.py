"""What a run's stages cost, and what they may cost at most.

On a processor CPU seconds count, with a card those that passed (`Sandbox.metered_s`).

Ceilings are multiples of what the task's baseline tree costs on this machine in this session,
never of what a candidate's parent costs: that would ratchet.
"""

import math
from dataclasses import dataclass

OVERTIME = 2.0  # times a ceiling, which others cannot stretch a training to that is within it
_TRAIN = 1.5
_SERVE = 2.0  # else a script trains on in serve role
# Up to the first answer: what is learned later contradicts that in the audit. A third of it is
# start and no model, so that a model of twice the cost stays well below.
_START = 1.5
_TRAIN_SLACK_S = 0.25  # a scheduler's rounding must not fail an honest run
_SERVE_SLACK_S = 0.05  # less: what a script may train on in serve role is worth bits
# More: the start of a short task is a tenth of a second, what is over after a row is final, and in
# a crowd (caches, two threads on one core) an honest script's seconds stretch, by 1.6 where it was
# tried, when the baseline's, timed once, did not. So 1.3 times its cost fit in twice. No gift:
# with a budget of tokens the start of a claim counts as training, too, and an audit has to repeat
# in its own start what a claim did there.
_START_SLACK_S = 0.1
_CLOCK_SLACK_S = 0.5  # processes start and kernels load now faster, now slower


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Seconds of one run's stages; `first_…` up to a serving script's first answer."""

    train_s: float
    first_claim_s: float
    claim_s: float
    first_audit_s: float
    audit_s: float

    def at_least(self, other: "Cost") -> "Cost":
        """The larger of the two, stage by stage."""
        return Cost(
            train_s=max(self.train_s, other.train_s),
            first_claim_s=max(self.first_claim_s, other.first_claim_s),
            claim_s=max(self.claim_s, other.claim_s),
            first_audit_s=max(self.first_audit_s, other.first_audit_s),
            audit_s=max(self.audit_s, other.audit_s),
        )

    def ceiling(self, *, has_token_budget: bool, by_clock: bool = False) -> "Cost":
        """What a candidate may cost where the baseline costs this.

        With a budget of seconds the clock limits training; `by_clock` if no CPU seconds are counted
        but those that passed.
        """
        serve_slack_s = _CLOCK_SLACK_S if by_clock else _SERVE_SLACK_S
        start_slack_s = _CLOCK_SLACK_S if by_clock else _START_SLACK_S
        training_s = _TRAIN * self.train_s + _TRAIN_SLACK_S
        return Cost(
            train_s=training_s if has_token_budget else math.inf,
            first_claim_s=_START * self.first_claim_s + start_slack_s,
            claim_s=_SERVE * self.claim_s + serve_slack_s,
            first_audit_s=_START * self.first_audit_s + start_slack_s,
            audit_s=_SERVE * self.audit_s + serve_slack_s,
        )


UNLIMITED = Cost(
    train_s=math.inf,
    first_claim_s=math.inf,
    claim_s=math.inf,
    first_audit_s=math.inf,
    audit_s=math.inf,
)
