"""The rule as it is written, and its error rates and power by simulation."""

import math
import random
from dataclasses import replace

import pytest

from protocol.rule import (
    AGAIN,
    DEFAULT,
    POWER,
    QUICK,
    VERIFY,
    Claim,
    Judgement,
    Policy,
    evidence_of,
    judge,
    passes_rechecks,
    passes_screen,
    passes_so_far,
    policy_of,
    screening_policy,
    suffices,
    trial_alpha,
)
from protocol.statistics import GainEvidence, NoiseEstimate, PairedEvidence
from protocol.styles import MOST_PAIRS, RUNS, Style

NOISE = NoiseEstimate(30.0, 30.0)


def pairs_with_gain(gain: float, count: int) -> PairedEvidence:
    """Return `count` pairs with exactly this gain, with a spread of about one."""
    base = tuple((-1.0) ** i for i in range(count))
    return PairedEvidence(NOISE, base, tuple(value - gain for value in base))


def simulate(
    gain: float, policy: Policy, chance: random.Random, claim: Claim | None = None
) -> tuple[Judgement, int]:
    base: list[float] = []
    candidate: list[float] = []
    noise = NoiseEstimate(sum(chance.gauss(0, 1) ** 2 for _ in range(20)), 20.0)
    while True:
        base.append(chance.gauss(0, 1))
        candidate.append(chance.gauss(-gain, 1))
        judgement = judge(PairedEvidence(noise, tuple(base), tuple(candidate)), policy, claim=claim)
        if judgement.verdict is not None:
            return judgement, len(base)


def upper_end(successes: int, count: int) -> float:
    """Return the upper end of Wilson's 95 % interval."""
    rate, z = successes / count, 1.959964
    spread = math.sqrt(rate * (1 - rate) / count + (z / (2 * count)) ** 2)
    return (rate + z * z / (2 * count) + z * spread) / (1 + z * z / count)


def test_the_defaults_are_those_of_the_published_grid() -> None:
    assert Policy() == Policy(
        screen_sd=0.75,
        rechecks_sd=(0.25,),
        reference_runs=1,
        keeps_per_promotion_trial=8,
        alpha=0.02,
        max_pairs=20,
        futility_probability=0.3,
        futility_sd=0.75,
        promotion_trial_hours=12.0,
    )
    assert (POWER.alpha, POWER.max_pairs) == (0.05, 16)
    assert replace(POWER, max_pairs=20) == VERIFY
    assert (POWER.futility_probability, POWER.futility_sd) == (0.1, 0.5)


def test_a_screen_passes_three_quarters_of_a_deviation_below_its_base_and_no_higher() -> None:
    assert passes_screen(9.5, 11.0, 2.0, DEFAULT)
    assert not passes_screen(9.51, 11.0, 2.0, DEFAULT)
    assert not passes_screen(math.nan, 11.0, 2.0, DEFAULT)


def test_a_recheck_passes_a_quarter_of_a_deviation_below_its_base_and_no_higher() -> None:
    assert passes_rechecks([10.5], [11.0], 2.0, DEFAULT)
    assert not passes_rechecks([10.51], [11.0], 2.0, DEFAULT)


def test_of_differences_each_recheck_asks_more_of_their_mean() -> None:
    policy = screening_policy(Style.drawing(2), DEFAULT)
    levels = [11.0, 12.0, 13.0]
    assert passes_rechecks([10.5], levels[:1], 2.0, policy)
    assert passes_rechecks([10.5, 10.5], levels[:2], 2.0, policy)
    assert not passes_rechecks([10.5, 10.51], [11.0, 11.0], 2.0, policy)
    assert passes_rechecks([9.0, 10.0, 11.0], levels, 2.0, policy)
    assert not passes_rechecks([9.0, 10.0, 11.01], levels, 2.0, policy)
    assert (policy.screens, policy.reference_runs) == (6, 1)


def test_of_differences_fewer_rechecks_suffice_for_a_large_average() -> None:
    policy = screening_policy(Style.drawing(2), DEFAULT)

    def is_enough(*gains: float) -> bool:
        levels = [50.0, 50.0, 51.0, 52.0, 53.0]
        own = [level - gain for level, gain in zip(levels, gains, strict=False)]
        return suffices(own, levels, 2.0, policy)

    assert not is_enough()
    assert not is_enough(100.0)
    assert is_enough(16.0, 16.0)
    assert not is_enough(15.9, 100.0), "the screen counts as well"
    assert not is_enough(100.0, 15.9)
    assert [is_enough(2.0, 4.0, last) for last in (15.9, 16.0)] == [False, True]
    assert [is_enough(2.0, 4.0, 4.0, last) for last in (12.9, 13.0)] == [False, True]
    assert [is_enough(2.0, 4.0, 4.0, 4.0, last) for last in (7.9, 8.0)] == [False, True]
    assert not suffices([0.0, 0.0, 0.0], [50.0, 50.0, 50.0], 2.0, DEFAULT)


def test_of_timings_the_two_are_rechecks() -> None:
    """A busy machine at the line's one reference run would favour every screen."""
    policy = screening_policy(replace(Style.drawing(2), is_measured=True), DEFAULT)
    levels = [50.0, 50.0, 51.0]
    assert not suffices([0.0, 0.0], levels, 2.0, policy)
    assert suffices([0.0, 26.0, 27.0], levels, 2.0, policy)
    assert not suffices([0.0, 26.0, 27.1], levels, 2.0, policy)


def test_no_pairs_and_one_overwhelming_pair_ask_for_another() -> None:
    assert judge(pairs_with_gain(0, 0), DEFAULT).verdict is None
    one = judge(pairs_with_gain(50, 1), DEFAULT)
    assert one.log_e > -math.log(DEFAULT.alpha)
    assert one.verdict is None


def test_two_pairs_confirm_a_large_gain() -> None:
    judgement = judge(pairs_with_gain(6, 2), DEFAULT)
    assert judgement.verdict == "confirmed"
    assert judgement.lower < judgement.gain < judgement.upper
    assert judgement.gain == pytest.approx(6 - judgement.evidence.sd / 4)
    assert judgement.claim is None


def test_a_gain_below_the_minimum_is_never_confirmed() -> None:
    strong = pairs_with_gain(6, 20)
    assert judge(strong, DEFAULT, minimum_gain=6.0 - 1e-9).verdict == "confirmed"
    assert judge(strong, DEFAULT, minimum_gain=6.1).verdict == "unconfirmed"


def test_without_a_claim_a_worse_candidate_is_unconfirmed() -> None:
    assert judge(pairs_with_gain(-6, 2), DEFAULT).verdict == "unconfirmed"


def test_a_policy_that_can_refute_needs_no_claim_for_it_but_evidence() -> None:
    slightly, clearly = pairs_with_gain(-0.5, 19), pairs_with_gain(-6, 2)
    assert (judge(slightly, AGAIN).verdict, judge(clearly, AGAIN).verdict) == (None, "refuted")
    assert judge(pairs_with_gain(-50, 1), AGAIN).verdict is None, "one pair is no evidence"
    judgement = judge(clearly, AGAIN)
    assert (judgement.claim, judgement.is_gain) == (None, False)
    assert judge(pairs_with_gain(-0.5, 20), AGAIN).verdict == "unconfirmed"
    assert judge(pairs_with_gain(6, 2), AGAIN).verdict == "confirmed"


def test_a_claim_on_a_worse_candidate_is_refuted_but_not_by_one_pair() -> None:
    claim = Claim(gain=6.0)
    one = judge(pairs_with_gain(-50, 1), DEFAULT, claim=claim)
    assert (one.verdict, one.claim) == (None, "open")
    two = judge(pairs_with_gain(-6, 2), DEFAULT, claim=claim)
    assert (two.verdict, two.claim) == ("refuted", "does_not_hold")


def test_a_claim_of_a_small_loss_is_refuted_by_being_worse() -> None:
    # A simplification may claim a small loss. A clearly larger loss is refuted.
    pairs, claim = pairs_with_gain(-1.2, 20), Claim(gain=-1.0)
    assert pairs.log_e_absent(claim.least) < math.log(20)
    assert judge(pairs, POWER, claim=claim).verdict == "refuted"


def test_a_claim_is_measured_by_the_larger_of_its_half_and_its_bound() -> None:
    assert Claim(gain=4.0).least == 2.0
    assert Claim(gain=4.0, lower=1.0).least == 2.0
    assert Claim(gain=4.0, lower=3.5).least == 3.5
    pairs = pairs_with_gain(0.0, 4)
    assert judge(pairs, POWER, claim=Claim(gain=4.0)).verdict is None
    assert judge(pairs, POWER, claim=Claim(gain=4.0, lower=3.5)).verdict == "refuted"


def test_where_less_is_there_than_claimed_it_is_smaller_and_not_refuted() -> None:
    pairs = pairs_with_gain(3, 4)
    judgement = judge(pairs, POWER, claim=Claim(gain=16.0))
    assert pairs.log_e_absent(8.0) > math.log(20)
    assert (judgement.verdict, judgement.claim) == ("smaller", "smaller")
    assert judgement.is_gain
    quick = judge(pairs, QUICK, claim=Claim(gain=16.0))
    assert quick.verdict == "smaller", "that it is less is what a quick look can tell"


def test_what_was_claimed_is_not_refuted_while_a_smaller_gain_is_likely() -> None:
    pairs, claim = pairs_with_gain(2, 2), Claim(gain=16.0)
    assert pairs.log_e_absent(8.0) > math.log(20)
    assert pairs.log_e < -math.log(POWER.alpha)
    assert judge(pairs, POWER, claim=claim).verdict is None
    assert judge(pairs, replace(POWER, max_pairs=2), claim=claim).verdict == "refuted"
    assert judge(pairs, replace(QUICK, max_pairs=2), claim=claim).verdict == "unconfirmed"


def test_a_gain_whose_size_the_pairs_leave_open_is_confirmed() -> None:
    judgement = judge(pairs_with_gain(6, 4), DEFAULT, claim=Claim(gain=11.0))
    assert judgement.upper < 11.0
    assert (judgement.verdict, judgement.claim) == ("confirmed", "open")


def test_a_claim_inside_the_interval_holds() -> None:
    judgement = judge(pairs_with_gain(6, 4), DEFAULT, claim=Claim(gain=6.1))
    assert (judgement.verdict, judgement.claim) == ("confirmed", "holds")


def test_the_futility_stop_is_off_for_large_claims() -> None:
    pairs = pairs_with_gain(0.0, 2)
    small, large = 2.4 * pairs.sd, 2.6 * pairs.sd
    assert judge(pairs, DEFAULT, claim=Claim(gain=small)).verdict == "unconfirmed"
    assert judge(pairs, DEFAULT, claim=Claim(gain=large)).verdict is None


def test_the_last_pair_ends_it() -> None:
    patient = replace(DEFAULT, futility_probability=0.0)
    assert judge(pairs_with_gain(0.3, 19), patient).verdict is None
    assert judge(pairs_with_gain(0.3, 20), patient).verdict == "unconfirmed"


def test_an_undecided_claim_above_the_interval_stays_open() -> None:
    patient = replace(DEFAULT, futility_probability=0.0)
    judgement = judge(pairs_with_gain(0.5, 20), patient, claim=Claim(gain=1.5))
    assert judgement.upper < 1.5
    assert (judgement.verdict, judgement.claim) == ("unconfirmed", "open")


def test_nulls_looked_at_after_each_of_forty_pairs_are_rarely_confirmed() -> None:
    policy = Policy(alpha=0.05, max_pairs=40, futility_probability=0.0)
    chance, count = random.Random(20), 1500
    outcomes = [simulate(0.0, policy, chance) for _ in range(count)]
    false = sum(judgement.verdict == "confirmed" for judgement, _ in outcomes)
    # The test must be able to fail: some nulls are confirmed, and all others had all 40 looks.
    assert false > 0
    assert all(pairs == 40 for judgement, pairs in outcomes if judgement.verdict != "confirmed")
    assert upper_end(false, count) <= 0.05


def test_the_full_rule_confirms_at_most_one_null_in_a_hundred() -> None:
    chance, count = random.Random(21), 3000
    false = sum(simulate(0.0, DEFAULT, chance)[0].verdict == "confirmed" for _ in range(count))
    assert upper_end(false, count) <= 0.01


def test_power_mode_confirms_gains_of_two_deviations_in_about_eleven_runs() -> None:
    chance, count = random.Random(22), 500
    outcomes = [simulate(2.0, POWER, chance) for _ in range(count)]
    confirmed = sum(judgement.verdict == "confirmed" for judgement, _ in outcomes)
    assert confirmed / count >= 0.95
    assert 8 <= sum(2 * pairs for _, pairs in outcomes) / count <= 13


def test_fabricated_claims_of_four_deviations_are_refuted_and_honest_ones_are_not() -> None:
    chance, count = random.Random(23), 300
    claim = Claim(gain=4.0)
    fabricated = [simulate(0.0, VERIFY, chance, claim)[0] for _ in range(count)]
    honest = [simulate(4.0, VERIFY, chance, claim)[0] for _ in range(count)]
    assert sum(judgement.verdict == "refuted" for judgement in fabricated) / count >= 0.95
    assert all(judgement.verdict == "confirmed" for judgement in honest)
    assert sum(judgement.claim == "holds" for judgement in honest) / count >= 0.95


def test_fabricated_claims_of_three_deviations_are_refuted_and_honest_ones_are_not() -> None:
    chance, count = random.Random(24), 300
    claim = Claim(gain=3.0)
    fabricated = [simulate(0.0, VERIFY, chance, claim)[0].verdict for _ in range(count)]
    honest = [simulate(3.0, VERIFY, chance, claim)[0].verdict for _ in range(count)]
    assert fabricated.count("refuted") / count >= 0.85
    assert honest.count("refuted") == 0


def test_of_a_claim_of_sixteen_deviations_three_that_are_there_are_found() -> None:
    chance, count = random.Random(25), 200
    verdicts = [simulate(3.0, VERIFY, chance, Claim(gain=16.0))[0].verdict for _ in range(count)]
    assert verdicts.count("smaller") / count >= 0.9
    assert verdicts.count("refuted") / count <= 0.03


# The same rule if pairs are differences, and if they are exact

DIFFERENCES, EXACT = Style.drawing(64), Style(name="exact")


def pairs_of_style(style: Style, *gains: float) -> GainEvidence:
    """Return evidence from pairs of a base at 5 with these gains, on a task of this style."""
    return evidence_of(style, NOISE, [5.0] * len(gains), [5.0 - gain for gain in gains])


def test_a_task_s_style_says_which_evidence_its_pairs_are() -> None:
    runs = pairs_of_style(RUNS, 1.0, 2.0)
    assert runs == PairedEvidence(NOISE, (5.0, 5.0), (4.0, 3.0))
    assert pairs_of_style(DIFFERENCES, 1.0, 2.0).pairs == 2
    assert pairs_of_style(EXACT, 1.0).is_exact
    with pytest.raises(ValueError, match="argument"):
        evidence_of(DIFFERENCES, NOISE, [1.0, 2.0], [1.0])


def test_a_noise_floor_and_the_least_pairs_come_from_the_style() -> None:
    style = Style(name="differences", least_pairs=3, floor_nano=2_000_000_000)
    shown = pairs_of_style(style, 1.0, 1.0)
    assert shown.sd == pytest.approx(2.0)
    assert shown.interval() == (-math.inf, math.inf)


def test_what_an_unknown_spread_takes_longer_is_allowed_for() -> None:
    def most(style: Style, policy: Policy) -> int:
        return policy_of(style, policy).max_pairs

    assert [most(RUNS, one) for one in (DEFAULT, POWER, QUICK)] == [20, 16, 4]
    assert [most(DIFFERENCES, one) for one in (DEFAULT, POWER, QUICK)] == [29, 25, 13]
    assert [most(Style.drawing(1), one) for one in (DEFAULT, QUICK)] == [MOST_PAIRS, MOST_PAIRS]
    assert most(DIFFERENCES, replace(VERIFY, max_pairs=40)) == 40
    assert [most(EXACT, one) for one in (DEFAULT, QUICK)] == [1, 1]
    assert policy_of(DIFFERENCES, DEFAULT).alpha == DEFAULT.alpha
    hopes = [policy_of(DIFFERENCES, one).futility_probability for one in (DEFAULT, POWER, AGAIN)]
    assert hopes == [0.2, 0.1, 0.0]


def test_differences_confirm_refute_and_give_up_like_runs() -> None:
    wobble = [0.2 * (-1) ** n for n in range(16)]
    policy = policy_of(DIFFERENCES, replace(DEFAULT, alpha=trial_alpha(1)))

    def verdict(gain: float, claim: Claim | None = None, pairs: int = 16) -> str | None:
        shown = pairs_of_style(DIFFERENCES, *[gain + one for one in wobble[:pairs]])
        return judge(shown, policy, claim=claim).verdict

    assert verdict(2.0) == "confirmed"
    assert verdict(2.0, pairs=9) is None, "an unseen pair is still too large a part of all"
    assert verdict(-2.0) == "unconfirmed"
    assert verdict(-2.0, Claim(gain=1.0)) == "refuted"
    assert verdict(2.0, Claim(gain=8.0)) == "smaller"
    assert verdict(0.0, Claim(gain=8.0)) == "refuted"


@pytest.mark.parametrize("policy", [DEFAULT, POWER, VERIFY, AGAIN])
def test_ties_are_given_up_and_never_pass(policy: Policy) -> None:
    patient = policy_of(DIFFERENCES, policy)
    for pairs in range(1, patient.max_pairs + 1):
        judgement = judge(pairs_of_style(DIFFERENCES, *[0.0] * pairs), patient)
        assert judgement.verdict in (None, "unconfirmed")
        assert judgement.evidence_share == 0
    assert judgement.verdict == "unconfirmed"


def test_one_exact_pair_decides_by_its_sign() -> None:
    verdicts = [judge(pairs_of_style(EXACT, gain), DEFAULT).verdict for gain in (1e-6, 0.0, -1e-6)]
    assert verdicts == ["confirmed", "unconfirmed", "unconfirmed"]
    assert judge(pairs_of_style(EXACT), DEFAULT).verdict is None
    assert judge(pairs_of_style(EXACT, -1.0), AGAIN).verdict == "refuted"
    assert judge(pairs_of_style(EXACT, 0.0), AGAIN).verdict == "unconfirmed"
    assert judge(pairs_of_style(EXACT, 0.5), DEFAULT, minimum_gain=1.0).verdict == "unconfirmed"


@pytest.mark.parametrize(
    ("gain", "verdict", "word"),
    [
        (2.0, "confirmed", "holds"),
        (1.5, "confirmed", "holds"),
        (1.499999999, "smaller", "smaller"),
        (0.0, "refuted", "does_not_hold"),
        (-1.0, "refuted", "does_not_hold"),
    ],
)
def test_of_an_exact_claim_all_is_there_or_it_is_not(gain: float, verdict: str, word: str) -> None:
    judgement = judge(pairs_of_style(EXACT, gain), VERIFY, claim=Claim(gain=1.5, lower=0.1))
    assert (judgement.verdict, judgement.claim) == (verdict, word)


def test_an_exact_claim_of_a_small_loss_is_only_refuted_by_a_larger_one() -> None:
    claim = Claim(gain=-1.0)
    found = [judge(pairs_of_style(EXACT, gain), VERIFY, claim=claim) for gain in (-1.0, -1.1)]
    assert [(one.verdict, one.claim) for one in found] == [
        ("unconfirmed", "holds"),
        ("refuted", "does_not_hold"),
    ]


@pytest.mark.parametrize("style", [DIFFERENCES, EXACT])
def test_reported_figures_of_a_judgement_are_finite(style: Style) -> None:
    judgement = judge(pairs_of_style(style, *[1.0] * 12), DEFAULT)
    assert math.isfinite(1000 * judgement.log_e)
    assert judgement.lower is not None
    assert judgement.upper is not None
    assert judgement.evidence_share == 1.0


@pytest.mark.parametrize(
    ("gain_sd", "least", "most", "most_runs"),
    [(0.0, 0.0, 0.004, 2.2), (3.0, 0.89, 1.0, 8.5), (6.0, 0.99, 1.0, 5.5)],
)
def test_of_drawn_edits_hardly_any_is_kept_by_luck_and_large_gains_take_few_runs(
    gain_sd: float, least: float, most: float, most_runs: float
) -> None:
    policy, chance = screening_policy(Style.drawing(2), DEFAULT), random.Random(3)
    kept, runs, edits = 0, 0, 10_000
    for _ in range(edits):
        own: list[float] = []
        levels: list[float] = []
        while len(own) < policy.screens:
            own.append(chance.gauss(-gain_sd))
            levels.append(chance.gauss())
            runs += 1 + (len(own) > 1)
            if not passes_so_far(own, levels, 1.0, policy):
                break
            if suffices(own, levels, 1.0, policy) or len(own) == policy.screens:
                kept += 1
                break
    assert least <= kept / edits <= most
    assert runs / edits <= most_runs
