"""A home as after a night of work on one task, for the pictures of the documents."""

import random
from typing import Final

from node.home.home import Home
from node.line.line_writer import LineWriter
from node.store.store import Store
from tests.node.line_writers import (
    BASE_NANO,
    Clock,
    conclude,
    promotion_trial,
    proposal_of,
    with_baseline,
)

_SD_NANO: Final = 1_000_000
_ROUNDS: Final = 6  # promotion trials that pass
_TRIED: Final = 44  # experiments before each of them
_KEEPS: Final = (5, 17, 28, 41)  # which of those are kept
_PAUSE_MS: Final = 125_000  # between two experiments
_STEPS_MS: Final = 3_300  # of the clock, which passes on while one is recorded
_GAINS_NANO: Final = (11_000_000, 8_000_000, 7_000_000, 5_000_000, 4_000_000, 3_000_000)
_IDEAS: Final = (
    "EMBEDDING_LR {:.2f}",
    "MATRIX_LR {:.3f}",
    "WARMDOWN_RATIO {:.2f}",
    "WEIGHT_DECAY {:.3f}",
    "ADAM_BETA2 {:.3f}",
    "WINDOW_PATTERN with {:.1f} of long windows",
    "softcap of the logits at {:.1f}",
)


def fill_example(home: Home, store: Store) -> None:
    """Write a line with several promotions and kept patches that wait for the next trial."""
    chance = random.Random(11)
    clock = Clock()
    clock.now_ms -= (_ROUNDS * _TRIED + _KEEPS[1] + 2) * (_PAUSE_MS + _STEPS_MS)
    line_writer = with_baseline(home, store, clock_ms=clock)
    level_nano = BASE_NANO
    for number, gain_nano in enumerate(_GAINS_NANO):
        level_nano = _round(line_writer, clock, chance, level_nano, gain_nano, until=_TRIED)
        _step(line_writer, chance, level_nano + 3 * _SD_NANO, "discarded")
        promotion_trial(line_writer, gain_nano=BASE_NANO - level_nano, pairs=6 + number)
    _round(line_writer, clock, chance, level_nano, _GAINS_NANO[-1], until=_KEEPS[1] + 2)


def _round(
    line_writer: LineWriter,
    clock: Clock,
    chance: random.Random,
    level_nano: int,
    gain_nano: int,
    *,
    until: int,
) -> int:
    """Write experiments up to a promotion trial; return the level of the working line."""
    for number in range(until):
        clock.now_ms += _PAUSE_MS
        if number in _KEEPS:
            level_nano -= gain_nano // len(_KEEPS)
            _step(line_writer, chance, level_nano, "kept")
        elif chance.random() < 0.06:
            _step(line_writer, chance, None, "failed")
        else:
            worse_nano = round(abs(chance.gauss(2, 4)) * _SD_NANO)
            _step(line_writer, chance, level_nano + worse_nano, "screened_out")
    return level_nano


def _step(
    line_writer: LineWriter, chance: random.Random, metric_nano: int | None, decision: str
) -> None:
    rate = f"{chance.uniform(0.01, 0.9):.6f}"
    title = chance.choice(_IDEAS).format(chance.uniform(0.1, 0.9)).replace(" ", " → ", 1)
    base = line_writer.source(line_writer.known_line.working)
    metrics = (metric_nano,) if decision != "kept" else (metric_nano, (metric_nano or 0) + 1)
    conclude(line_writer, proposal_of(base, rate, title=title), decision, *metrics)
