"""The reason for a decision in words: the loop's own decision, and tasks whose scores are exact."""

from dataclasses import replace

import pytest

from node.home.home import Home
from node.line.noise import shown_sd
from node.reporting.best_values import by_tree, changed_values
from node.reporting.experiments import experiment_documents
from node.reporting.reasons import reason_words, remark_of
from node.store.store import Store
from node.terminal.vocabulary import interval_words, mean_text
from protocol.manifest import TaskManifest
from protocol.styles import RUNS, Style
from tests.node.examples import ENTRY, MANIFEST, result_body, run
from tests.node.line_writers import keep, promotion_trial, with_baseline
from tests.protocol.test_program_boards import FIXED

SCREENED_OUT = "screened_out: +0.31 sd against its base in its screen"


def reason(manifest: TaskManifest, note: str, decision: str, gain_nano: int) -> str:
    body = replace(result_body("screen", (run(1),)), note=note)
    entry = replace(ENTRY, decision=decision, gain_nano=gain_nano)
    return f"{reason_words(entry, body, manifest)}|{remark_of(body, manifest)}"


def test_the_loop_s_decision_and_its_figure_are_the_reason() -> None:
    assert reason(MANIFEST, SCREENED_OUT, "discarded", 0) == (
        "the first run gains too little for a recheck|+0.31 sd against its base in its screen"
    )
    assert reason(MANIFEST, "an own note", "kept", 0).endswith("|an own note")


@pytest.mark.parametrize(
    ("note", "decision", "gain_nano", "words"),
    [
        ("kept: +0.00 sd", "kept", 7, "scores of this task are exact, so any gain counts"),
        (SCREENED_OUT, "discarded", 0, "exactly the score of the working line"),
        (SCREENED_OUT, "discarded", -9, "a worse score than the working line's"),
        ("rebased: +7 sd", "discarded", 9, "good, but the working line had changed"),
    ],
)
def test_exact_scores_are_not_compared_with_any_noise(
    note: str, decision: str, gain_nano: int, words: str
) -> None:
    shown = reason(FIXED, note, decision, gain_nano)
    assert shown.startswith(words)
    assert shown.endswith("|")
    assert " sd" not in shown


def test_noise_and_intervals_of_exact_scores_are_called_exact() -> None:
    assert shown_sd(0.001, Style.of(FIXED)) == 0.0
    assert shown_sd(1e-9, RUNS) == 0.0
    assert shown_sd(0.001, RUNS) == 0.001
    assert interval_words(0.5, 0.5) == "exact"
    assert mean_text(2, 0.0) == "mean of 2 runs, all equal"


def test_values_that_differ_from_the_baseline_are_those_of_the_whole_line(
    home: Home, store: Store
) -> None:
    line_writer = with_baseline(home, store)
    keep(line_writer, "0.2")
    keep(line_writer, "0.3")
    history, line = store.experiments.listed(), line_writer.known_line
    assert changed_values(store, by_tree(history), line.verified) == []
    (found,) = changed_values(store, by_tree(history), line.working)
    assert (found["baseline"], found["value"]) == ("0.1", "0.3")


def test_experiments_are_numbered_along_their_line(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)
    keep(line_writer, "0.2")
    keep(line_writer, "0.3")
    promotion_trial(line_writer, gain_nano=40_000_000)
    entries = store.experiments.listed(newest_first=True)
    documents = experiment_documents(store, entries[:2])
    assert [one["number"] for one in documents] == [len(entries), len(entries) - 1]
    assert all(one["ms"] > 0 for one in documents)
    assert documents[1]["why"].startswith("both runs gain")
