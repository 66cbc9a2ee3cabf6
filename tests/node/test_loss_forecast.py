"""Loss forecasts stop hopeless runs, and never one that would have been kept."""

import random

import pytest

from node.line.loss_forecast import LEAST_RUNS, FinishedRun, LossForecast, loss_at
from protocol.units import NANO
from trainer.measuring.loss_curve import LossPoint

BASE = bytes(32)
STEPS = 300
SD = 0.01
METRIC = 1.5


def curve(off: float, chance: random.Random) -> tuple[LossPoint, ...]:
    """Return the output of a script with this loss offset and the noise of batches."""
    return tuple(
        LossPoint(
            step=step,
            loss_nano=round((2 + 4 / (1 + step / 30) + off + chance.gauss(0, 0.02)) * NANO),
        )
        for step in range(0, STEPS, 5)
    )


def ran(
    off: float, chance: random.Random, *, of_base: bool = False, bias: float = 0.0
) -> FinishedRun:
    """A run whose score deviates about as much as its loss."""
    tree = BASE if of_base else chance.randbytes(32)
    metric = METRIC + off + bias + chance.gauss(0, SD)
    return FinishedRun(
        job=1, tree=tree, base=BASE, points=curve(off, chance), steps=STEPS, metric=metric
    )


def history(chance: random.Random, *, count: int = 40, bias: float = 0.0) -> list[FinishedRun]:
    offs = [chance.choice([0, 0.02, 0.1, -0.02]) * chance.random() for _ in range(count)]
    changes = [ran(off, chance, bias=chance.choice([0, bias])) for off in offs]
    return [ran(0, chance, of_base=True) for _ in range(2)] + changes


def least(
    loss_forecast: LossForecast, off: float, chance: random.Random, *, until: float
) -> float | None:
    points = [one for one in curve(off, chance) if one.step <= until * STEPS]
    found = loss_forecast.least(points, STEPS)
    return None if found is None else found[0]


def test_what_is_far_above_its_base_cannot_end_below_it() -> None:
    chance = random.Random(1)
    loss_forecast = LossForecast(history(chance), BASE, SD)
    found = least(loss_forecast, 0.5, chance, until=0.5)
    assert found is not None
    assert METRIC < found < METRIC + 0.5
    assert loss_forecast.least(curve(0.5, chance), STEPS) is not None


def test_nothing_is_foretold_too_early_or_by_too_few_runs() -> None:
    chance = random.Random(2)
    assert least(LossForecast(history(chance), BASE, SD), 0.5, chance, until=0.29) is None
    few = LossForecast(history(chance, count=LEAST_RUNS - 1), BASE, SD)
    assert least(few, 0.5, chance, until=0.9) is None
    peer_author = LossForecast(history(chance), b"\1" * 32, SD)
    assert least(peer_author, 0.5, chance, until=0.9) is None
    assert LossForecast(history(chance), BASE, SD).least((), STEPS) is None


def test_gains_of_a_deviation_are_hardly_ever_given_up() -> None:
    chance = random.Random(3)
    stopped_at_milli = 0
    for _ in range(60):
        loss_forecast = LossForecast(history(chance), BASE, SD)
        for _ in range(20):
            looks = [least(loss_forecast, -SD, chance, until=share) for share in (0.3, 0.6, 0.95)]
            stopped_at_milli += any(
                found is not None and found > METRIC - 0.75 * SD for found in looks
            )
    assert stopped_at_milli <= 0.01 * 60 * 20


def test_where_losses_foretell_nothing_nothing_is_given_up() -> None:
    """As after a script that prints what it likes: half of all runs end half a bit lower."""
    chance = random.Random(4)
    loss_forecast = LossForecast(history(chance, bias=-0.5), BASE, SD)
    found = least(loss_forecast, 0.3, chance, until=0.9)
    assert found is not None
    assert found < METRIC


def test_a_loss_is_the_mean_of_what_was_printed_lately() -> None:
    points = [LossPoint(step=step, loss_nano=step * NANO) for step in range(0, 100, 5)]
    assert loss_at(points, 100, 0.5) == pytest.approx(45)
    assert loss_at(points[:3], 100, 0.5) is None
    assert loss_at((), 0, 0.5) is None
