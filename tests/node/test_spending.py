"""Each trial of a line draws an alpha; what they may err in all is bounded, over restarts."""

from dataclasses import replace

import pytest

from node.home.home import Home
from node.line.catch_up import CatchUpStep
from node.line.checkpoint import CheckpointStep, open_checkpoint
from node.line.ledger import Ledger
from node.line.spending import draw_alpha, open_trial
from node.line.trial import MetricReading
from node.store.store import Store
from protocol.rule import DEFAULT, LINE_ALPHA, trial_alpha
from protocol.statistics import NoiseEstimate
from protocol.units import NANO
from tests.node.books import (
    BASE_NANO,
    GAIN_NANO,
    checkpoint,
    end,
    keep,
    ledger_of,
    with_baseline,
)
from tests.node.examples import MANIFEST
from tests.node.strangers import SD_NANO

RATES = (f"0.0{number}" for number in range(101, 999))


def tried(ledger: Ledger, gain_nano: int) -> int | None:
    """Return the alpha of a checkpoint of something kept, which gains so much."""
    keep(ledger, next(RATES))
    checkpoint(ledger, gain_nano=gain_nano)
    *_, last = ledger.store.jobs.closed_jobs(ledger.key, CheckpointStep)
    return last.step.alpha_nano


def nano(number: int, *, is_peers: bool = False) -> int:
    return int(trial_alpha(number, is_peers=is_peers) * NANO)


def test_all_trials_together_spend_what_a_line_has_and_no_more() -> None:
    own, peers = (
        sum(trial_alpha(number, is_peers=is_peers) for number in range(1, 100_000))
        for is_peers in (False, True)
    )
    assert 0.99 * LINE_ALPHA < own + peers < LINE_ALPHA
    assert own == pytest.approx(4 * peers)
    levels = [trial_alpha(number, is_peers=False) for number in range(1, 100)]
    assert levels == sorted(levels, reverse=True)


def test_each_trial_draws_less_until_one_passes(home: Home, store: Store) -> None:
    ledger = with_baseline(home, store)
    assert [tried(ledger, -GAIN_NANO) for _ in range(3)] == [nano(1), nano(2), nano(3)]
    assert tried(ledger, GAIN_NANO) == nano(4)
    assert tried(ledger, -GAIN_NANO) == nano(1)


def test_what_was_spent_is_spent_after_a_restart(home: Home) -> None:
    with Store.open(home) as store:
        assert tried(with_baseline(home, store), -GAIN_NANO) == nano(1)
    with Store.open(home) as store:
        assert tried(ledger_of(home, store), -GAIN_NANO) == nano(2)


def test_a_trial_that_was_not_opened_spends_nothing(home: Home, store: Store) -> None:
    ledger = with_baseline(home, store)

    def begin() -> None:
        with store.transaction():
            draw_alpha(ledger, "own")
            raise RuntimeError("it ends before the job is in the queue")

    with pytest.raises(RuntimeError):
        begin()
    assert tried(ledger, -GAIN_NANO) == nano(1)


def test_peers_trees_spend_what_is_theirs(home: Home, store: Store) -> None:
    ledger = with_baseline(home, store)
    keep(ledger, next(RATES))
    line = ledger.known_line
    theirs = CatchUpStep(
        base=line.verified,
        tree=line.working,
        theirs=line.working,
        patch=line.stack[0],
        target=bytes(32),
        author=bytes(32),
        gain_nano=GAIN_NANO,
    )
    opened = [open_trial(ledger, theirs) for _ in range(40)]
    drawn = [job.step.alpha_nano for job in opened]
    assert drawn == [nano(number, is_peers=True) for number in range(1, 41)]
    assert open_checkpoint(ledger).step.alpha_nano == nano(1)


def test_a_trial_is_judged_by_the_alpha_that_it_drew(home: Home, store: Store) -> None:
    """What convinces one that may err once in fifty does not convince one in ten million."""
    ledger = with_baseline(home, store)
    keep(ledger, next(RATES))
    job = open_checkpoint(ledger)
    for _ in range(4):
        ledger.plan_fresh_pair(job, job.step.base, job.step.tree)
    for planned in store.jobs.runs_of(job.id):
        gained = 3 * SD_NANO if planned.role == "candidate" else 0
        end(store, planned, BASE_NANO - gained + planned.ordinal)
    runs = store.jobs.runs_of(job.id)
    noise = NoiseEstimate.from_class(SD_NANO / NANO)
    reading = MetricReading(sign=1, noise=noise, policy=DEFAULT)

    def move(alpha: float | None) -> str:
        step = replace(job.step, alpha_nano=None if alpha is None else round(alpha * NANO))
        return step.weigh(runs, reading, MANIFEST).move

    assert [move(None), move(0.02), move(1e-7)] == ["pass", "pass", "pair"]
