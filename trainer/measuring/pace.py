"""What the task's baseline costs here, by how busy others keep the machine.

CPU seconds stretch where neighbours share caches and cores. So a ceiling comes from a baseline that
was timed on the machine as loaded as it is; how loaded that is nobody in a sandbox decides.
"""

import math
from collections.abc import Iterable
from dataclasses import replace

from trainer.measuring.cost import Cost
from trainer.measuring.host_load import NOTICEABLE

_BANDS = 4  # shares of a machine that are told apart, beside one that others leave alone


class Pace:
    """Costs by load, of which the share of all processors' time that others use is the measure.

    `cost` is a whole calibration, taken at `share`; what is learned later is by stage.
    """

    def __init__(self, cost: Cost, share: float, *, has_token_budget: bool, by_clock: bool) -> None:
        self._ways = {"has_token_budget": has_token_budget, "by_clock": by_clock}
        self._train_s = {_band(share): cost.train_s}
        self._serving = {_band(share): cost}

    def knows_training(self, share: float) -> bool:
        """Whether training was timed on a machine as loaded."""
        return _band(share) in self._train_s

    def knows_serving(self, share: float) -> bool:
        """Whether scoring was timed on a machine as loaded."""
        return _band(share) in self._serving

    def learn_training(self, share: float, train_s: float) -> None:
        """Note what training costs at this share."""
        self._train_s[_band(share)] = train_s

    def learn_serving(self, share: float, cost: Cost) -> None:
        """Note what scoring costs at this share."""
        self._serving[_band(share)] = cost

    def at(self, share: float) -> Cost:
        """Return the most that was measured on machines no more loaded than this.

        A machine that is less loaded than any so far is taken for the least loaded of them.
        """
        trained = [self._train_s[band] for band in _up_to(self._train_s, share)]
        served = [self._serving[band] for band in _up_to(self._serving, share)]
        most = served[0]
        for cost in served[1:]:
            most = most.at_least(cost)
        return replace(most, train_s=max(trained))

    def ceiling(self, share: float) -> Cost:
        """Return what a candidate may cost on a machine that loaded."""
        return self.at(share).ceiling(**self._ways)


def _band(share: float) -> int:
    return 0 if share <= NOTICEABLE else min(_BANDS, math.ceil(share * _BANDS))


def _up_to(known: Iterable[int], share: float) -> list[int]:
    bands = sorted(known)
    return [band for band in bands if band <= _band(share)] or bands[:1]
