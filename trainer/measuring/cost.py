"""What a run's stages cost, and what they may cost at most.

On a processor CPU seconds count, with a card those that passed (`Sandbox.metered_s`).

Ceilings are multiples of what the task's baseline tree costs on this machine in this session,
never of what a candidate's parent costs: that would ratchet. CPU seconds stretch where neighbours
share caches and cores, so the baseline is timed on the machine as loaded as it is; how loaded that
is nobody in a sandbox decides.
"""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import reduce

from trainer.measuring.host_load import NOTICEABLE

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
# Six programs on two cores stretched an honest audit's start by 2.5 and more, which ends a run for
# good. There is nothing to win: who trains on there alone is contradicted by its own claims.
_AUDIT_START_SLACK_S = 0.2
_CLOCK_SLACK_S = 0.5  # processes start and kernels load now faster, now slower

# Shares of a machine that are told apart, beside one that others leave alone. Each stands in the
# middle of its band: one busy program of two or four processors is the same share all the time.
_BANDS = 4
_TRIES = 3
# Others use a machine now more and now less, within a band, too: one timing in a lull would fail
# whatever comes near its ceiling for the rest of a session.
_TIMINGS = 3  # of training, the latest in a band: the longest counts
_TOO_LONG = 3  # trainings that a timing may fail before there is another


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCosts:
    """Seconds of one run's stages; `first_…` up to a serving script's first answer."""

    train_s: float = 0.0
    first_claim_s: float = 0.0
    claim_s: float = 0.0
    first_audit_s: float = 0.0
    audit_s: float = 0.0

    def at_least(self, other: "StageCosts") -> "StageCosts":
        """The larger of the two, stage by stage."""
        mine = asdict(self)
        return StageCosts(
            **{stage: max(mine[stage], other_s) for stage, other_s in asdict(other).items()}
        )

    def ceiling(self, *, has_token_budget: bool, by_clock: bool = False) -> "StageCosts":
        """What a candidate may cost where the baseline costs this.

        With a budget of seconds the clock limits training; `by_clock` if no CPU seconds are counted
        but those that passed.
        """
        serve_slack_s = _CLOCK_SLACK_S if by_clock else _SERVE_SLACK_S
        start_slack_s = _CLOCK_SLACK_S if by_clock else _START_SLACK_S
        audit_slack_s = _CLOCK_SLACK_S if by_clock else _AUDIT_START_SLACK_S
        training_s = _TRAIN * self.train_s + _TRAIN_SLACK_S
        return StageCosts(
            train_s=training_s if has_token_budget else math.inf,
            first_claim_s=_START * self.first_claim_s + start_slack_s,
            claim_s=_SERVE * self.claim_s + serve_slack_s,
            first_audit_s=_START * self.first_audit_s + audit_slack_s,
            audit_s=_SERVE * self.audit_s + serve_slack_s,
        )


UNLIMITED = StageCosts(**{stage.name: math.inf for stage in fields(StageCosts)})


class Pace:
    """Costs by load, of which the share of all processors' time that others use is the measure.

    `cost` is a whole calibration, taken at `share`; what is learned later is by stage.
    """

    def __init__(
        self, cost: StageCosts, share: float, *, has_token_budget: bool, by_clock: bool
    ) -> None:
        self._ways = {"has_token_budget": has_token_budget, "by_clock": by_clock}
        self._train_s: dict[int, deque[float]] = defaultdict(lambda: deque(maxlen=_TIMINGS))
        self._train_s[_band(share)].append(cost.train_s)
        self._too_long: Counter[int] = Counter()  # since training was timed, by band
        self._serving = {_band(share): cost}
        self._tries: Counter[int] = Counter()  # to time scoring, by the band it was wanted for

    def knows_training(self, share: float) -> bool:
        """Whether training was timed on a machine as loaded, and not too often failed by that."""
        return _band(share) in self._train_s and self._too_long[_band(share)] < _TOO_LONG

    def knows_serving(self, share: float) -> bool:
        """Whether scoring was timed on a machine as loaded, or tried to often enough.

        Others may be gone whenever it is timed: then what they cost is not to be had.
        """
        return _band(share) in self._serving or self._tries[_band(share)] >= _TRIES

    def learn_training(self, share: float, train_s: float, *, wanted: float | None = None) -> None:
        """Take in what training cost at a share, timed for the sake of the one that was `wanted`.

        Others may be gone by then: that was a try, too.
        """
        self._train_s[_band(share)].append(train_s)
        self._too_long[_band(share if wanted is None else wanted)] = 0

    def took_too_long(self, share: float) -> None:
        """Take note of a training beyond the ceiling of a machine as loaded."""
        self._too_long[_band(share)] += 1

    def learn_serving(self, share: float, cost: StageCosts, *, wanted: float | None = None) -> None:
        """Take in what scoring cost at a share.

        It is as much as known of the share that it was `wanted` for, if that is no larger: how busy
        other lanes are is another share at every look.
        """
        self._serving[_band(share)] = cost
        if wanted is None:
            return
        self._tries[_band(wanted)] += 1
        if wanted <= share:
            self._serving.setdefault(_band(wanted), cost)

    def at(self, share: float) -> StageCosts:
        """Return the most that was measured on machines no more loaded than this.

        A machine that is less loaded than any so far is taken for the least loaded of them.
        """
        trained = [max(self._train_s[band]) for band in _up_to(self._train_s, share)]
        served = [self._serving[band] for band in _up_to(self._serving, share)]
        return replace(reduce(StageCosts.at_least, served), train_s=max(trained))

    def ceiling(self, share: float) -> StageCosts:
        """Return what a candidate may cost on a machine that loaded."""
        return self.at(share).ceiling(**self._ways)


def _band(share: float) -> int:
    return 0 if share <= NOTICEABLE else min(_BANDS, max(1, round(share * _BANDS)))


def _up_to(known: Iterable[int], share: float) -> list[int]:
    bands = sorted(known)
    return [band for band in bands if band <= _band(share)] or bands[:1]
