"""The share of time in which a device trained with the budget's clock running."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from trainer.measuring.timeline import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The counted share of a stretch of runs; `gaps_ms` are between counted stages.

    The stretch goes from the start of the first counted stage to the start of the last one. So each
    run includes the time until the next may train.
    """

    share: float
    gaps_ms: tuple[int, ...]


def counted(stages: Iterable[Stage]) -> Counted | None:
    """Return the counted share of some runs on one device; None for fewer than two runs."""
    trained = sorted((one.start_ms, one.end_ms) for one in stages if one.counts)
    if len(trained) < 2 or trained[-1][0] == trained[0][0]:
        return None
    busy_ms = sum(min(end, after) - start for (start, end), (after, _) in pairwise(trained))
    gaps_ms = (max(0, after - end) for (_, end), (after, _) in pairwise(trained))
    return Counted(share=busy_ms / (trained[-1][0] - trained[0][0]), gaps_ms=tuple(gaps_ms))
