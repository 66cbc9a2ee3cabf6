"""Outcomes of a source, in autoresearch's words, and only once decided."""

from dataclasses import replace

import pytest

from agent.source.canonical import fingerprint
from node.home.home import Home
from node.line.attempts import Attempt, Judged, attempt_of, repeated_attempt, trailer
from node.line.experiment import close_experiment, open_experiment
from node.line.idea import Idea, open_submission
from node.line.line_writer import LineWriter
from node.store.store import Store
from protocol.rule import DEFAULT, Policy
from protocol.source import Source
from tests.node.examples import BASELINE, run
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    conclude,
    finished,
    keep,
    line_writer_of,
    promotion_trial,
    proposal_of,
)

SOURCE = proposal_of(BASELINE, "0.9").source
KEPT = Attempt(
    tree=bytes(32),
    word="keep",
    because="+2.00 sd",
    status="ok",
    metric_nano=997_900_000,
    runs=(
        replace(
            run(997_900_000),
            ms=300_100,
            serve_ms=25_800,
            tokens=499_600_000,
            peak_mem_bytes=45_060 << 20,
        ),
    ),
    record=bytes(range(32)),
    patch=b"p" * 32,
    log_tail="val_bpb: 0.1\nlast words \x1b[31m",
    judged=None,
    is_working=True,
    working=b"w" * 32,
    reference_nano=(997_900_000, 998_100_000),
)


def asked(
    line_writer: LineWriter, source: Source = SOURCE, policy: Policy = DEFAULT
) -> Attempt | None:
    return attempt_of(
        line_writer.store, line_writer.key, fingerprint(source), line_writer.source, policy
    )


def concluded(line_writer: LineWriter, decision: str, *metrics_nano: int | None) -> Attempt:
    conclude(line_writer, proposal_of(BASELINE, "0.9"), decision, *metrics_nano)
    attempt = asked(line_writer)
    assert attempt is not None
    return attempt


def test_nothing_is_known_before_the_baseline(home: Home, store: Store) -> None:
    assert asked(line_writer_of(home, store), BASELINE) is None


def test_a_source_is_open_while_it_waits_and_while_it_runs(line_writer: LineWriter) -> None:
    mark = fingerprint(SOURCE)
    assert asked(line_writer) is None
    job = open_submission(line_writer, SOURCE, fingerprint=mark, title="mine", why="")
    assert asked(line_writer) is None
    idea = replace(Idea.of(line_writer, proposal_of(BASELINE, "0.9")), submission=job.id)
    experiment = open_experiment(line_writer, idea)
    assert asked(line_writer) is None
    step = replace(experiment.step, decision="screened_out")
    runs = finished(line_writer.store, experiment, BASE_NANO)
    close_experiment(line_writer, experiment, step, runs, note="")
    assert asked(line_writer) is not None


@pytest.mark.parametrize(
    ("decision", "metrics", "word", "because"),
    [
        ("screened_out", (BASE_NANO,), "discard", "working line; at least 0.75 is needed"),
        ("rechecked_out", (1, BASE_NANO), "discard", "fresh seed; at least 0.25 is needed"),
        ("kept", (1, 2), "keep", "+2.00 sd against the working line in a second run"),
        ("rebased", (1,), "discard", "had changed"),
    ],
)
def test_a_decision_says_what_was_needed(
    line_writer: LineWriter, decision: str, metrics: tuple[int, ...], word: str, because: str
) -> None:
    attempt = concluded(line_writer, decision, *metrics)
    assert (attempt.word, attempt.metric_nano) == (word, metrics[-1])
    assert because in attempt.because
    assert attempt.exit_code == 0
    assert attempt.is_working == (decision == "kept")


def test_a_crash_gives_its_reason_and_no_number(line_writer: LineWriter) -> None:
    attempt = concluded(line_writer, "failed", None)
    assert (attempt.word, attempt.metric_nano, attempt.exit_code) == ("crash", None, 1)
    assert attempt.because == "crash: TypeError"


@pytest.mark.parametrize(("status", "code"), [("timeout", 1), ("oom", 1), ("rejected", 7)])
def test_exit_codes_distinguish_a_failure_from_a_rejection(status: str, code: int) -> None:
    assert replace(KEPT, status=status).exit_code == code  # type: ignore[arg-type]


def test_the_baseline_is_the_working_line_until_something_is_kept(line_writer: LineWriter) -> None:
    first = asked(line_writer, BASELINE)
    assert first is not None
    assert repeated_attempt(first).because.startswith("it is the working line")
    keep(line_writer, "0.5")
    later = asked(line_writer, BASELINE)
    assert later is not None
    assert (later.is_working, later.word) == (False, "keep")
    assert "changed since" in repeated_attempt(later).because


def test_the_working_line_is_reported_by_its_reference_runs() -> None:
    again = repeated_attempt(KEPT)
    assert (again.word, again.metric_nano) == ("keep", 998_000_000)


def test_a_discard_is_reported_again_unchanged(line_writer: LineWriter) -> None:
    attempt = concluded(line_writer, "screened_out", BASE_NANO)
    again = repeated_attempt(attempt)
    assert attempt.record is not None
    assert again.because.startswith(f"tried before ({attempt.record.hex()[:12]}), not repeated")
    assert (again.word, again.metric_nano) == (attempt.word, attempt.metric_nano)


def test_a_line_that_moved_meanwhile_is_reported(line_writer: LineWriter) -> None:
    attempt = concluded(line_writer, "screened_out", BASE_NANO)
    assert "line:" not in trailer(attempt, "val_bpb")
    keep(line_writer, "0.5")
    later = asked(line_writer)
    assert later is not None
    reported = (
        "\nline:             changed during the run; to get it: arnode head --working > train.py\n"
    )
    assert reported in trailer(later, "val_bpb")
    assert "line:" not in trailer(repeated_attempt(later), "val_bpb"), "it was another time"


def test_a_kept_patch_on_trial_is_open_until_its_promotion_trial_ended(
    line_writer: LineWriter,
) -> None:
    concluded(line_writer, "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    assert asked(line_writer) is not None
    assert asked(line_writer, policy=replace(DEFAULT, keeps_per_promotion_trial=1)) is None
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    attempt = asked(line_writer)
    assert attempt is not None
    assert attempt.judged is not None
    assert attempt.judged.word == "passed"


def test_a_patch_whose_promotion_trial_was_missed_is_no_improvement_any_more(
    line_writer: LineWriter,
) -> None:
    concluded(line_writer, "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    promotion_trial(line_writer, gain_nano=-GAIN_NANO)
    attempt = asked(line_writer)
    assert attempt is not None
    assert (attempt.word, attempt.is_working) == ("keep", False)
    again = repeated_attempt(attempt)
    assert again.word == "discard"
    assert "it was kept, but its stack was later unconfirmed" in again.because
    assert "unconfirmed: a promotion trial; the working line is again" in trailer(again, "val_bpb")


def test_a_baselines_costs_are_reported_though_none_of_its_runs_is_a_candidates() -> None:
    runs = tuple(replace(run, role="base") for run in KEPT.runs)
    assert trailer(replace(KEPT, runs=runs), "val_bpb") == trailer(KEPT, "val_bpb")


def test_the_trailer_is_autoresearchs() -> None:
    assert trailer(KEPT, "val_bpb") == (
        "---\n"
        "val_bpb:          0.997900\n"
        "training_seconds: 300.1\n"
        "total_seconds:    325.9\n"
        "peak_vram_mb:     45060.0\n"
        "total_tokens_M:   499.6\n"
        "decision:         keep\n"
        "because:          +2.00 sd\n"
        "record:           000102030405\n"
    )


def test_the_metric_is_called_what_the_task_calls_it() -> None:
    assert "\nval_loss:         0.997900\n" in trailer(KEPT, "val_loss")


def test_a_passed_promotion_trial_is_said() -> None:
    judged = Judged(word="passed", note="confirmed after 4 pairs", record=bytes(32))
    said = trailer(replace(KEPT, judged=judged), "val_bpb")
    assert "\npromotion_trial:  confirmed after 4 pairs\n" in said


def test_a_crashed_script_cannot_print_a_result() -> None:
    log = "\n".join([*(f"line {n}" for n in range(60)), KEPT.log_tail])
    failed = replace(KEPT, word="crash", status="crash", metric_nano=None, log_tail=log)
    lines = trailer(failed, "val_bpb").splitlines()
    assert not any(line.startswith(("val_bpb:", "peak_vram_mb:")) for line in lines)
    assert lines[:50] == [
        *(f"| line {n}" for n in range(12, 60)),
        "| val_bpb: 0.1",
        "| last words \\x1b[31m",
    ]
    assert lines[50:52] == ["---", "decision:         crash"]


def test_a_result_names_the_base_that_it_was_compared_with(line_writer: LineWriter) -> None:
    def against(rate: str, base: Source) -> str:
        conclude(line_writer, proposal_of(base, rate), "screened_out", BASE_NANO)
        attempt = asked(line_writer, proposal_of(base, rate).source)
        assert attempt is not None
        return attempt.against

    def working() -> Source:
        return line_writer.source(line_writer.known_line.working)

    at_first = f"({BASELINE.tree.hex()[:12]})"
    assert against("0.5", BASELINE) == f"the baseline {at_first}"
    keep(line_writer, "0.2")
    line, base = line_writer.known_line, working()
    now = f"the working line is now {line.working.hex()[:12]}"
    assert against("0.6", BASELINE) == f"the baseline {at_first}; {now}"
    assert against("0.7", base) == f"the working line ({line.working.hex()[:12]})"
    keep(line_writer, "0.3")
    assert against("0.8", base).startswith(f"an earlier working line ({line.working.hex()[:12]}); ")
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    assert against("0.9", working()).startswith("the verified head (")


def test_the_compared_base_is_printed_with_its_score(line_writer: LineWriter) -> None:
    job = open_experiment(line_writer, Idea.of(line_writer, proposal_of(BASELINE, "0.9")))
    step = replace(job.step, decision="screened_out", gain_milli=0, level_nano=BASE_NANO)
    close_experiment(
        line_writer, job, step, finished(line_writer.store, job, BASE_NANO), note="discarded"
    )
    attempt = asked(line_writer)
    assert attempt is not None
    base = BASELINE.tree.hex()[:12]
    assert f"\nagainst:          the baseline ({base}, 1.500000)\n" in trailer(attempt, "val_bpb")
