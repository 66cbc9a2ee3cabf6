"""Boards follow from the set of records alone, and nobody gains by what should not count."""

import hashlib
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.board import RULE, Board, Row, board_of
from protocol.encoding import MAX_INT
from protocol.keys import SigningKey
from protocol.kinds import Env
from protocol.records import Record
from protocol.units import NANO
from tests.protocol.examples import MANIFEST
from tests.protocol.worlds import (
    CLASS,
    KEYS,
    STRANGER,
    TREES,
    World,
    adopt,
    attest,
    confirm,
    retract,
    run,
    worlds,
)

STEADY = (100_000_000, 101_000_000, 99_000_000, 100_000_000)
SMALL = (40_000_000, 41_000_000, 39_000_000, 40_000_000)


def board(records: list[Record]) -> Board:
    """Return the board of a set."""
    return board_of(records, MANIFEST, CLASS)


def rows(world: World) -> list[Row]:
    """Return the board's rows."""
    return list(board(world.records).rows)


@settings(deadline=None, max_examples=60)
@given(worlds(), st.data())
def test_any_order_and_repetition_gives_the_same_board(
    records: list[Record], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(records))
    repeated = shuffled + data.draw(st.lists(st.sampled_from(records or [None]), max_size=5))
    again = board([record for record in repeated if record is not None])
    assert again == board(records)


@settings(deadline=None, max_examples=60)
@given(worlds())
def test_a_board_is_in_order_and_its_digest_covers_it(records: list[Record]) -> None:
    shown = board(records)
    ranks = [row.rank for row in shown.rows]
    ranked = [rank for rank in ranks if rank is not None]
    assert ranks == [*ranked, *[None] * (len(ranks) - len(ranked))]
    assert ranked == sorted(ranked)
    for row in shown.rows:
        assert (row.rank is None) == (row.anchor_pairs < 4)
        assert row.tie == (ranked.count(row.rank) > 1 if row.rank else False)
    # An environment of one entry is sorted as it is.
    encoded = [msgpack.packb(dict(sorted(row.to_value().items()))) for row in shown.rows]  # type: ignore[union-attr]
    context = b"arnode/board/%d\0" % RULE
    expected = context + MANIFEST.id + CLASS.encode() + b"\0" + b"".join(encoded)
    assert shown.board_digest == hashlib.sha256(expected).digest()


@settings(deadline=None, max_examples=60)
@given(worlds())
def test_what_a_board_does_not_read_changes_nothing(records: list[Record]) -> None:
    world = World(list(records))
    world.say(STRANGER, replace(confirm(TREES[0], STEADY), stage="keep"))
    world.say(STRANGER, adopt(TREES[1], unverified=True))
    world.say(STRANGER, adopt(TREES[2], unverified=True), seq=1)
    world.say(STRANGER, retract(records[0].id if records else None))
    world.say(STRANGER, retract(None))
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
    assert (first.gain_nano, first.gain_anchor_nano) == (100_000_000, 40_000_000)
    assert (last.tree, last.rank, last.gain_anchor_lower_nano) == (TREES[0], None, None)
    assert last.gain_nano == 100_000_000


def test_fewer_pairs_are_tries_and_no_rows() -> None:
    world = World()
    world.say(KEYS[0], confirm(TREES[0], STEADY[:1]))
    world.say(KEYS[0], replace(confirm(TREES[1], STEADY), status="timeout"))
    world.say(KEYS[0], replace(confirm(TREES[1], STEADY), stage="keep"))
    assert rows(world) == []
    world.say(KEYS[0], confirm(TREES[2], STEADY))
    (row,) = rows(world)
    assert row.tries == 3


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
    zeros = tuple(2 * NANO for _ in range(4))  # what a crash's 0 would gain
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


def opinions(*said: tuple[SigningKey, Any]) -> tuple[int, int, int]:
    """Return what others say of the first tree, claimed by the first key."""
    world = World()
    world.say(KEYS[0], confirm(TREES[0], STEADY))
    for key, body in said:
        world.say(key, body)
    (row,) = rows(world)
    return row.confirmed, row.refuted, row.adopted


def test_others_are_keys_that_re_ran_the_claim() -> None:
    tree = TREES[0]
    yes, no = (
        lambda key: attest(key, tree, STEADY, "confirmed"),
        lambda key: attest(key, tree, (0, 1, 0), "refuted"),
    )
    assert opinions() == (0, 0, 0)
    assert opinions((KEYS[1], yes(KEYS[1])), (KEYS[2], no(KEYS[2]))) == (1, 1, 0)
    assert opinions((KEYS[1], yes(KEYS[1])), (KEYS[1], yes(KEYS[1]))) == (1, 0, 0), "keys, not runs"
    assert opinions((KEYS[1], yes(KEYS[1])), (KEYS[1], no(KEYS[1]))) == (0, 1, 0), "the last counts"
    assert opinions((KEYS[0], yes(KEYS[0])), (KEYS[0], adopt(tree))) == (0, 0, 0), (
        "never the author"
    )
    assert opinions((KEYS[1], adopt(tree)), (KEYS[2], adopt(tree))) == (0, 0, 2)
    assert opinions((KEYS[1], adopt(tree, unverified=True))) == (0, 0, 0)


def test_an_attestation_must_bear_out_what_it_says() -> None:
    tree, key = TREES[0], KEYS[1]
    assert opinions((key, attest(key, tree, (-1, -1, -1), "confirmed"))) == (0, 0, 0)
    assert opinions((key, attest(key, tree, (1,), "confirmed"))) == (0, 0, 0), "one pair"
    assert opinions((key, attest(key, tree, (0,), "refuted"))) == (0, 0, 0), "one pair"
    assert opinions((key, attest(key, tree, STEADY, "unconfirmed"))) == (0, 0, 0)


def test_an_attestation_against_another_base_answers_another_question() -> None:
    tree, key = TREES[0], KEYS[1]
    against = attest(key, tree, (-5, -5), "refuted", base=TREES[3])
    assert opinions((key, against)) == (0, 0, 0)


@pytest.mark.parametrize("ends_with", ["revocation", "equivocation"])
def test_an_author_that_revoked_or_equivocated_counts_for_nothing(ends_with: str) -> None:
    world = World()
    world.say(KEYS[0], confirm(TREES[0], STEADY))
    world.say(KEYS[1], confirm(TREES[1], SMALL))
    world.say(KEYS[0], attest(KEYS[0], TREES[1], SMALL, "confirmed"))
    world.say(KEYS[0], adopt(TREES[1]))
    before = board(world.records)
    assert [row.confirmed + row.adopted for row in before.rows] == [0, 2]
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
    assert (row.rank, row.gain_anchor_nano, row.gain_nano) == (1, 100_000_000, 100_000_000)


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
