"""The costs of a run's stages, and the ceilings on them.

Costs are CPU seconds on a processor and elapsed seconds on a card (`Sandbox.metered_s`).

Ceilings are multiples of the cost of the task's baseline on this machine in this session. They are
not multiples of the cost of a candidate's parent, because such ceilings would rise from patch to
patch. CPU seconds stretch if other programs share caches and cores, so the baseline is timed under
the same load as the candidate. No sandbox can influence how that load is measured.
"""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import reduce

from trainer.measuring.host_load import NOTICEABLE

OVERTIME = 2.0  # times a ceiling; others cannot stretch an honest training to this
_TRAIN = 1.5
_SERVE = 2.0  # limits how long a script could keep training in serve role
# For the time up to the first answer: what a script learns later contradicts that in the audit. A
# third of that time is start-up without the model, so a model of twice the cost stays well below.
_START = 1.5
_TRAIN_SLACK_S = 0.25  # rounding by the scheduler must not fail an honest run
_SERVE_SLACK_S = 0.05  # smaller: training on in serve role would improve the metric
# Larger: the start of a short task is a tenth of a second, and a timeout after a row is final. On a
# busy machine (shared caches, two threads on one core) an honest script's seconds stretch: by 1.6
# in a test, while the baseline was timed once and without that. With this slack, 1.3 times its cost
# fits in even when stretched by 2. A script gains nothing: with a budget of tokens the start of a
# claim counts as training too, and an audit must repeat in its own start what the claim did there.
_START_SLACK_S = 0.1
# Six programs on two cores stretched an honest audit's start by 2.5 and more, and a timeout there
# ends a run for good. A script gains nothing: if it trains only there, its own claims contradict
# it.
_AUDIT_START_SLACK_S = 0.2
_CLOCK_SLACK_S = 0.5  # the time to start processes and load kernels varies

# Bands of load above band 0, which is a machine that others leave alone. Common loads lie in the
# middle of a band: one busy program on two or on four processors always falls into the same one.
_BANDS = 4
_TRIES = 3
# Load varies within a band too: a single timing in a lull would fail every run near the ceiling for
# the rest of a session.
_TIMINGS = 3  # latest timings of training kept per band; the longest counts
_TOO_LONG = 3  # trainings beyond the ceiling, before training is timed again


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCosts:
    """Seconds of one run's stages; `first_…` is the part up to a serving script's first answer."""

    train_s: float = 0.0
    first_score_s: float = 0.0
    score_s: float = 0.0
    first_audit_s: float = 0.0
    audit_s: float = 0.0

    def at_least(self, other: "StageCosts") -> "StageCosts":
        """Return the larger of the two, stage by stage."""
        mine = asdict(self)
        return StageCosts(
            **{stage: max(mine[stage], other_s) for stage, other_s in asdict(other).items()}
        )

    def ceiling(self, *, has_token_budget: bool, by_clock: bool = False) -> "StageCosts":
        """Return the ceilings for a candidate, if the baseline has these costs.

        With a budget of seconds the clock limits training. `by_clock` is True if elapsed seconds
        count instead of CPU seconds.
        """
        serve_slack_s = _CLOCK_SLACK_S if by_clock else _SERVE_SLACK_S
        start_slack_s = _CLOCK_SLACK_S if by_clock else _START_SLACK_S
        audit_slack_s = _CLOCK_SLACK_S if by_clock else _AUDIT_START_SLACK_S
        training_s = _TRAIN * self.train_s + _TRAIN_SLACK_S
        return StageCosts(
            train_s=training_s if has_token_budget else math.inf,
            first_score_s=_START * self.first_score_s + start_slack_s,
            score_s=_SERVE * self.score_s + serve_slack_s,
            first_audit_s=_START * self.first_audit_s + audit_slack_s,
            audit_s=_SERVE * self.audit_s + serve_slack_s,
        )


UNLIMITED = StageCosts(**{stage.name: math.inf for stage in fields(StageCosts)})


class Pace:
    """The baseline's costs, measured at several loads of the machine.

    A load is the fraction of all processors' time that others use. `cost` has the costs of all
    stages, measured at the load `share`. Later measurements are of single stages.
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
        """Return True if training was timed at this load and rarely took too long since."""
        return _band(share) in self._train_s and self._too_long[_band(share)] < _TOO_LONG

    def knows_serving(self, share: float) -> bool:
        """Return True if scoring was timed at this load, or if timing was attempted often enough.

        An attempt fails if the load has changed by the time scoring is timed.
        """
        return _band(share) in self._serving or self._tries[_band(share)] >= _TRIES

    def learn_training(self, share: float, train_s: float, *, wanted: float | None = None) -> None:
        """Store the cost of training at a load.

        `wanted` is the load for which the timing was made; the load may have changed since then.
        For `wanted`, the count of trainings that took too long begins again at 0.
        """
        self._train_s[_band(share)].append(train_s)
        self._too_long[_band(share if wanted is None else wanted)] = 0

    def took_too_long(self, share: float) -> None:
        """Count a training that exceeded the ceiling for this load."""
        self._too_long[_band(share)] += 1

    def learn_serving(self, share: float, cost: StageCosts, *, wanted: float | None = None) -> None:
        """Store the cost of scoring at a load; `wanted` is the load for which it was timed.

        The load of other lanes changes from one measurement to the next. So if `wanted` is at most
        the measured load, and has no cost yet, the cost is stored for `wanted` too.
        """
        self._serving[_band(share)] = cost
        if wanted is None:
            return
        self._tries[_band(wanted)] += 1
        if wanted <= share:
            self._serving.setdefault(_band(wanted), cost)

    def at(self, share: float) -> StageCosts:
        """Return the highest costs measured at this load or below.

        If every measurement was at a higher load, use the one at the lowest load.
        """
        trained = [max(self._train_s[band]) for band in _up_to(self._train_s, share)]
        served = [self._serving[band] for band in _up_to(self._serving, share)]
        return replace(reduce(StageCosts.at_least, served), train_s=max(trained))

    def ceiling(self, share: float) -> StageCosts:
        """Return the ceilings for a candidate at this load."""
        return self.at(share).ceiling(**self._ways)


def _band(share: float) -> int:
    return 0 if share <= NOTICEABLE else min(_BANDS, max(1, round(share * _BANDS)))


def _up_to(known: Iterable[int], share: float) -> list[int]:
    bands = sorted(known)
    return [band for band in bands if band <= _band(share)] or bands[:1]
