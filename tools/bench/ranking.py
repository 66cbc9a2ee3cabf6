"""What a board's first row is truly worth, by the figures that the board ranks by.

Authors select by the public split, so that what they publish gains more there than on any other
text; a few published what fits nothing but that text, and some draw their own secret split again
until it suits them. Bounds come from the code that
ships; gains are in standard deviations of one run.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from protocol.gains import MIN_ANCHOR_PAIRS, Gain, gain_of, luck

SD = 10_000_000  # the task's noise floor
_AUTHORS, _REDRAWING, _LEAKING = 20, 4, 4
_LEAK_SD = 3.0  # what a leak of the public split gains there and nowhere else
_SCREENED = 40  # at most: of so many the one that shines most on the public split is published
_FITTED_SD = 0.7  # by how much candidates differ between the public split and other text
_SPLIT_SD, _DRAWS = 0.4, 8  # the same between secret splits, and how often some draw theirs
_RUN_SD, _TEXT_SD = 0.95, 0.3  # what both splits of a run share, and what each has of its own


@dataclass(frozen=True, slots=True)
class Published:
    """A tree's true gain and what is published of it; `attested` by one key that re-ran it."""

    gain: float
    public: Gain
    secret: Gain
    attested: Gain
    tries: int

    def lower(self, shown: Gain) -> int:
        """Return a claim's bound."""
        return shown.lower_nano(SD * luck(self.tries))


RULES: dict[str, Callable[[Published], int]] = {
    "public_figure": lambda one: one.public.value_nano,
    "public_bound": lambda one: one.lower(one.public),
    "lower_of_both_bounds": lambda one: min(one.lower(one.public), one.lower(one.secret)),
    "attesters_bound": lambda one: one.attested.lower_nano(),
}


def ranked(count: int) -> dict[str, object]:
    """Return of so many boards what the first row is worth, and how often less than it says."""
    boards = [_board(random.Random(number)) for number in range(count)]
    shown: dict[str, object] = {"the_best_there_is": _mean([max_gain(one) for one in boards])}
    for name, rule in RULES.items():
        firsts = [max(board, key=rule) for board in boards]
        above = [rule(one) / SD - one.gain for one in firsts]
        shown[name] = {
            "truly_worth_sd": _mean([one.gain for one in firsts]),
            "says_more_than_is_there": round(fmean(one > 0 for one in above), 3),
        }
    return shown


def max_gain(board: Sequence[Published]) -> float:
    """Return what the best tree of a board is worth."""
    return max(one.gain for one in board)


def _board(chance: random.Random) -> list[Published]:
    leaking = range(_REDRAWING, _REDRAWING + _LEAKING)
    return [
        _published(chance, redraws=number < _REDRAWING, leaks=number in leaking)
        for number in range(_AUTHORS)
    ]


def _published(chance: random.Random, *, redraws: bool, leaks: bool) -> Published:
    gain, tries = chance.uniform(2, 6), chance.choice((2, 4, 8, 16, 32))
    screened = chance.choice((1, _SCREENED // 8, _SCREENED))
    fitted = max(chance.gauss(0, _FITTED_SD) for _ in range(screened)) + leaks * _LEAK_SD
    split = max(chance.gauss(0, _SPLIT_SD) for _ in range(_DRAWS if redraws else 1))
    pairs = chance.randint(MIN_ANCHOR_PAIRS, 8)
    runs = [chance.gauss(0, _RUN_SD * 2**0.5) for _ in range(pairs)]
    public, secret = (
        [_nano(gain + effect + run + chance.gauss(0, _TEXT_SD * 2**0.5)) for run in runs]
        for effect in (fitted, split)
    )
    theirs = gain + chance.gauss(0, _SPLIT_SD)
    attested = [_nano(theirs + chance.gauss(0, 2**0.5)) for _ in range(MIN_ANCHOR_PAIRS)]
    return Published(gain, _shown(public), _shown(secret), _shown(attested), tries)


def _shown(differences: Sequence[int]) -> Gain:
    gain = gain_of(differences, SD)
    assert gain is not None
    return gain


def _nano(value: float) -> int:
    return round(value * 8) * SD // 8  # as it leaves scoring


def _mean(values: Sequence[float]) -> dict[str, float]:
    """A mean with its 95 % interval."""
    reach = 1.96 * stdev(values) / len(values) ** 0.5
    mean = fmean(values)
    return {
        "mean": round(mean, 3),
        "from": round(mean - reach, 3),
        "to": round(mean + reach, 3),
    }
