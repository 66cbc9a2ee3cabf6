"""One table of outcomes: everything that can come out has its word, and no two mean the same."""

from typing import get_args

import pytest

from agent import proposal
from node.line.attempts import PromotionTrialOutcome
from node.reporting.concluded import Fate
from node.reporting.peers_part import HereWord
from node.store import experiments
from node.terminal.vocabulary import (
    WORDINGS,
    counted,
    gap_to,
    gap_words,
    interval_words,
    sd_words,
    word,
    wording,
)
from protocol.rerun import RerunVerdict

OUTCOMES = {
    *(*get_args(proposal.Decision), *get_args(experiments.Decision), "rebased"),
    *(*get_args(RerunVerdict), *get_args(HereWord)),
    *(*get_args(PromotionTrialOutcome), *(set(get_args(Fate)) - {"open"})),
}


@pytest.mark.parametrize("outcome", sorted(OUTCOMES))
def test_every_outcome_has_a_word_and_says_what_it_means(outcome: str) -> None:
    assert WORDINGS[outcome].word
    assert WORDINGS[outcome].meaning


def test_other_names_of_an_outcome_are_reported_in_its_word() -> None:
    assert wording("adopted") == wording("passed") == wording("confirmed")
    assert wording("missed") == wording("unconfirmed")
    assert word("no gain") == word("discarded")


def test_two_outcomes_of_one_word_have_one_color() -> None:
    colors: dict[str, set[str]] = {}
    for reported in WORDINGS.values():
        colors.setdefault(reported.word, set()).add(reported.style)
    assert all(len(styles) == 1 for styles in colors.values())


@pytest.mark.parametrize(
    ("gain_sd", "expected"),
    [
        (1.25, "+1.2 sd"), (-0.04, "+0.0 sd"), (999.9, "+999.9 sd"), (25527.0, "over +1000 sd"),
        (-25527.0, "below -1000 sd"),
    ],
)  # fmt: skip
def test_a_gain_far_beyond_the_noise_is_reported_as_such(gain_sd: float, expected: str) -> None:
    assert sd_words(gain_sd) == expected


def test_proposers_read_the_same_words_as_people_and_why_it_was_discarded() -> None:
    reported = dict(proposal.DECISION_WORDS)
    why = {reported.pop("screened_out"), reported.pop("rechecked_out")}
    assert why == {"screened out", "rechecked out"}
    assert {one: word(one) for one in reported} == reported


def test_a_record_that_was_not_kept_has_one_word_before_a_restart_and_after_it() -> None:
    """The loop knows more than the record, from which everything else reads."""
    for outcome in ("screened_out", "rechecked_out", "rebased"):
        assert word(outcome) == word("discarded")


def test_an_outcome_of_a_later_version_is_reported_by_its_own_name_made_harmless() -> None:
    assert word("half-confirmed") == "half-confirmed"
    assert word("\x1b[2J") == "\\x1b[2J"


def test_counts_are_reported_in_the_order_asked_for() -> None:
    counts = {"kept": 3, "failed": 0, "discarded": 12}
    assert counted(counts, ("discarded", "kept", "failed")) == "12 discarded, 3 kept, 0 failed"


@pytest.mark.parametrize(
    ("metric", "sign", "expected"),
    [
        (2.635982615, -1, "4.7e-7 to go"),  # more is better
        (2.635983085, -1, "reached"),
        (2.635983086, -1, "1.0e-9 beyond it"),
        (2.1667, -1, "0.469283 to go"),
        (2.7, 1, "0.064017 to go"),  # less is better
        (2.635982615, 1, "4.7e-7 beyond it"),
    ],
)
def test_a_small_gap_to_the_best_known_is_shown_exactly(
    metric: float, sign: int, expected: str
) -> None:
    assert gap_words(gap_to(2.635983085, metric, sign=sign)) == expected


def test_an_interval_without_width_is_exact() -> None:
    assert interval_words(0.2, 0.2) == "exact"
    assert interval_words(0.1, 0.2, spec="+.1f") == "95 % interval +0.1 to +0.2"
    assert interval_words(None, 0.2) == "too few pairs for an interval"
