"""Each trial of a line draws an alpha; what they may err in all is bounded, over restarts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.home import Home
from node.line.alpha_budget import draw_alpha, open_trial, reset_alpha_budget
from node.line.catch_up import CatchUpStep
from node.line.line_writer import LineWriter
from node.line.promotion_trial import PromotionTrial, open_promotion_trial
from node.line.trial import MetricReading
from node.store.extracts import extract
from node.store.store import Store, meta_key
from protocol.encoding import Value, encode
from protocol.rule import DEFAULT, LINE_ALPHA, trial_alpha
from protocol.statistics import NoiseEstimate
from protocol.units import NANO
from tests.node.examples import MANIFEST
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    end,
    keep,
    line_writer_of,
    promotion_trial,
    with_baseline,
)
from tests.node.peer_authors import SD_NANO
from tests.protocol.worlds import KEYS, TREES, World, confirm

RATES = (f"0.0{number}" for number in range(101, 999))


def tried(line_writer: LineWriter, gain_nano: int) -> int | None:
    """Return the alpha of a promotion trial of a kept patch with this gain."""
    keep(line_writer, next(RATES))
    promotion_trial(line_writer, gain_nano=gain_nano)
    *_, last = line_writer.store.jobs.closed_jobs(line_writer.key, PromotionTrial)
    return last.step.alpha_nano


def nano(number: int, *, introducer: int | None = None) -> int:
    return max(1, int(trial_alpha(number, introducer=introducer) * NANO))


def caught_up(line_writer: LineWriter, target: bytes = bytes(32)) -> int | None:
    """Return the alpha of the trial of a peer's tree with this result."""
    line = line_writer.known_line
    step = CatchUpStep(
        base=line.verified,
        tree=line.working,
        theirs=line.working,
        patch=bytes(32),
        target=target,
        author=bytes(32),
        gain_nano=GAIN_NANO,
    )
    return open_trial(line_writer, step).step.alpha_nano


def introduced(line_writer: LineWriter, *neighbours: str) -> list[int]:
    """Return what trials of claims draw that these brought, in nano."""
    with line_writer.store.transaction():
        return [draw_alpha(line_writer, one) for one in neighbours]


def test_all_trials_together_spend_what_a_line_has_and_no_more() -> None:
    numbers = range(1, 100_000)
    own = sum(trial_alpha(number) for number in numbers)
    first = sum(trial_alpha(number, introducer=1) for number in numbers)
    places = sum(trial_alpha(1, introducer=place) for place in numbers)
    peers = places / trial_alpha(1, introducer=1) * first
    assert 0.99 * LINE_ALPHA < own + peers < LINE_ALPHA
    assert own == pytest.approx(4 * peers, rel=0.01)
    levels = [trial_alpha(number) for number in range(1, 100)]
    assert levels == sorted(levels, reverse=True)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=300))
def test_who_introduces_how_much_it_stays_within_what_peers_have(trials: list[int]) -> None:
    """`trials` are how many each introducer has, in the order of their places."""
    spent = sum(
        trial_alpha(number, introducer=place)
        for place, count in enumerate(trials, start=1)
        for number in (*range(1, min(count, 4)), count)
    )
    assert spent < LINE_ALPHA / 5


def test_each_trial_draws_less_until_one_passes(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)
    assert [tried(line_writer, -GAIN_NANO) for _ in range(3)] == [nano(1), nano(2), nano(3)]
    assert tried(line_writer, GAIN_NANO) == nano(4)
    assert tried(line_writer, -GAIN_NANO) == nano(1)


def test_what_was_spent_is_spent_after_a_restart(home: Home) -> None:
    with Store.open(home) as store:
        assert tried(with_baseline(home, store), -GAIN_NANO) == nano(1)
    with Store.open(home) as store:
        assert tried(line_writer_of(home, store), -GAIN_NANO) == nano(2)


def test_a_trial_that_was_not_opened_spends_nothing(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)

    def begin() -> None:
        with store.transaction():
            draw_alpha(line_writer, None)
            raise RuntimeError("it ends before the job is in the queue")

    with pytest.raises(RuntimeError):
        begin()
    assert tried(line_writer, -GAIN_NANO) == nano(1)


def test_peers_trees_spend_what_is_theirs(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)
    keep(line_writer, next(RATES))
    drawn = [caught_up(line_writer) for _ in range(40)]
    assert drawn == [nano(number, introducer=1) for number in range(1, 41)]
    assert open_promotion_trial(line_writer).step.alpha_nano == nano(1)


def test_what_one_neighbour_floods_costs_what_others_introduce_nothing(
    home: Home, store: Store
) -> None:
    line_writer = with_baseline(home, store)
    flood = introduced(line_writer, *["flood"] * 30)
    assert flood == [nano(number, introducer=1) for number in range(1, 31)]
    assert introduced(line_writer, "honest", "flood", "", "honest") == [
        nano(1, introducer=2),
        nano(31, introducer=1),
        nano(1, introducer=3),
        nano(2, introducer=2),
    ]
    assert nano(1, introducer=2) > 50 * nano(31, introducer=1)


def test_who_introduced_what_passed_last_keeps_the_first_place(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)
    introduced(line_writer, "flood", "honest")
    with store.transaction():
        reset_alpha_budget(line_writer, introducer="honest")
    assert introduced(line_writer, "flood", "honest") == [
        nano(1, introducer=2),
        nano(1, introducer=1),
    ]
    assert tried(line_writer, GAIN_NANO) == nano(1)  # an own stack passes
    assert introduced(line_writer, *"abc", "honest")[-1] == nano(1, introducer=1)


def test_identities_without_end_are_not_counted_without_end(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)
    drawn = introduced(line_writer, *(f"{number:052}" for number in range(300)))
    assert drawn[:64] == [nano(1, introducer=place) for place in range(1, 65)]
    assert drawn[64:] == [nano(number, introducer=65) for number in range(1, 237)]
    assert introduced(line_writer, f"{0:052}") == [nano(2, introducer=1)]


def test_what_a_version_before_drew_for_all_peers_together_is_spent(
    home: Home, store: Store
) -> None:
    """Its k-th trial had what is the whole share of the k-th place now."""
    line_writer = with_baseline(home, store)
    before: Value = {"own": 2, "peers": 3}
    store.set_meta(meta_key("trials", line_writer.key), encode(before))
    assert introduced(line_writer, "one", "other") == [nano(1, introducer=4), nano(1, introducer=5)]
    assert tried(line_writer, -GAIN_NANO) == nano(3)


def test_a_claim_draws_on_the_share_of_the_neighbour_who_first_brought_it(
    home: Home, store: Store
) -> None:
    line_writer, world = with_baseline(home, store), World()
    by_one, by_other, bundled = (world.say(KEYS[0], confirm(tree, [10])) for tree in TREES[:3])
    for claim, neighbour in ((by_one, "one"), (by_other, "other"), (by_other, "one")):
        read = [extract(claim.wire, store.records.manifest)]
        store.intake.take(read, now_ms=claim.ts_ms, introducer=neighbour)
    store.intake.ingest([bundled.wire], now_ms=bundled.ts_ms)
    claims = [by_one.id, by_one.id, by_other.id, bundled.id, bytes(32)]
    assert [caught_up(line_writer, claim) for claim in claims] == [
        nano(1, introducer=1),
        nano(2, introducer=1),
        nano(1, introducer=2),
        nano(1, introducer=3),
        nano(2, introducer=3),  # nobody knows of that any more
    ]


def test_who_introduced_what_becomes_the_head_has_the_first_place(home: Home, store: Store) -> None:
    line_writer, world = with_baseline(home, store), World()
    claim = world.say(KEYS[0], confirm(TREES[0], [10]))
    read = [extract(claim.wire, store.records.manifest)]
    store.intake.take(read, now_ms=claim.ts_ms, introducer="honest")
    introduced(line_writer, "flood")
    keep(line_writer, next(RATES))
    line = line_writer.known_line
    step = CatchUpStep(
        base=line.verified,
        tree=line.working,
        theirs=line.working,
        patch=line.stack[0],
        target=claim.id,
        author=KEYS[0].public,
        gain_nano=GAIN_NANO,
    )
    job = open_trial(line_writer, step)
    for _ in range(4):
        line_writer.plan_fresh_pair(job, step.base, step.tree)
    for planned in store.jobs.runs_of(job.id):
        end(store, planned, BASE_NANO - GAIN_NANO * (planned.role == "candidate"))
    runs = store.jobs.runs_of(job.id)
    reading = MetricReading(sign=1, noise=NoiseEstimate.from_class(SD_NANO / NANO), policy=DEFAULT)
    confirmation = job.step.weigh(runs, reading, MANIFEST)
    assert confirmation.move == "pass"
    job.step.close(line_writer, job, [one.run for one in runs if one.run], confirmation, note="")
    assert introduced(line_writer, "flood", "honest") == [
        nano(1, introducer=2),
        nano(1, introducer=1),
    ]


def test_a_trial_is_judged_by_the_alpha_that_it_drew(home: Home, store: Store) -> None:
    """Evidence that suffices for an error rate of 1 in 50 does not for 1 in ten million."""
    line_writer = with_baseline(home, store)
    keep(line_writer, next(RATES))
    job = open_promotion_trial(line_writer)
    for _ in range(4):
        line_writer.plan_fresh_pair(job, job.step.base, job.step.tree)
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
