"""The short form of `make bench PART=decisions`: what the rule promises of streams of runs."""

import random
from dataclasses import replace
from statistics import fmean

import pytest

from tools.bench.decisions import AGAIN_NOISES, CLAIMS, NULLS, ask
from tools.bench.followers import Author, Follower
from tools.bench.rivals import keep_if_lower
from tools.bench.streams import Node
from tools.bench.swarm import runs_to
from tools.bench.worlds import RUNS_A_NIGHT, Machine

NIGHTS, WEEKS = 150, 25


@pytest.mark.soak
def test_a_night_comes_nearly_as_far_as_believing_everything_and_never_takes_in_a_null() -> None:
    nights = [Node(Machine(random.Random(n))).work(RUNS_A_NIGHT) for n in range(NIGHTS)]
    believed = [keep_if_lower(Machine(random.Random(n)), RUNS_A_NIGHT) for n in range(NIGHTS)]
    assert fmean(one.gain for one in nights) >= 0.75 * fmean(one.gain for one in believed)
    assert sum(one.false for one in nights) <= 0.01 * sum(one.adopted for one in nights)
    assert sum(one.false for one in believed) >= 0.5 * sum(one.adopted for one in believed)


@pytest.mark.soak
def test_a_week_comes_as_far() -> None:
    runs = 7 * RUNS_A_NIGHT
    weeks = [Node(Machine(random.Random(n))).work(runs) for n in range(WEEKS)]
    believed = [keep_if_lower(Machine(random.Random(n)), runs) for n in range(WEEKS)]
    assert fmean(one.gain for one in weeks) >= 0.9 * fmean(one.gain for one in believed)
    assert sum(one.false for one in weeks) <= 0.01 * sum(one.adopted for one in weeks)


def test_where_nothing_is_a_gain_nothing_is_adopted() -> None:
    streams = [
        Node(Machine(random.Random(n)), propose=lambda _chance: 0.0).work(1_000) for n in range(8)
    ]
    assert sum(one.adopted > 0 for one in streams) <= 1


@pytest.mark.soak
@pytest.mark.parametrize(("liars", "most_wasted"), [(6, 0.15), (12, 0.30)])
def test_liars_soon_come_last(liars: int, most_wasted: float) -> None:
    wasted = spent = 0
    for number in range(12):
        authors = [Author(is_liar=one < liars) for one in range(20)]
        node = Follower(Machine(random.Random(number)), authors=authors)
        worked = node.work(7 * RUNS_A_NIGHT)
        assert worked.false == 0
        spent += sum(runs for _, runs in node.slots)
        wasted += sum(runs for author, runs in node.slots if author.is_liar)
    assert 0 < wasted <= 1.2 * most_wasted * spent  # the bench has the narrow interval


@pytest.mark.soak
def test_eight_nodes_are_several_times_as_fast_as_one_and_liars_hold_them_up_little() -> None:
    alone, together, with_liars = (_runs_to_both(*who) for who in ((1, 0), (8, 0), (8, 3)))
    assert alone[0] >= 2.5 * together[0]
    assert alone[1] >= 5.0 * together[1]
    assert with_liars[0] <= 1.6 * together[0]
    assert with_liars[1] <= 1.3 * together[1]


def _runs_to_both(nodes: int, liars: int) -> list[float]:
    seeds = [runs_to((40.0, 150.0), nodes, liars, seed) for seed in range(3)]
    return [fmean(at.head or 0 for at in of_one) for of_one in zip(*seeds, strict=True)]


@pytest.mark.soak
@pytest.mark.parametrize("name", NULLS)
def test_no_kind_of_noise_makes_nulls_pass(name: str) -> None:
    chance, count = random.Random(name), 200
    confirmed = sum(ask(NULLS[name], chance)[0].verdict == "confirmed" for _ in range(count))
    assert confirmed <= 0.09 * count


@pytest.mark.parametrize("name", AGAIN_NOISES)
def test_a_head_is_taken_back_on_evidence_against_it_and_hardly_ever_for_a_lack_of_it(
    name: str,
) -> None:
    chance, count = random.Random(name), 60

    def taken_back(gain: float) -> int:
        questions = (replace(AGAIN_NOISES[name], gain=gain) for _ in range(count))
        return sum(ask(one, chance)[0].verdict == "refuted" for one in questions)

    assert taken_back(0.5) <= 0.05 * count
    assert taken_back(-2.0) >= 0.9 * count


@pytest.mark.soak
def test_forged_claims_are_refuted_and_true_ones_confirmed() -> None:
    chance, count = random.Random(1), 150
    forged = [ask(CLAIMS["forged_four_sd"], chance) for _ in range(count)]
    true = [ask(CLAIMS["two_sd_there"], chance) for _ in range(count)]
    assert sum(one.verdict == "refuted" for one, _ in forged) >= 0.92 * count
    assert sum(one.verdict == "confirmed" for one, _ in true) >= 0.92 * count
    assert fmean(2 * pairs for _, pairs in forged) <= 13
