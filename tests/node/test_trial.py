"""The next move of a proposal and of a confirmation, on hand-made runs."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from node.line.trial import (
    ANCHOR_PAIRS,
    MAX_BASE_FAILURES,
    MAX_CUT_OFF,
    MetricReading,
    next_of_confirmation,
    next_of_trial,
)
from node.store.jobs import PlannedRun, StoredOutcome
from protocol.rule import DEFAULT, VERIFY, Claim
from protocol.runs import CONTENDED, Role, Run
from protocol.statistics import NoiseEstimate
from protocol.styles import MOST_PAIRS, Style
from tests.node.examples import run

SD_NANO = 10_000_000
BASE_NANO = 2_000_000_000
LEVEL = (BASE_NANO,) * 2
READING = MetricReading(sign=1, noise=NoiseEstimate(ss=30 * 0.01**2, nu=30), policy=DEFAULT)
CRASH = run(None, status="crash", reason="it fell over")
EARLY = replace(CRASH, serve_ms=0)  # before anything was scored


def planned(ordinal: int, role: Role, seed: int, outcome: Run | None) -> PlannedRun:
    """A planned run that ended like `outcome`, or has not ended."""
    stored = None
    if outcome is not None:
        ended = replace(outcome, role=role, seed=seed)
        stored = StoredOutcome(run=ended, log_tail="")
    return PlannedRun(
        job_id=1, ordinal=ordinal, role=role, tree=bytes(32), seed=seed, outcome=stored
    )


def measured(gain_sd: float) -> Run:
    """Return a run with this gain over the base, in standard deviations."""
    return run(BASE_NANO - round(gain_sd * SD_NANO))


def trial(*outcomes: Run | None) -> list[PlannedRun]:
    """The runs of a proposal."""
    return [planned(n, "candidate", n + 1, outcome) for n, outcome in enumerate(outcomes)]


def pairs(*ended: tuple[Run | None, Run | None], first_seed: int = 1) -> list[PlannedRun]:
    """The runs of pairs of (base, candidate), in either order."""
    runs: list[PlannedRun] = []
    for seed, (base, candidate) in enumerate(ended, first_seed):
        order: list[tuple[Role, Run | None]] = [("base", base), ("candidate", candidate)]
        for role, outcome in reversed(order) if seed % 2 else order:
            runs.append(planned(len(runs), role, seed, outcome))
    return runs


def gaining(gain_sd: float, count: int) -> list[tuple[Run | None, Run | None]]:
    """Pairs with a steady gain and a little noise."""
    wobble = (0.0, 0.3, -0.2, 0.1)
    return [
        (measured(wobble[n % 4]), measured(gain_sd + wobble[(n + 1) % 4])) for n in range(count)
    ]


# A proposal


def test_a_proposal_begins_with_its_screen() -> None:
    assert next_of_trial([], LEVEL, READING, is_current=True) == "run"
    assert next_of_trial(trial(None), LEVEL, READING, is_current=True) == "wait"


def test_a_screen_fails_below_three_quarters_of_a_standard_deviation() -> None:
    assert next_of_trial(trial(measured(0.7)), LEVEL, READING, is_current=True) == "discard"
    assert next_of_trial(trial(measured(0.8)), LEVEL, READING, is_current=True) == "run"


def test_a_recheck_decides_on_its_own_run_alone() -> None:
    def move(recheck: Run | None) -> str:
        return next_of_trial(trial(measured(5), recheck), LEVEL, READING, is_current=True)

    assert move(None) == "wait"
    assert move(measured(0.2)) == "discard"
    assert move(measured(0.3)) == "keep"


def test_a_passed_screen_against_a_base_that_moved_on_is_tried_again_on_the_new_one() -> None:
    assert next_of_trial(trial(measured(2)), LEVEL, READING, is_current=False) == "rebase"
    assert next_of_trial(trial(measured(0)), LEVEL, READING, is_current=False) == "discard"


def test_a_failed_recheck_is_not_tried_again_because_the_base_moved_on() -> None:
    runs = trial(measured(5), measured(0.2))
    assert next_of_trial(runs, LEVEL, READING, is_current=False) == "discard"
    runs = trial(measured(5), measured(0.3))
    assert next_of_trial(runs, LEVEL, READING, is_current=False) == "rebase"


@pytest.mark.parametrize("outcomes", [(CRASH,), (measured(2), CRASH)])
def test_a_crash_fails_the_proposal(outcomes: tuple[Run, ...]) -> None:
    assert next_of_trial(trial(*outcomes), LEVEL, READING, is_current=True) == "fail"


def test_a_maximised_metric_is_read_with_its_sign_turned() -> None:
    reading = replace(READING, sign=-1)
    assert next_of_trial(trial(measured(-2)), LEVEL, reading, is_current=True) == "run"
    assert next_of_trial(trial(measured(2)), LEVEL, reading, is_current=True) == "discard"


# A confirmation


def confirmation_move(runs: Sequence[PlannedRun], *, needs_anchor: bool = False) -> str:
    """Return the next move of a confirmation."""
    return next_of_confirmation(runs, READING, needs_anchor=needs_anchor).move


def test_a_confirmation_begins_with_a_pair_and_waits_for_both_halves() -> None:
    assert confirmation_move([]) == "pair"
    assert confirmation_move(pairs((measured(0), None))) == "wait"
    assert confirmation_move(pairs((None, measured(5)))) == "wait"


def test_one_pair_settles_no_gain_however_large() -> None:
    assert confirmation_move(pairs((measured(0), measured(50)))) == "pair"


def test_pairs_are_looked_at_one_by_one_and_the_first_verdict_stands() -> None:
    good, bad = gaining(6, 2), gaining(-6, 3)
    confirmation = next_of_confirmation(pairs(*good, *bad), READING, needs_anchor=False)
    assert confirmation.judgement is not None
    assert confirmation.judgement.verdict == "confirmed"
    assert confirmation.move == "pass"
    assert confirmation.latest is not None
    assert confirmation.latest.gain < confirmation.judgement.gain
    # The other way round the first look already gives up.
    early = next_of_confirmation(pairs(*bad, *good), READING, needs_anchor=False)
    assert early.move == "miss"


def test_a_confirmed_stack_runs_on_to_the_pairs_its_anchor_needs() -> None:
    for count in (2, 3):
        assert confirmation_move(pairs(*gaining(8, count))) == "pair"
    assert confirmation_move(pairs(*gaining(8, ANCHOR_PAIRS))) == "pass"


def test_a_stack_on_another_head_than_the_baseline_is_measured_next_to_the_anchor() -> None:
    runs = pairs(*gaining(8, ANCHOR_PAIRS))
    assert confirmation_move(runs, needs_anchor=True) == "anchors"
    seeds = [run.seed for run in runs if run.role == "base"]
    waiting = [planned(8 + n, "anchor", seed, None) for n, seed in enumerate(seeds)]
    assert confirmation_move([*runs, *waiting], needs_anchor=True) == "wait"
    ended = [planned(8 + n, "anchor", seed, measured(-3)) for n, seed in enumerate(seeds)]
    assert confirmation_move([*runs, *ended], needs_anchor=True) == "pass"


def test_anchors_are_no_pairs() -> None:
    runs = pairs(*gaining(8, ANCHOR_PAIRS))
    anchors = [planned(8 + n, "anchor", n + 1, CRASH) for n in range(ANCHOR_PAIRS)]
    confirmation = next_of_confirmation([*runs, *anchors], READING, needs_anchor=True)
    assert len(confirmation.pairs) == ANCHOR_PAIRS
    assert confirmation.move == "pass"


def test_null_pairs_end_unconfirmed() -> None:
    confirmation = next_of_confirmation(pairs(*gaining(0, 3)), READING, needs_anchor=True)
    assert confirmation.move == "miss"
    assert confirmation.judgement is not None
    assert confirmation.judgement.verdict == "unconfirmed"


def test_a_gain_too_small_for_the_audit_is_never_confirmed() -> None:
    blind = replace(READING, minimum_gain=1.0)
    confirmation = next_of_confirmation(
        pairs(*gaining(8, DEFAULT.max_pairs)), blind, needs_anchor=False
    )
    assert confirmation.move == "miss"


def test_a_gain_is_reduced_by_what_the_source_could_know_by_heart() -> None:
    runs = pairs(*gaining(8, ANCHOR_PAIRS))
    plain = next_of_confirmation(runs, READING, needs_anchor=False)
    known = next_of_confirmation(
        runs, replace(READING, memorised=3 * READING.noise.sd), needs_anchor=False
    )
    assert plain.latest is not None
    assert known.latest is not None
    assert plain.latest.gain - known.latest.gain == pytest.approx(3 * READING.noise.sd)
    all_of_it = replace(READING, memorised=8 * READING.noise.sd)
    assert next_of_confirmation(runs, all_of_it, needs_anchor=False).move == "miss"


def test_what_could_be_known_by_heart_refutes_no_claim() -> None:
    """A re-run shows its runs, which confirm the claim."""
    claim = Claim(gain=8 * READING.noise.sd)
    known = replace(READING, memorised=10 * READING.noise.sd, policy=VERIFY)
    for count in range(2, VERIFY.max_pairs + 1):
        found = next_of_confirmation(
            pairs(*gaining(8, count)), known, needs_anchor=False, claim=claim
        )
        assert found.verdict != "refuted"
        honest = next_of_confirmation(
            pairs(*gaining(-8, count)), known, needs_anchor=False, claim=claim
        )
        assert honest.verdict == "refuted"
    assert found.judgement is not None
    assert found.judgement.verdict == "unconfirmed"


def test_a_base_that_crashes_is_run_once_more_in_its_pair() -> None:
    runs = pairs((EARLY, measured(5)))
    confirmation = next_of_confirmation(runs, READING, needs_anchor=False)
    assert (confirmation.move, confirmation.unfinished) == ("again", runs[1].run)
    waiting = [*runs, planned(2, "base", 1, None)]
    assert confirmation_move(waiting) == "wait"
    whole = [*runs, planned(2, "base", 1, measured(0))]
    confirmation = next_of_confirmation(whole, READING, needs_anchor=False)
    assert confirmation.move == "pair"
    assert [pair.base.status for pair in confirmation.pairs] == ["ok"]


@pytest.mark.parametrize("is_same_pair", [True, False])
def test_a_base_that_crashes_twice_ends_the_trial_by_its_own_fault(is_same_pair: bool) -> None:
    once = pairs((EARLY, measured(5)))
    if is_same_pair:
        runs = [*once, planned(2, "base", 1, EARLY)]
    else:
        runs = [*once, planned(2, "base", 1, measured(0))]
        runs += pairs((EARLY, measured(5)), first_seed=2)
    confirmation = next_of_confirmation(runs, READING, needs_anchor=False)
    assert (confirmation.move, confirmation.is_bases_fault) == ("unrunnable", True)
    assert "it fell over" in confirmation.reason
    assert MAX_BASE_FAILURES == 2


def test_a_base_that_saw_a_row_is_not_run_again() -> None:
    """It knows its metric by then, and could fail whenever that is bad."""
    confirmation = next_of_confirmation(pairs((CRASH, measured(5))), READING, needs_anchor=False)
    assert CRASH.serve_ms
    assert (confirmation.move, confirmation.is_bases_fault) == ("unrunnable", True)


@pytest.mark.parametrize(("flags", "serve_ms"), [((), 0), ((), 800), ((CONTENDED,), 800)])
def test_a_candidate_that_fails_gets_no_second_try(flags: tuple[str, ...], serve_ms: int) -> None:
    """This holds if its load was its own, and always once it saw a row."""
    stopped = replace(CRASH, status="timeout", flags=flags, reason="too slow", serve_ms=serve_ms)
    for base in (measured(0), EARLY):
        confirmation = next_of_confirmation(
            pairs(*gaining(8, 3), (base, stopped)), READING, needs_anchor=False
        )
        assert (confirmation.move, confirmation.is_bases_fault) == ("unrunnable", False)
        assert "too slow" in confirmation.reason


CUT_OFF = replace(CRASH, status="timeout", flags=(CONTENDED,), reason="too slow", serve_ms=0)


@pytest.mark.parametrize("role", ["base", "candidate"])
def test_what_others_cut_off_is_run_again_with_its_seed_twice_in_a_trial(role: Role) -> None:
    def cut_off(ok: Run) -> tuple[Run, Run]:
        return (CUT_OFF, ok) if role == "base" else (ok, CUT_OFF)

    runs = pairs(*gaining(8, 2), cut_off(measured(0)))
    for _ in range(MAX_CUT_OFF):
        confirmation = next_of_confirmation(runs, READING, needs_anchor=False)
        again = confirmation.unfinished
        assert again is not None
        assert (again.role, again.seed, confirmation.was_cut_off) == (role, 3, False)
        whole = [*runs, planned(len(runs), role, 3, measured(8))]
        assert len(next_of_confirmation(whole, READING, needs_anchor=False).pairs) == 3
        runs.append(planned(len(runs), role, 3, CUT_OFF))
    confirmation = next_of_confirmation(runs, READING, needs_anchor=False)
    assert (confirmation.move, confirmation.verdict) == ("unrunnable", "unrunnable")
    assert confirmation.was_cut_off
    assert not confirmation.is_bases_fault
    assert confirmation.measured(bytes(32)).says_nothing


def test_what_others_cut_off_counts_over_all_pairs_of_a_trial() -> None:
    runs = pairs(*((measured(0), CUT_OFF) for _ in range(3)))
    for seed in (1, 2):
        runs.append(planned(len(runs), "candidate", seed, measured(8)))
    confirmation = next_of_confirmation(runs, READING, needs_anchor=False)
    assert (confirmation.move, len(confirmation.pairs)) == ("unrunnable", 2)


def test_no_pair_is_dropped_because_others_used_the_device() -> None:
    """One that could be, by the half that did badly, would be drawn until it is good."""
    for tokens in (0, 1000):
        contended = replace(measured(-30), flags=(CONTENDED,), tokens=tokens)
        confirmation = next_of_confirmation(
            pairs((measured(0), contended), *gaining(8, 3)), READING, needs_anchor=False
        )
        assert len(confirmation.pairs) == ANCHOR_PAIRS
        assert confirmation.pairs[0].candidate.metric_nano == contended.metric_nano


def test_a_candidate_that_crashes_is_unrunnable() -> None:
    confirmation = next_of_confirmation(
        pairs((measured(0), measured(8)), (measured(0), CRASH)), READING, needs_anchor=False
    )
    assert confirmation.move == "unrunnable"
    assert "it fell over" in confirmation.reason
    assert len(confirmation.pairs) == 1


# Programs: pairs that meet the same instances

DRAWN = replace(READING, style=Style.drawing(16))
EXACT = replace(READING, style=Style(name="exact"))


def hard(gain_sd: float, count: int) -> list[tuple[Run | None, Run | None]]:
    """Pairs with a steady gain on instances of very different difficulty."""
    return [
        (measured(-50.0 * n), measured(gain_sd + 0.1 * (n % 3) - 50.0 * n)) for n in range(count)
    ]


def test_how_hard_the_instances_of_a_pair_are_says_nothing_of_its_difference() -> None:
    runs = pairs(*hard(4, 12))
    by_differences = next_of_confirmation(runs, DRAWN, needs_anchor=False)
    assert by_differences.move == "pass"
    assert by_differences.judgement is not None
    assert 9 < by_differences.judgement.evidence.pairs <= 12
    assert next_of_confirmation(runs, READING, needs_anchor=False).move != "pass"


def test_ties_on_drawn_instances_miss() -> None:
    confirmation = next_of_confirmation(
        pairs(*[(measured(0), measured(0))] * 4), DRAWN, needs_anchor=True
    )
    assert confirmation.move == "miss"


def test_a_lucky_pair_on_drawn_instances_is_not_enough_and_on_fixed_ones_it_is() -> None:
    lucky = pairs((measured(0), measured(1)))
    assert next_of_confirmation(lucky, DRAWN, needs_anchor=False).move == "pair"
    assert next_of_confirmation(lucky, EXACT, needs_anchor=False).move == "pass"


@pytest.mark.parametrize(("gain_sd", "move"), [(0.001, "pass"), (0.0, "miss"), (-1.0, "miss")])
def test_one_exact_pair_decides_by_its_sign(gain_sd: float, move: str) -> None:
    runs = pairs((measured(0), measured(gain_sd)))
    assert next_of_confirmation(runs, EXACT, needs_anchor=False).move == move


def test_a_maximised_exact_metric_is_read_with_its_sign_turned() -> None:
    runs = pairs((measured(0), measured(-1)))
    upwards = replace(EXACT, sign=-1)
    assert next_of_confirmation(runs, upwards, needs_anchor=False).move == "pass"


def test_an_exact_gain_is_measured_once_next_to_the_anchor() -> None:
    runs = pairs((measured(0), measured(1)))
    assert next_of_confirmation(runs, EXACT, needs_anchor=True).move == "anchors"
    anchor = planned(2, "anchor", 1, measured(-3))
    assert next_of_confirmation([*runs, anchor], EXACT, needs_anchor=True).move == "pass"


def test_an_exact_trial_reports_finite_figures() -> None:
    confirmation = next_of_confirmation(
        pairs((measured(0), measured(1))), EXACT, needs_anchor=False
    )
    reported = confirmation.measured(bytes(32))
    assert (reported.gain_nano, reported.lower_nano, reported.upper_nano) == (
        SD_NANO,
        SD_NANO,
        SD_NANO,
    )


def test_differences_get_the_pairs_that_an_unknown_spread_takes() -> None:
    patient = replace(DRAWN, policy=replace(DEFAULT, futility_probability=0.0))
    noisy = [(measured(0), measured((-1.0) ** n)) for n in range(MOST_PAIRS)]
    for count, move in ((DEFAULT.max_pairs, "pair"), (MOST_PAIRS, "miss")):
        confirmation = next_of_confirmation(pairs(*noisy[:count]), patient, needs_anchor=False)
        assert confirmation.move == move
