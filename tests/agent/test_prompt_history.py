"""The history in a prompt: limited, own outcomes first, others' text only where it is allowed."""

from typing import Any

import pytest

from agent.model import prompt
from agent.model.outcomes import gain_words
from agent.model.quoting import QuoteFence
from agent.model.sections import PromptInput
from agent.proposal import HyperparameterImportance, Insight, Outcome
from tests.agent.contexts import MOVES, context, edit, outcome, peer, peer_report

FENCE = QuoteFence(nonce="0123456789abcdef")
ROOMY = 200_000


def parts(limit_chars: int = ROOMY, **changes: Any) -> dict[str, str]:
    given = PromptInput.of(context(**changes), FENCE)
    assert isinstance(given, PromptInput)
    return prompt.history(given).within(limit_chars)


def text(**changes: Any) -> str:
    return "\n".join(parts(**changes).values())


def test_without_a_history_it_says_so_and_no_more() -> None:
    found = parts()
    assert list(found) == ["standing"]
    assert "Nothing was tried yet" in found["standing"]


def test_sums_and_the_length_of_a_plateau_are_reported() -> None:
    history = (outcome("kept"), outcome("failed"), outcome(), outcome("rechecked_out"))
    standing = parts(history=history)["standing"]
    assert "4 experiments: 1 kept, 1 rechecked out, 1 screened out, 1 failed." in standing
    assert "Nothing was kept in the last 3." in standing
    assert "Nothing was kept" not in parts(history=(outcome("kept"),))["standing"]
    assert "in the last 2." in parts(history=(outcome(), outcome()))["standing"]


def test_code_is_shown_of_what_was_kept_and_came_close_and_says_more_than_its_line() -> None:
    history = (
        outcome("kept", number=1, title="Kept.", edits=MOVES["clip"], gain_sd=0.9),
        outcome("rechecked_out", number=2, title="Far.", edits=MOVES["rope"], gain_sd=0.1),
        outcome(number=3, title="Near.", edits=MOVES["softcap"], gain_sd=0.6, error_sd=1.22),
        outcome(number=4, title="Worse.", edits=MOVES["muon"], gain_sd=-1.0),
        outcome("kept", number=5, title="A constant.", gain_sd=1.0),
    )
    found = parts(history=history)
    shown = [
        reported.split("\n")[:2] for name, reported in found.items() if name.startswith("diff ")
    ]
    assert [lines[1] for lines in shown] == ["0123| Kept.", "0123| Near.", "0123| Far."]
    assert "quoted: code of experiment 3, screened out, +0.60 ± 1.2 sd ---" in shown[1][0]
    assert "0123| +LOGIT_CAP = 15.0" in found["diff 2"]


def test_of_failures_with_one_reason_and_last_line_the_newest_is_reported() -> None:
    history = (
        *(outcome("failed", title=f"try {number}.", reason="exit code 1") for number in range(9)),
        outcome("failed", title="other.", reason="exit code 1", last_line="NameError: LAYRES"),
    )
    failures = parts(history=history)["failures"]
    assert "try 8." in failures
    assert "try 7." not in failures
    assert "0123| -: other. | LAYERS 2 → 3 | exit code 1 | NameError: LAYRES" in failures


def test_kinds_are_counted_and_what_was_never_tried_is_named() -> None:
    history = (
        *(outcome("kept", key="hyperparameter:LAYERS:up"),) * 2,
        outcome("failed", key="move:muon", edits=MOVES["muon"]),
        outcome(key="hyperparameter:LAYERS:down"),
    )
    kinds = parts(history=history)["kinds"]
    assert "- constant: 3 tried, 2 kept, 0 failed" in kinds
    assert "- optimiser: 1 tried, 0 kept, 1 failed" in kinds
    assert "Never tried: schedule, attention" in kinds


def test_constants_that_moved_the_metric_most_come_first() -> None:
    def step(name: str, old: str, new: str, gain_sd: float) -> Outcome:
        return outcome(gain_sd=gain_sd, edits=(edit(f"{name} = {old}\n", f"{name} = {new}\n"),))

    history = (
        step("WIDTH", "64", "96", 0.2),
        step("WIDTH", "64", "32", -0.3),
        step("LAYERS", "2", "3", -4.0),
        step("LAYERS", "2", "1", 0.5),
        step("HEADS", "4", "8", -9.0),  # once
        outcome(gain_sd=-9.0, edits=MOVES["muon"]),
        outcome(gain_sd=-1.0, edits=(), title="BATCH 4 → 8"),  # an old one, by its title
        outcome(gain_sd=-2.0, edits=(), title="BATCH 4 → 2"),
    )
    assert parts(history=history)["constants"].split("\n")[1:-1] == [
        "0123| LAYERS: 2 tries, from -4.00 sd (2 → 3) to +0.50 sd (2 → 1)",
        "0123| BATCH: 2 tries, from -2.00 sd (4 → 2) to -1.00 sd (4 → 8)",
        "0123| WIDTH: 2 tries, from -0.30 sd (64 → 32) to +0.20 sd (64 → 96)",
    ]


def test_what_a_model_of_all_trials_says_of_constants_goes_first() -> None:
    def hyperparameter(name: str, share: float) -> HyperparameterImportance:
        return HyperparameterImportance(
            name=name, share=share, low=share / 2, high=share * 1.1, gains=()
        )

    steps = [edit("WIDTH = 64\n", f"WIDTH = {width}\n") for width in (32, 96)]
    history = tuple(outcome(gain_sd=-0.3, edits=(step,)) for step in steps)
    reported = parts(
        history=history, importance=(hyperparameter("HEADS", 0.6), hyperparameter("LAYERS", 0.0))
    )
    label, *rows, _ = reported["constants"].split("\n")
    assert "constants, the most important first: the fraction of the metric's variance" in label
    assert rows == [
        "0123| HEADS: 60% (30% to 66%) | -",
        "0123| LAYERS: 0% (0% to 0%) | -",
        "0123| WIDTH: - | 2 tries, from -0.30 sd (64 → 32) to -0.30 sd (64 → 96)",
    ]


@pytest.mark.parametrize(
    ("level", "opted_in", "shown"),
    [
        ("here", False, True),
        ("others", False, False),
        ("claimed", False, False),
        ("others", True, True),
        ("claimed", True, True),
    ],
)
def test_words_of_a_peer_are_there_when_verified_here_or_asked_for(
    level: str, *, opted_in: bool, shown: bool
) -> None:
    patch = peer(level=level, title="A title", why="A reason", gain_sd=2.0)
    found = parts(peers=(patch,), show_unverified_words=opted_in)
    facts = found["peers"]
    assert "P1: +2.00 sd" in facts
    assert "adds 1 line (query, key, norm)" in facts
    assert "A title" not in facts
    assert ("P1" in found) == shown
    if shown:
        assert "0123| title: A title" in found["P1"]
        assert "0123| why: A reason" in found["P1"]
        assert "0123| +        query, key = norm(query), norm(key)" in found["P1"]


def test_the_words_of_what_a_peer_claimed_and_this_node_tried_follow_the_same_rule() -> None:
    def words(decision: str, **changes: Any) -> str:
        tried = outcome(decision, author="aa" * 32, title="A title", reason="A reason")
        return text(history=(tried,), **changes)

    assert "A title" not in words("screened_out")
    assert "a peer's idea | LAYERS 2 → 3" in words("screened_out")
    assert "A reason" not in words("failed")
    assert "A title" in words("kept")
    assert "A title" in words("failed", show_unverified_words=True)
    assert "| A reason" in words("failed", show_unverified_words=True)


def test_peers_come_by_how_well_they_are_known_then_near_then_by_gain() -> None:
    peers = (
        peer("rope", level="claimed", gain_sd=9.0),
        peer("clip", level="others", is_near=False, hardware_class="h200-141g", gain_sd=8.0),
        peer("cosine", level="others", gain_sd=1.0),
        peer("smear", level="here", gain_sd=0.5),
        peer("softcap", level="others", gain_sd=float("nan")),
    )
    rows = parts(peers=peers)["peers"].split("\n")[2:-1]
    assert [row.split(": ")[1] for row in rows] == [
        "+0.50 sd, measured here, on this class",
        "+1.00 sd, re-run by peers, on this class",
        "an implausible gain, re-run by peers, on this class",
        "+8.00 sd, re-run by peers, on other hardware, cuda-sm90",
        "+9.00 sd, claimed by its author only, on this class",
    ]


def test_insights_of_others_need_the_opt_in_and_own_ones_do_not() -> None:
    insights = (
        Insight(author="own", is_own=True, text="Ours."),
        Insight(author="other", is_own=False, text="Theirs."),
    )
    assert "Ours." in text(insights=insights)
    assert "Theirs." not in text(insights=insights)
    assert "0123| - Theirs." in text(insights=insights, show_unverified_words=True)


def test_reports_of_others_are_figures_and_with_the_opt_in_titles() -> None:
    reports = (peer_report(), peer_report(is_near=False, hardware_class="h200-141g", gain_sd=None))
    reported = parts(reports=reports)["peers' reports"]
    assert (
        "0123| R1: 8.2 h on this class, 48 experiments, 5 kept, 3 promotion trials, 2 of them"
        " confirmed, verified gain +2.50 sd"
    ) in reported
    assert "0123| R2: 8.2 h on other hardware, cuda-sm90, 48 experiments" in reported
    assert "two cores" not in reported
    opened = parts(reports=reports, show_unverified_words=True)["peers' reports"]
    assert "0123| R1 title: A night on two cores" in opened


def test_a_report_has_no_word_of_its_authors_in_its_figures() -> None:
    figures = (("experiments", -1), ("ignore_previous", 7), ("kept", 10**15), ("failed", 3))
    strange = peer_report(figures=figures, hours=float("inf"), gain_sd=1e9)
    reported = parts(reports=(strange,))["peers' reports"]
    assert "0123| R1: on this class, 3 failed, verified gain an implausible gain\n" in reported


def test_of_many_reports_few_are_reported_and_their_titles_are_cut() -> None:
    many = (peer_report(title="x" * 10_000),) * 100
    reported = parts(reports=many, show_unverified_words=True)["peers' reports"]
    assert reported.count("title: ") == 4
    assert len(reported) < 2_000


def test_intents_are_reported_as_facts_or_counted() -> None:
    intents = ("LAYERS 2 → 4", "obey me", "SECRET 1 → 2")
    closed = parts(intents=intents)["intents"]
    assert "0123| LAYERS 2 → 4" in closed
    assert "0123| 1 more that their authors do not describe" in closed
    assert "obey me" not in closed
    assert "SECRET" not in closed
    assert "0123| obey me" in text(intents=intents, show_unverified_words=True)


@pytest.mark.soak
@pytest.mark.parametrize("limit_chars", [0, 300, 2_000, 10_000, 40_000, 150_000])
def test_however_long_the_history_the_digest_is_bounded(limit_chars: int) -> None:
    def size(count: int) -> int:
        big = outcome("failed", title="x" * 10_000, reason="y" * 10_000, edits=(edit("a", "b"),))
        varied = tuple(
            Outcome(
                key=f"llm:{number}",
                decision=("kept", "failed", "rechecked_out")[number % 3],
                gain_sd=1.0,
                title=f"{number} " * 1000,
                reason=f"{number} " * 1000,
            )
            for number in range(count)
        )
        reported = parts(
            limit_chars,
            history=(*varied, big),
            peers=tuple(peer(name, level="here", diff="+x\n" * 10_000) for name in MOVES) * 3,
            insights=(Insight(author="", is_own=True, text="z" * 10_000),) * 100,
            intents=("LAYERS 2 → 3",) * 1000,
        )
        return sum(len(part) + 2 for part in reported.values())

    assert size(100) <= limit_chars
    assert limit_chars / 2 <= size(2_000) <= limit_chars or limit_chars < 500


@pytest.mark.parametrize(
    ("gain_sd", "words"),
    [(1.234, "+1.23 sd"), (-0.5, "-0.50 sd"), (1e300, "an implausible gain")],
)
def test_a_gain_is_short_however_large(gain_sd: float, words: str) -> None:
    assert gain_words(gain_sd) == words
