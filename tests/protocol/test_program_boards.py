"""Leaderboards of program tasks: pairs count by their differences, or one exact pair decides."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import pytest

from protocol.board import Row, board_of
from protocol.board_facts import BoardClaim, Vote, read_fact
from protocol.gains import MILLION
from protocol.manifest import TaskManifest
from protocol.program import Instances
from protocol.record_kinds import ResultBody
from protocol.records import MAIN_NET, Record, sign_record
from tests.protocol.examples import PROGRAM_MANIFEST, START_MS
from tests.protocol.worlds import CLASS, KEYS, TREES, World, confirm, rerun

SPEC = PROGRAM_MANIFEST.program
assert SPEC is not None
EXCESS = replace(PROGRAM_MANIFEST.metric, name="excess", max_step_nano=10**9)
DRAWN = replace(
    PROGRAM_MANIFEST,
    metric=EXCESS,
    program=replace(SPEC, instances=Instances(public=16, secret=16, fixed=()), llm=None),
)
FIXED = replace(
    PROGRAM_MANIFEST,
    metric=EXCESS,
    program=replace(SPEC, instances=Instances(public=0, secret=0, fixed=("n=26",)), llm=None),
)
BASE = hashlib.sha256(b"another head").digest()
HARD = (900, 1_100, 1_000, 1_050, 950, 1_000, 1_100, 900, 1_000, 1_000)  # of ten pairs


def confirmed(
    manifest: TaskManifest,
    gains: Sequence[int],
    *,
    base: bytes | None = None,
    anchors: Sequence[int] = (),
) -> ResultBody:
    """Return a confirmation on this task; its default base is the task's baseline."""
    body = confirm(
        TREES[0], gains, base=manifest.baseline_tree if base is None else base, anchors=anchors
    )
    return replace(body, task=manifest.id)


def claim_of(manifest: TaskManifest, body: ResultBody) -> BoardClaim:
    """Return the claim that a leaderboard reads from a confirmation."""
    record = sign_record(KEYS[0], net=MAIN_NET, seq=0, prev=None, ts_ms=START_MS, body=body)
    fact = read_fact(record, manifest, CLASS)
    assert isinstance(fact, BoardClaim)
    return fact


def row(manifest: TaskManifest, records: list[Record]) -> Row:
    """Return the only row of the task's leaderboard."""
    (only,) = board_of(records, manifest, CLASS).rows
    return only


def test_one_exact_pair_makes_a_row_that_is_certain() -> None:
    claim = claim_of(FIXED, confirmed(FIXED, [1_000]))
    assert claim.gain is not None
    assert claim.anchor_gain is not None
    for gain in (claim.gain, claim.anchor_gain):
        assert (gain.lower_nano(), gain.value_nano, gain.upper_nano) == (1_000, 1_000, 1_000)
    assert claim.noise_nano == 0


def test_one_exact_pair_next_to_the_baseline_is_a_gain_over_it() -> None:
    claim = claim_of(FIXED, confirmed(FIXED, [1_000], base=BASE, anchors=[2_500]))
    assert claim.anchor_gain is not None
    assert (claim.anchor_gain.pairs, claim.anchor_gain.lower_nano()) == (1, 2_500)
    assert claim_of(FIXED, confirmed(FIXED, [1_000], base=BASE)).anchor_gain is None


def test_many_tries_take_nothing_off_what_is_exact() -> None:
    world = World()
    for gain in (10, 20, 1_000):
        world.say(KEYS[0], confirmed(FIXED, [gain]))
    assert row(FIXED, world.records).gain_anchor_lower_nano == 1_000
    drawn = World()
    for scale in (1, 1, 1):
        drawn.say(KEYS[0], confirmed(DRAWN, [scale * gain for gain in HARD]))
    best = row(DRAWN, drawn.records)
    claim = claim_of(DRAWN, confirmed(DRAWN, HARD))
    assert claim.anchor_gain is not None
    assert best.gain_anchor_lower_nano is not None
    assert best.gain_anchor_lower_nano < claim.anchor_gain.lower_nano()


def test_drawn_instances_take_ten_pairs_and_only_their_differences_count() -> None:
    few, enough = (claim_of(DRAWN, confirmed(DRAWN, HARD[:count])) for count in (9, 10))
    assert (few.gain, few.anchor_gain) == (None, None)
    assert enough.gain is not None
    assert 0 < enough.gain.lower_nano() < 1_000 < enough.gain.upper_nano
    body = confirmed(DRAWN, HARD)
    # The instances of one seed are harder than those of another, for base and candidate alike.
    harder = tuple(
        replace(
            run,
            metric_nano=(run.metric_nano or 0) + 10**8 * run.seed,
            secret_nano=(run.secret_nano or 0) + 10**8 * run.seed,
        )
        for run in body.runs
    )
    assert claim_of(DRAWN, replace(body, runs=harder)).gain == enough.gain


def test_four_anchors_that_differ_by_the_same_are_not_exact_where_instances_are_drawn() -> None:
    claim = claim_of(DRAWN, confirmed(DRAWN, HARD, base=BASE, anchors=[1_200] * 4))
    assert claim.anchor_gain is not None
    assert 900 < claim.anchor_gain.lower_nano() < 1_100
    assert claim.anchor_gain.mean == 1_200 * MILLION


@pytest.mark.parametrize(
    ("gain", "verdict", "confirmed_by", "refuted_by", "unsupported"),
    [
        (1_000, "confirmed", 1, 0, 0),
        (999, "confirmed", 0, 0, 1),
        (0, "refuted", 0, 1, 0),
        (0, "confirmed", 0, 0, 1),
    ],
)
def test_an_rerun_of_one_exact_pair_counts_for_what_it_shows(
    gain: int, verdict: str, confirmed_by: int, refuted_by: int, unsupported: int
) -> None:
    world = World()
    target = world.say(KEYS[0], confirmed(FIXED, [1_000]))
    body = rerun(
        KEYS[1],
        TREES[0],
        [gain],
        verdict,  # type: ignore[arg-type]
        base=FIXED.baseline_tree,
        target=target.id,
    )
    record = world.say(KEYS[1], replace(body, task=FIXED.id))
    found = row(FIXED, world.records)
    assert (found.confirmed, found.refuted, found.unsupported) == (
        confirmed_by,
        refuted_by,
        unsupported,
    )
    vote = read_fact(record, FIXED, CLASS)
    assert isinstance(vote, Vote)
    assert vote.evidence.style == "exact"


@pytest.mark.parametrize(
    ("hardware_class", "seed", "off", "verdict", "counts_as"),
    [
        ("any", 3, 1_000, "refuted", "refuted"),
        ("any", 3, 1_000, "confirmed", "unsupported"),
        ("any", 3, 0, "confirmed", "confirmed"),
        ("any", 3, 0, "refuted", "unsupported"),
        # Two machines may round a figure to neighbouring multiples.
        ("any", 3, 2, "confirmed", "confirmed"),
        ("any", 3, -2, "confirmed", "confirmed"),
        ("any", 3, 3, "refuted", "refuted"),
        # An unpublished seed does not count, and neither does a figure that depends on hardware.
        ("any", 99, 1_000, "refuted", "unsupported"),
        (CLASS, 3, 1_000, "refuted", "unsupported"),
    ],
)
def test_a_published_seed_that_comes_to_another_figure_refutes_where_no_machine_changes_it(
    hardware_class: str, seed: int, off: int, verdict: str, counts_as: str
) -> None:
    manifest = replace(DRAWN, noise_floor_nano=16)  # so that figures are multiples of 2
    claim = replace(confirmed(manifest, HARD), hardware_class=hardware_class)
    world = World()
    target = world.say(KEYS[0], claim)
    published = next(run for run in claim.runs if (run.seed, run.role) == (3, "candidate"))
    again = replace(
        published, seed=seed, role="again", metric_nano=(published.metric_nano or 0) + off
    )
    body = rerun(
        KEYS[1],
        TREES[0],
        HARD,
        verdict,  # type: ignore[arg-type]
        base=manifest.baseline_tree,
        target=target.id,
    )
    world.say(KEYS[1], replace(body, task=manifest.id, hardware_class=hardware_class, again=again))
    (found,) = board_of(world.records, manifest, hardware_class).rows
    counted = {
        "confirmed": found.confirmed,
        "smaller": found.smaller,
        "refuted": found.refuted,
        "unsupported": found.unsupported,
    }
    assert counted == {**dict.fromkeys(counted, 0), counts_as: 1}


def test_a_seed_that_did_not_run_again_says_nothing() -> None:
    claim = replace(confirmed(FIXED, [1_000]), hardware_class="any")
    world = World()
    target = world.say(KEYS[0], claim)
    again = replace(
        claim.runs[1], role="again", status="crash", metric_nano=None, secret_nano=None, audit=None
    )
    base = FIXED.baseline_tree
    body = rerun(KEYS[1], TREES[0], [1_000], "confirmed", base=base, target=target.id)
    world.say(KEYS[1], replace(body, task=FIXED.id, hardware_class="any", again=again))
    (found,) = board_of(world.records, FIXED, "any").rows
    assert (found.confirmed, found.unsupported) == (1, 0)
