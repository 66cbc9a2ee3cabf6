"""A change is overfit if it gains on the visible data, and that gain is not on the holdout."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from node.line.branch import most_keeps
from node.store.overfit import overfit_reason
from protocol.manifest import TaskManifest
from protocol.program import Instances
from protocol.rule import DEFAULT
from protocol.runs import ON_SECRET, Run
from protocol.units import NANO
from tests.node.examples import run
from tests.protocol.examples import PROGRAM_MANIFEST, RICH_PROGRAM

DRAWN = Instances(public=1, secret=1, fixed=())
HELD_OUT = replace(
    PROGRAM_MANIFEST,
    noise_floor_nano=0,
    metric=replace(PROGRAM_MANIFEST.metric, direction="min"),
    program=replace(RICH_PROGRAM, instances=DRAWN, holdout=bytes(32)),
)


def trial(visible: Sequence[float], held_out: Sequence[float]) -> list[Run]:
    """Return pairs of runs with these gains on each set of data."""
    runs: list[Run] = []
    for seed, gains in enumerate(zip(visible, held_out, strict=True)):
        base = replace(run(10 * NANO, seed=seed, role="base"), secret_nano=10 * NANO)
        figures = [10 * NANO - round(gain * NANO) for gain in gains]
        candidate = replace(run(figures[0], seed=seed), secret_nano=figures[1])
        runs += [base, replace(candidate, role="candidate")]
    return runs


@pytest.mark.parametrize(
    ("visible", "held_out", "is_overfit"),
    [
        ([4.0] * 3, [0.0] * 3, True),
        ([4.0] * 3, [-1.0] * 3, True),
        ([4.0, 4.4, 3.8], [0.3, -0.2, 0.1], True),
        ([4.0] * 3, [2.0] * 3, False),  # a smaller gain is one, though it was not shown
        ([-1.0] * 3, [-2.0] * 3, False),
        ([0.0] * 3, [0.0] * 3, False),
        ([4.0, -3.0, 2.0], [0.0] * 3, False),  # luck
        ([4.0], [0.0], False),
    ],
)
def test_a_visible_gain_that_is_not_on_the_holdout_is_overfit(
    visible: list[float], held_out: list[float], is_overfit: bool
) -> None:
    reason = overfit_reason(trial(visible, held_out), HELD_OUT)
    assert (reason is not None) == is_overfit
    assert reason is None or reason.startswith("discarded as overfit: gain +4")
    maximised = replace(HELD_OUT, metric=replace(HELD_OUT.metric, direction="max"))
    turned = trial([-one for one in visible], [-one for one in held_out])
    assert (overfit_reason(turned, maximised) is not None) == is_overfit


def test_a_change_that_does_nothing_is_hardly_ever_called_overfit() -> None:
    chance = random.Random(7)
    noisy = replace(HELD_OUT, noise_floor_nano=NANO)
    called = 0
    for _ in range(1000):
        gains = [[chance.gauss(0, 2**0.5) for _ in range(4)] for _ in range(2)]
        called += overfit_reason(trial(*gains), noisy) is not None
    assert called < 20


def test_one_that_fails_on_the_holdout_alone_is_overfit() -> None:
    def failing(reason: str, **other: object) -> list[Run]:
        base = run(10 * NANO, seed=1, role="base")
        failed = run(None, seed=1, status="crash", reason=reason, role="candidate")
        return [base, replace(failed, **other)]  # type: ignore[arg-type]

    reported = overfit_reason(failing(f"in {ON_SECRET}: it ended"), HELD_OUT)
    assert reported == "discarded as overfit: it gains on the visible data and fails on the holdout"
    assert overfit_reason(failing("in instance 1: KeyError"), HELD_OUT) is None
    cut_off = failing(f"{ON_SECRET} took long", status="timeout", flags=("contended",))
    assert overfit_reason(cut_off, HELD_OUT) is None


@pytest.mark.parametrize(
    "manifest", [None, replace(HELD_OUT, program=replace(RICH_PROGRAM, instances=DRAWN))]
)
def test_without_a_holdout_nothing_is_overfit(manifest: TaskManifest | None) -> None:
    assert overfit_reason(trial([4.0] * 3, [0.0] * 3), manifest) is None


def test_with_a_holdout_each_kept_change_is_on_trial_at_once() -> None:
    assert most_keeps(HELD_OUT, DEFAULT) == 1
    assert most_keeps(PROGRAM_MANIFEST, DEFAULT) == DEFAULT.keeps_per_promotion_trial
    assert most_keeps(None, DEFAULT) == DEFAULT.keeps_per_promotion_trial
