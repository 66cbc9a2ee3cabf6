"""How much of the time of some runs the device trained with the clock of the budget running."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from trainer.measuring.timeline import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How much of a stretch of runs counted; `gaps_ms` lie between one counted stage and the next.

    The stretch goes from where the first counted stage begins to where the last one begins: each
    run with all that it takes until the next may train.
    """

    share: float
    gaps_ms: tuple[int, ...]


def counted(stages: Iterable[Stage]) -> Counted | None:
    """Return how much of some runs on one device counted; None of fewer than two runs."""
    trained = sorted((one.start_ms, one.end_ms) for one in stages if one.counts)
    if len(trained) < 2 or trained[-1][0] == trained[0][0]:
        return None
    busy_ms = sum(min(end, after) - start for (start, end), (after, _) in pairwise(trained))
    gaps_ms = (max(0, after - end) for (_, end), (after, _) in pairwise(trained))
    return Counted(share=busy_ms / (trained[-1][0] - trained[0][0]), gaps_ms=tuple(gaps_ms))
