"""How much of a node's time the rungs below have, by what a device hour brought on a task.

Both sides are counted in the same coin, gains that were kept on the task itself: of what was
carried to it, for the hours of the rungs below and of the trials that carrying took; and of its own
ideas. What is kept by few runs is no verified gain, and decides nothing here but where time goes.
By simulation (`make bench PART=ladder`) one node gains by sharing where most of a gain
carries over, and loses less the sooner this notices that it does not.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from node.line.carried import CARRIED
from node.store.experiments import MADE_HERE
from node.store.store import Store
from protocol.record_kinds import PatchBody, ResultBody

FIRST: Final = 0.25  # before anything is known
_LEAST, _MOST = 0.05, 0.7  # else it could not show that it is worth more, nor finds be tried
HALF_MS: Final = 2_400_000  # of devices: what was before that counts by half
FIRST_MS: Final = 1_800_000  # of devices, on each side, that count as if both had brought the same
_SHARPNESS: Final = 3  # twice as much brought by the hour is worth eight times the time


@dataclass
class Side:
    """What one way of spending time brought and took, the past fading as more is spent on it."""

    nano: float = 0.0
    ms: float = 0.0

    def add(self, nano: float, ms: float) -> None:
        """Count what one run or trial brought and took."""
        left = 0.5 ** (ms / HALF_MS)
        self.nano, self.ms = left * self.nano + nano, left * self.ms + ms


def share_below(store: Store, task: bytes, rungs: Collection[bytes]) -> float:
    """Return the share of the time that the rungs below a task should have together.

    What was found below runs dry, as own ideas do: the latest says more of what comes next.
    """
    carried, own = Side(), Side()
    for record in store.records.own():
        body = record.body
        if not isinstance(body, ResultBody) or body.stage not in ("screen", "keep"):
            continue
        device_ms = body.cost.device_ms
        if body.task in rungs:
            carried.add(0.0, device_ms)
        if body.task != task:
            continue
        patch = None if body.patch is None else store.records.patch(body.patch)
        gain_nano = _kept_nano(store, record.id)
        if _is_carried(patch):
            carried.add(gain_nano, device_ms)
        elif patch is None or patch.origin.proposer not in MADE_HERE:
            own.add(gain_nano, device_ms)
    return share_by(carried.nano, carried.ms, own.nano, own.ms)


def share_by(carried_nano: float, carried_ms: float, own_nano: float, own_ms: float) -> float:
    """Return it by what was kept of what was carried and of own ideas, and by what each took.

    Gains in any one unit; times of devices, that of the rungs below with what was carried.
    """
    total_nano, total_ms = carried_nano + own_nano, carried_ms + own_ms
    usual = total_nano / total_ms if total_ms else 0.0
    carried = (carried_nano + usual * FIRST_MS) / (carried_ms + FIRST_MS)
    own = (own_nano + usual * FIRST_MS) / (own_ms + FIRST_MS)
    if not (most := max(carried, own)):
        return FIRST
    carried, own = (carried / most) ** _SHARPNESS, (own / most) ** _SHARPNESS
    return min(_MOST, max(_LEAST, carried / (carried + own)))


def _is_carried(patch: PatchBody | None) -> bool:
    return patch is not None and patch.origin.proposer == CARRIED


def _kept_nano(store: Store, result: bytes) -> int:
    entry = store.experiments.find(result)
    if entry is None or entry.decision != "kept":
        return 0
    return max(0, entry.gain_nano or 0)
