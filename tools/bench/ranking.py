"""The true gain of a leaderboard's first row, for several ranking figures.

Authors select by the public split, so their published gains are larger there than on other text. A
few publish patches that fit only that text. Some redraw their own secret split until it suits them.
Bounds come from the shipped code. Gains are in standard deviations of one run.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from protocol.gains import MIN_ANCHOR_PAIRS, Gain, gain_of, luck

SD = 10_000_000  # the task's noise floor
_AUTHORS, _REDRAWING, _LEAKING = 20, 4, 4
_LEAK_SD = 3.0  # gain by a leak of the public split, only there
_SCREENED = 40  # most candidates from which the best on the public split is published
_FITTED_SD = 0.7  # deviation of gains between the public split and other text
_SPLIT_SD, _DRAWS = 0.4, 8  # the same between secret splits; draws by authors who redraw
_RUN_SD, _TEXT_SD = 0.95, 0.3  # noise common to both splits of a run, and separate for each


@dataclass(frozen=True, slots=True)
class Published:
    """A tree's true gain and its published gains. `rerun` is from another key's re-run."""

    gain: float
    public: Gain
    secret: Gain
    rerun: Gain
    tries: int

    def lower(self, shown: Gain) -> int:
        """Return the lower bound of a claimed gain."""
        return shown.lower_nano(SD * luck(self.tries))


RULES: dict[str, Callable[[Published], int]] = {
    "public_figure": lambda one: one.public.value_nano,
    "public_bound": lambda one: one.lower(one.public),
    "lower_of_both_bounds": lambda one: min(one.lower(one.public), one.lower(one.secret)),
    "rerun_authors_bound": lambda one: one.rerun.lower_nano(),
}


def ranked(count: int) -> dict[str, object]:
    """Return the first row's true gain over `count` leaderboards, and how often it overstates."""
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
    """Return the true gain of the best tree on a leaderboard."""
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
    rerun = [_nano(theirs + chance.gauss(0, 2**0.5)) for _ in range(MIN_ANCHOR_PAIRS)]
    return Published(gain, _shown(public), _shown(secret), _shown(rerun), tries)


def _shown(differences: Sequence[int]) -> Gain:
    gain = gain_of(differences, SD)
    assert gain is not None
    return gain


def _nano(value: float) -> int:
    return round(value * 8) * SD // 8  # rounded as in scoring


def _mean(values: Sequence[float]) -> dict[str, float]:
    """Return a mean with its 95 % interval."""
    reach = 1.96 * stdev(values) / len(values) ** 0.5
    mean = fmean(values)
    return {
        "mean": round(mean, 3),
        "from": round(mean - reach, 3),
        "to": round(mean + reach, 3),
    }
