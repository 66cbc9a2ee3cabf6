"""Leaderboards depend only on the set of records, and excluded records bring no advantage."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.board import Board, Row, board_of
from protocol.encoding import MAX_INT
from protocol.keys import SigningKey
from protocol.records import VERSION, Record, sign_record
from protocol.rerun import RerunBody
from protocol.runs import Env
from protocol.units import NANO
from tests.protocol.examples import MANIFEST, REPORT, START_MS
from tests.protocol.worlds import (
    BASELINE,
    CLASS,
    KEYS,
    TREES,
    UNKNOWN_AUTHOR,
    World,
    adopt,
    confirm,
    rerun,
    retract,
    run,
    worlds,
)

STEADY = (100_000_000, 101_000_000, 99_000_000, 100_000_000)
SMALL = (20_000_000, 21_000_000, 19_000_000, 20_000_000)


def board(records: list[Record]) -> Board:
    return board_of(records, MANIFEST, CLASS)


def rows(world: World) -> list[Row]:
    return list(board(world.records).rows)


@given(worlds(), st.data())
def test_any_order_and_repetition_gives_the_same_board(
    records: list[Record], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(records))
    repeated = shuffled + data.draw(st.lists(st.sampled_from(records or [None]), max_size=5))
    again = board([record for record in repeated if record is not None])
    assert again == board(records)


@given(worlds(), st.sampled_from(KEYS))
def test_a_report_changes_no_board(records: list[Record], author: SigningKey) -> None:
    body = replace(REPORT, hardware_class=CLASS)
    said = sign_record(author, net="main", seq=10_000, prev=None, ts_ms=START_MS, body=body)
    assert board([*records, said]) == board(records)


@given(worlds())
def test_a_board_is_in_order_and_its_digest_covers_it(records: list[Record]) -> None:
    shown = board(records)
    ranks = [row.rank for row in shown.rows]
    ranked = [rank for rank in ranks if rank is not None]
    assert ranks == [*ranked, *[None] * (len(ranks) - len(ranked))]
    assert ranked == sorted(ranked)
    for row in shown.rows:
        assert (row.rank is None) == (max(row.anchor_pairs, row.rerun_pairs) < 4)
        assert row.tie == (ranked.count(row.rank) > 1 if row.rank else False)
    # With one entry, the environment is sorted already.
    encoded = [msgpack.packb(dict(sorted(row.to_value().items()))) for row in shown.rows]  # type: ignore[union-attr]
    context = b"arnode/board/%d\0" % VERSION
    expected = context + MANIFEST.id + CLASS.encode() + b"\0" + b"".join(encoded)
    assert shown.board_digest == hashlib.sha256(expected).digest()


@given(worlds())
def test_what_a_board_does_not_read_changes_nothing(records: list[Record]) -> None:
    world = World(list(records))
    world.say(UNKNOWN_AUTHOR, replace(confirm(TREES[0], STEADY), stage="keep"))
    world.say(UNKNOWN_AUTHOR, adopt(TREES[1], unverified=True))
    world.say(UNKNOWN_AUTHOR, adopt(TREES[2], unverified=True), seq=1)
    world.say(UNKNOWN_AUTHOR, retract(records[0].id if records else None))
    world.say(UNKNOWN_AUTHOR, retract(None))
    assert board(world.records) == board(records)


def test_rank_is_by_the_lower_bound_of_the_gain_over_the_anchor() -> None:
    world = World()
    world.say(KEYS[0], confirm(TREES[0], SMALL, level=1 * NANO))  # lower values, smaller gain
    world.say(KEYS[1], confirm(TREES[1], STEADY, level=2 * NANO))
    best, second = rows(world)
    assert (best.tree, best.rank, best.tie) == (TREES[1], 1, False)
    assert (second.tree, second.rank) == (TREES[0], 2)
    assert best.gain_anchor_nano == 100_000_000
    assert best.metric_nano == 2 * NANO - 100_000_000 > second.metric_nano


def test_rows_whose_interval_reaches_the_leader_share_its_rank() -> None:
    world = World()
    close = tuple(gain - 3_000_000 for gain in STEADY)
    world.say(KEYS[0], confirm(TREES[0], STEADY, size=900))
    world.say(KEYS[1], confirm(TREES[1], close, size=800))
    world.say(KEYS[2], confirm(TREES[2], SMALL, size=1))
    world.say(KEYS[3], confirm(TREES[3], close))  # of unknown size: last among equals
    assert [(row.tree, row.rank, row.tie) for row in rows(world)] == [
        (TREES[1], 1, True),
        (TREES[0], 1, True),
        (TREES[3], 1, True),
        (TREES[2], 4, False),
    ]


def test_against_another_base_only_pairs_with_the_anchor_rank() -> None:
    world = World()
    world.say(KEYS[0], confirm(TREES[0], STEADY, base=TREES[3]))
    world.say(KEYS[1], confirm(TREES[1], STEADY, base=TREES[3], anchors=SMALL))
    first, last = rows(world)
    assert (first.tree, first.rank, first.anchor_pairs) == (TREES[1], 1, 4)
    assert (first.gain_nano, first.gain_anchor_nano) == (98_700_000, 20_000_000)
    assert (last.tree, last.rank, last.gain_anchor_lower_nano) == (TREES[0], None, None)
    assert last.gain_nano == 98_700_000


def test_fewer_pairs_are_tries_and_no_rows() -> None:
    world = World()
    world.say(KEYS[0], confirm(TREES[0], STEADY[:1]))
    world.say(KEYS[0], replace(confirm(TREES[1], STEADY), status="timeout"))
    world.say(KEYS[0], replace(confirm(TREES[1], STEADY), stage="keep"))
    assert rows(world) == []
    world.say(KEYS[0], confirm(TREES[2], STEADY))
    (row,) = rows(world)
    assert row.tries == 3


def test_two_pairs_are_a_try_and_a_third_makes_a_row() -> None:
    world = World()
    world.say(KEYS[0], confirm(TREES[0], STEADY[:2]))
    assert rows(world) == []
    world.say(KEYS[0], confirm(TREES[1], STEADY[:3]))
    (row,) = rows(world)
    assert (row.tree, row.tries, row.pairs) == (TREES[1], 2, 3)


def test_the_luck_of_many_tries_is_that_of_what_their_runs_scatter() -> None:
    """A noise floor that is too low for this machine does not make luck believable."""
    world = World()
    noisy = (100_000_000, 160_000_000, 40_000_000, 100_000_000)
    for key, tree, gains in ((KEYS[0], TREES[0], STEADY), (KEYS[1], TREES[1], noisy)):
        world.say(key, confirm(tree, gains))
    before = {row.tree: row.gain_anchor_lower_nano or 0 for row in rows(world)}
    for key in KEYS[:2]:
        for _ in range(10):
            world.say(key, confirm(TREES[2], (0, 0)))
    after = {row.tree: row.gain_anchor_lower_nano or 0 for row in rows(world)}
    lost = {tree: before[tree] - after[tree] for tree in before}
    assert lost[TREES[1]] > 3 * lost[TREES[0]]


def test_more_tries_lower_the_bound_and_retracting_them_does_not_raise_it() -> None:
    world = World()
    world.say(KEYS[0], confirm(TREES[0], STEADY))
    alone = rows(world)[0].gain_anchor_lower_nano
    failures = [world.say(KEYS[0], confirm(TREES[1], (0, 0))) for _ in range(10)]
    lucky = rows(world)[0].gain_anchor_lower_nano
    assert alone is not None
    assert lucky is not None
    assert lucky < alone
    for failure in failures:
        world.say(KEYS[0], retract(failure.id))
    (row,) = rows(world)
    assert (row.tries, row.gain_anchor_lower_nano) == (11, lucky)


def test_the_best_of_several_results_stands_for_a_tree() -> None:
    world = World()
    world.say(KEYS[0], confirm(TREES[0], SMALL))
    better = world.say(KEYS[1], confirm(TREES[0], STEADY))
    (row,) = rows(world)
    assert (row.result, row.author) == (better.id, KEYS[1].public)


def test_a_metric_of_zero_is_a_failure_and_never_ranks() -> None:
    world = World()
    zeros = tuple(2 * NANO for _ in range(4))  # the gain if a crash counted as a score of 0
    world.say(KEYS[0], confirm(TREES[0], zeros))
    (row,) = rows(world)
    assert row.rank is None


def test_implausible_gains_are_flagged_and_absurd_ones_still_shown() -> None:
    world = World()
    world.say(KEYS[0], confirm(TREES[0], (300_000_000,) * 4))
    absurd = confirm(TREES[1], (0,) * 4)
    runs = tuple(
        replace(one, metric_nano=MAX_INT, secret_nano=MAX_INT)
        if one.role == "base"
        else replace(one, metric_nano=-MAX_INT, secret_nano=-MAX_INT)
        for one in absurd.runs
    )
    world.say(KEYS[1], replace(absurd, runs=runs))
    first, second = rows(world)
    assert first.gain_anchor_nano == MAX_INT
    assert (first.flags, second.flags) == (("implausible",), ("implausible",))


def test_only_flags_of_the_boards_own_are_shown() -> None:
    world = World()
    claim = confirm(TREES[0], STEADY)
    flagged = tuple(replace(one, flags=("contended", "best-ever")) for one in claim.runs)
    world.say(KEYS[0], replace(claim, runs=flagged))
    assert rows(world)[0].flags == ("contended",)


def opinions(*said: tuple[SigningKey, Any]) -> tuple[int, int, int, int, int]:
    """Return the other authors' verdicts on the first tree, claimed by the first key."""
    world = World()
    claim = world.say(KEYS[0], confirm(TREES[0], STEADY))
    for key, body in said:
        world.say(key, body(key, claim.id) if callable(body) else body)
    (row,) = rows(world)
    return row.confirmed, row.smaller, row.refuted, row.unsupported, row.adopted


def says(
    verdict: str, gains: Sequence[int] = STEADY, *, is_aimed: bool = True, **more: Any
) -> Callable[[SigningKey, bytes], RerunBody]:
    """Return a function that makes a re-run of the first tree by a key, in answer to a claim."""

    def made(key: SigningKey, target: bytes) -> RerunBody:
        aim = target if is_aimed else None
        return rerun(key, TREES[0], gains, verdict, target=aim, **more)

    return made


NOTHING = (0, 1, 0, -1)
A_FIFTH = (20_000_000, 21_000_000, 19_000_000, 20_000_000, 20_000_000, 20_000_000)


def test_others_are_keys_that_re_ran_the_claim() -> None:
    tree = TREES[0]
    yes, no = says("confirmed"), says("refuted", NOTHING)
    assert opinions() == (0, 0, 0, 0, 0)
    assert opinions((KEYS[1], yes), (KEYS[2], no)) == (1, 0, 1, 0, 0)
    assert opinions((KEYS[1], yes), (KEYS[1], yes)) == (1, 0, 0, 0, 0), "keys, not runs"
    assert opinions((KEYS[1], yes), (KEYS[1], no)) == (0, 0, 1, 0, 0), "the last counts"
    assert opinions((KEYS[0], yes), (KEYS[0], adopt(tree))) == (0, 0, 0, 0, 0), "never the author"
    assert opinions((KEYS[1], adopt(tree)), (KEYS[2], adopt(tree))) == (0, 0, 0, 0, 2)
    assert opinions((KEYS[1], adopt(tree, unverified=True))) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("verdict", "gains"),
    [
        ("confirmed", (-1, -1, -1)),
        ("confirmed", STEADY[:2]),  # two pairs say nothing about their noise
        ("confirmed", (9_000_000, 10_000_000, 11_000_000)),  # one deviation, on average
        ("confirmed", A_FIFTH),  # a gain, but not the claimed one
        ("smaller", STEADY),
        ("smaller", NOTHING),
        ("refuted", NOTHING[:2]),
        ("refuted", STEADY),
        ("refuted", A_FIFTH),
        ("refuted", (40_000_000, 60_000_000, 50_000_000)),  # half of it exists
    ],
)
def test_a_verdict_that_its_own_runs_do_not_bear_out_is_shown_as_that(
    verdict: str, gains: Sequence[int]
) -> None:
    assert opinions((KEYS[1], says(verdict, gains))) == (0, 0, 0, 1, 0)


def test_what_was_claimed_and_less_than_it_are_two_words() -> None:
    less, none = says("smaller", A_FIFTH), says("refuted", NOTHING)
    assert opinions((KEYS[1], less), (KEYS[2], none)) == (0, 1, 1, 0, 0)


def test_without_the_claim_that_it_answers_only_what_is_worse_is_refuted() -> None:
    worse = (-60_000_000, -61_000_000, -59_000_000)
    assert opinions((KEYS[1], says("refuted", NOTHING, is_aimed=False))) == (0, 0, 0, 1, 0)
    assert opinions((KEYS[1], says("refuted", worse, is_aimed=False))) == (0, 0, 1, 0, 0)


@pytest.mark.parametrize("verdict", ["unconfirmed", "unrunnable"])
def test_who_found_nothing_out_is_not_counted(verdict: str) -> None:
    assert opinions((KEYS[1], says(verdict))) == (0, 0, 0, 0, 0)


def test_an_rerun_against_another_base_answers_another_question() -> None:
    against = says("refuted", (-50_000_000,) * 4, base=TREES[3])
    assert opinions((KEYS[1], against)) == (0, 0, 0, 0, 0)


def test_a_claim_ranks_by_the_split_on_which_it_gains_less() -> None:
    """Screens select on the public split; only the author knows the secret one."""
    world = World()
    selected = confirm(TREES[0], STEADY)
    runs = tuple(
        replace(one, secret_nano=2 * NANO - SMALL[seed % 4] * (one.role == "candidate"))
        for seed, one in ((one.seed, one) for one in selected.runs)
    )
    world.say(KEYS[0], replace(selected, runs=runs))
    world.say(KEYS[1], confirm(TREES[1], (70_000_000,) * 4))
    first, second = rows(world)
    assert (first.tree, second.tree) == (TREES[1], TREES[0])
    assert second.gain_anchor_nano == 20_000_000, "and shows that gain"
    turned = tuple(
        replace(one, metric_nano=one.secret_nano, secret_nano=one.metric_nano) for one in runs
    )
    other = World()
    other.say(KEYS[0], replace(selected, runs=turned))
    (row,) = rows(other)
    assert row.gain_anchor_nano == 20_000_000


def row_after_reruns(*said: tuple[SigningKey, Any], base: bytes = BASELINE) -> Row:
    """Return the first tree's row, after a claim of STEADY and other authors' verdicts on it."""
    world = World()
    claim = world.say(KEYS[0], confirm(TREES[0], STEADY, base=base, anchors=STEADY))
    for key, made in said:
        world.say(key, made(key, claim.id))
    (row,) = rows(world)
    return row


def test_an_rerun_tree_ranks_by_what_rerun_authors_found_next_to_the_anchor() -> None:
    claimed = row_after_reruns()
    assert (claimed.rerun_pairs, claimed.gain_rerun_lower_nano) == (0, None)
    assert claimed.bound_nano == claimed.gain_anchor_lower_nano
    found = (90_000_000, 91_000_000, 89_000_000, 90_000_000)
    row = row_after_reruns((KEYS[1], says("confirmed", found)))
    assert (row.rerun_pairs, row.gain_rerun_nano) == (4, 90_000_000)
    assert row.bound_nano == row.gain_rerun_lower_nano
    assert row.gain_anchor_lower_nano == claimed.gain_anchor_lower_nano, "its own column"
    assert claimed.bound_nano is not None
    assert row.bound_nano is not None
    assert row.bound_nano > claimed.bound_nano, "who re-ran it selected nothing"
    less = row_after_reruns((KEYS[1], says("smaller", A_FIFTH)))
    assert less.bound_nano is not None
    assert less.bound_nano < claimed.bound_nano


def test_against_another_base_rerun_authors_need_runs_of_the_anchor() -> None:
    base = TREES[3]
    without = row_after_reruns((KEYS[1], says("confirmed", base=base)), base=base)
    assert (without.confirmed, without.gain_rerun_nano) == (1, None)
    few = row_after_reruns((KEYS[1], says("confirmed", base=base, anchors=STEADY[:3])), base=base)
    assert few.gain_rerun_nano is None
    row = row_after_reruns((KEYS[1], says("confirmed", base=base, anchors=SMALL)), base=base)
    assert (row.gain_rerun_nano, row.rerun_pairs) == (20_000_000, 4)


def test_neither_many_keys_nor_low_figures_move_a_rank_that_one_key_bears_out() -> None:
    honest = (KEYS[1], says("confirmed", STEADY))
    low = (60_000_000, 61_000_000, 59_000_000, 60_000_000)
    alone = row_after_reruns(honest).bound_nano
    assert row_after_reruns(honest, (KEYS[2], says("confirmed", low))).bound_nano == alone
    assert row_after_reruns((KEYS[2], says("confirmed", low)), honest).bound_nano == alone
    many = [(KEYS[number], says("confirmed", STEADY)) for number in (1, 2, 3)]
    assert row_after_reruns(*many).bound_nano == alone


@pytest.mark.parametrize(
    "said",
    [
        says("unconfirmed", A_FIFTH),
        says("refuted", A_FIFTH),
        says("confirmed", A_FIFTH),
    ],
)
def test_only_a_gain_that_is_borne_out_ranks_a_tree(said: Any) -> None:
    assert row_after_reruns((KEYS[1], said)).gain_rerun_nano is None


def test_the_author_reruns_nothing_of_the_own_row() -> None:
    assert row_after_reruns((KEYS[0], says("confirmed"))).gain_rerun_nano is None


def test_a_row_s_metric_is_of_the_runs_that_count() -> None:
    """The first successful run of each seed counts, and not a score of 0 that records a crash."""
    world = World()
    claim = confirm(TREES[0], STEADY)
    first = next(one for one in claim.runs if one.role == "candidate")
    more = (replace(first, metric_nano=9 * NANO), replace(first, seed=99, metric_nano=0))
    world.say(KEYS[0], replace(claim, runs=(*claim.runs, *more)))
    (row,) = rows(world)
    assert row.metric_nano == 2 * NANO - 100_000_000


@pytest.mark.parametrize("ends_with", ["revocation", "equivocation"])
def test_an_author_that_revoked_or_equivocated_counts_for_nothing(ends_with: str) -> None:
    world = World()
    world.say(KEYS[0], confirm(TREES[0], STEADY))
    world.say(KEYS[1], confirm(TREES[1], SMALL))
    world.say(KEYS[0], rerun(KEYS[0], TREES[1], STEADY, "confirmed"))
    world.say(KEYS[0], adopt(TREES[1]))
    before = board(world.records)
    assert {row.tree: row.confirmed + row.adopted for row in before.rows} == {
        TREES[0]: 0,
        TREES[1]: 2,
    }
    if ends_with == "revocation":
        world.say(KEYS[0], retract(None))
    else:
        world.say(KEYS[0], adopt(TREES[2]), seq=2)
    after = board(world.records)
    (row,) = after.rows
    assert (row.tree, row.confirmed, row.adopted) == (TREES[1], 0, 0)
    assert after.set_digest != before.set_digest


def test_nobody_retracts_or_revokes_for_somebody_else() -> None:
    world = World()
    claim = world.say(KEYS[0], confirm(TREES[0], STEADY))
    before = board(world.records)
    world.say(KEYS[1], retract(claim.id))
    world.say(KEYS[1], retract(None))
    assert board(world.records) == before


def test_a_retracted_result_has_no_row() -> None:
    world = World()
    claim = world.say(KEYS[0], confirm(TREES[0], STEADY))
    world.say(KEYS[0], retract(claim.id))
    assert rows(world) == []


def test_other_tasks_and_classes_have_boards_of_their_own() -> None:
    world = World()
    world.say(KEYS[0], confirm(TREES[0], STEADY))
    world.say(KEYS[0], replace(confirm(TREES[1], STEADY), hardware_class="h200-141g"))
    world.say(KEYS[0], replace(confirm(TREES[2], STEADY), task=hashlib.sha256(b"x").digest()))
    assert [row.tree for row in rows(world)] == [TREES[0]]


def test_where_more_is_better_gains_point_the_other_way() -> None:
    upwards = replace(MANIFEST, metric=replace(MANIFEST.metric, direction="max"))
    world = World()
    falling = confirm(TREES[0], tuple(-gain for gain in STEADY))
    world.say(KEYS[0], replace(falling, task=upwards.id))
    (row,) = board_of(world.records, upwards, CLASS).rows
    assert (row.rank, row.gain_anchor_nano, row.gain_nano) == (1, 100_000_000, 98_700_000)


def test_the_environment_is_a_column() -> None:
    world = World()
    world.say(KEYS[0], confirm(TREES[0], STEADY, env="torch2.14-cpu"))
    assert rows(world)[0].env == Env.of({"torch": "torch2.14-cpu"})


def test_many_rows_without_overlap_are_ranked_in_time() -> None:
    world = World()
    claim = confirm(TREES[0], (0,) * 4)
    quiet = replace(MANIFEST, noise_floor_nano=0)
    for number in range(2_000):
        tree = hashlib.sha256(b"%d" % number).digest()
        runs = tuple(
            run(seed, role, 2 * NANO - (number * 1000 if role == "candidate" else 0))
            for seed in range(4)
            for role in ("base", "candidate")  # type: ignore[arg-type]
        )
        world.say(KEYS[number % 4], replace(claim, tree=tree, runs=runs, task=quiet.id))
    shown = board_of(world.records, quiet, CLASS).rows
    assert [row.rank for row in shown] == list(range(1, 2_001))
    assert shown[0].gain_anchor_nano == 1_999_000
