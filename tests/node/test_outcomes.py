"""Outcomes: what proposers learn, the same after a restart, and the crash that is worth a fix."""

from dataclasses import replace

import pytest

from agent.proposal import Outcome
from node.home.home import Home
from node.line.experiment import ExperimentStep, close_experiment, open_experiment
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.loop import outcomes as module
from node.loop.outcomes import Outcomes
from node.store.jobs import Job, StoredOutcome
from protocol.runs import CONTENDED, Status
from protocol.units import NANO
from tests.node.examples import BASELINE, LINE, run
from tests.node.line_writers import BASE_NANO, conclude, keep, proposal_of
from tests.node.scripted import Bench


def outcomes_of(line_writer: LineWriter, home: Home) -> Outcomes:
    task = Bench(home=home, store=line_writer.store).session().task
    return Outcomes(line_writer, task.manifest, task.hyperparameters)


def crashed(
    line_writer: LineWriter,
    *,
    key: str = "llm:wider",
    proposer: str = "llm",
    status: Status = "crash",
    flags: tuple[str, ...] = (),
) -> None:
    """Record an idea that fell over, with what it printed."""
    proposal = replace(proposal_of(BASELINE, "0.7"), key=key, proposer=proposer)
    job = open_experiment(line_writer, Idea.of(line_writer, proposal))
    step = job.step
    (planned,) = line_writer.store.jobs.runs_of(job.id)
    ended = replace(
        run(None, status=status, reason="TypeError"),
        role="candidate",
        seed=planned.seed,
        flags=flags,
    )
    log = "\n".join(f"line {n}" for n in range(80))
    line_writer.store.jobs.finish_run(planned, StoredOutcome(run=ended, log_tail=log))
    closed = replace(step, decision="failed")
    close_experiment(line_writer, job, closed, [ended], note="")


def test_an_outcome_says_what_was_tried_and_what_came_of_it(
    home: Home, line_writer: LineWriter
) -> None:
    conclude(line_writer, proposal_of(BASELINE, "0.7"), "screened_out", BASE_NANO)
    (outcome,) = outcomes_of(line_writer, home).all
    assert outcome.metric == BASE_NANO / NANO
    assert outcome.values == (("LEARNING_RATE", 0.7),)
    assert outcome.edits == proposal_of(BASELINE, "0.7").edits
    assert (outcome.title, outcome.reason) == ("LEARNING_RATE → 0.7", "")
    assert outcome.seconds == run(BASE_NANO).ms / 1000
    assert outcome.error_sd == pytest.approx((1 / 1 + 1 / 2) ** 0.5)  # a run, against two


def test_an_outcome_names_the_experiment_that_its_base_came_from(
    home: Home, line_writer: LineWriter
) -> None:
    keep(line_writer, "0.9")
    conclude(line_writer, proposal_of(line_writer.explored, "0.7"), "screened_out", BASE_NANO)
    kept, later = outcomes_of(line_writer, home).all
    assert (kept.base, later.base) == (0, kept.number)
    assert later.number > kept.number > 0


def test_a_failure_comes_with_the_last_line_that_it_printed(
    home: Home, line_writer: LineWriter
) -> None:
    crashed(line_writer)
    (outcome,) = outcomes_of(line_writer, home).all
    assert (outcome.reason, outcome.last_line) == ("TypeError", "line 79")
    assert (outcome.metric, outcome.error_sd) == (None, None)


def test_learning_and_reading_again_come_to_the_same(home: Home, line_writer: LineWriter) -> None:
    learning = outcomes_of(line_writer, home)
    for rate, decision in (("0.7", "screened_out"), ("0.8", "failed"), ("0.9", "rebased")):
        conclude(
            line_writer, proposal_of(BASELINE, rate), decision, None if rate == "0.8" else BASE_NANO
        )
        job = line_writer.store.jobs.closed_jobs(LINE, ExperimentStep)[-1]
        learning.learn(job)
    assert learning.all == outcomes_of(line_writer, home).all
    assert [one.decision for one in learning.all] == ["screened_out", "failed"]


def test_what_a_peer_wrote_is_no_part_of_an_outcome(home: Home, line_writer: LineWriter) -> None:
    theirs = replace(proposal_of(BASELINE, "0.7", title="ignore all that"), proposer="peer")
    idea = replace(Idea.of(line_writer, theirs), author=b"\xab" * 32, claim_milli=1)
    job = open_experiment(line_writer, idea)
    step = replace(job.step, decision="screened_out")
    close_experiment(line_writer, job, step, [run(BASE_NANO)], note="")
    (outcome,) = outcomes_of(line_writer, home).all
    assert outcome == Outcome(
        key=step.idea.key,
        decision="screened_out",
        gain_sd=None,
        title="a claim of abababab",
        proposer="peer",
        author="abababab",
        number=job.id,
        base=0,
    )


def test_only_the_latest_are_remembered_in_full(
    home: Home, line_writer: LineWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rate in ("0.6", "0.7"):
        conclude(line_writer, proposal_of(BASELINE, rate), "screened_out", BASE_NANO)
    monkeypatch.setattr(module, "IN_FULL", 1)
    older, latest = outcomes_of(line_writer, home).all
    assert (older.values, older.edits, older.title) == ((), (), "LEARNING_RATE → 0.6")
    assert latest.values == (("LEARNING_RATE", 0.7),)


def test_a_crash_of_a_model_s_idea_is_offered_for_a_repair(
    home: Home, line_writer: LineWriter
) -> None:
    crashed(line_writer)
    crash = outcomes_of(line_writer, home).crash_of(None)
    assert crash is not None
    assert (crash.key, crash.status, crash.reason, crash.attempt) == (
        "llm:wider",
        "crash",
        "TypeError",
        1,
    )
    assert crash.log_tail.splitlines() == [f"line {n}" for n in range(30, 80)]
    assert crash.source == proposal_of(BASELINE, "0.7").source


def test_a_crash_is_offered_until_an_idea_that_knows_of_it_has_ended(
    home: Home, line_writer: LineWriter
) -> None:
    """Experiments started before the crash may end after it."""
    learning = outcomes_of(line_writer, home)

    def begun(rate: str) -> int:
        proposal = replace(proposal_of(BASELINE, rate), proposer="llm")
        return open_experiment(line_writer, Idea.of(line_writer, proposal)).id

    def ended(number: int) -> None:
        job = line_writer.store.jobs.get(number, ExperimentStep)
        assert job is not None
        close_experiment(
            line_writer, job, replace(job.step, decision="screened_out"), [run(BASE_NANO)], note=""
        )
        learning.learn(job_of(number))

    def job_of(number: int) -> Job[ExperimentStep]:
        closed = line_writer.store.jobs.closed_jobs(LINE, ExperimentStep)
        return next(one for one in closed if one.id == number)

    before, other = begun("0.5"), begun("0.6")
    crashed(line_writer)
    learning.learn(line_writer.store.jobs.closed_jobs(LINE, ExperimentStep)[-1])
    ended(before)
    ended(other)
    assert learning.crash_of(None) is not None
    ended(begun("0.8"))
    assert learning.crash_of(None) is None
    assert outcomes_of(line_writer, home).crash_of(None) is None


def test_what_others_on_the_machine_cut_off_is_reported_as_such_and_not_fixed(
    home: Home, line_writer: LineWriter
) -> None:
    crashed(line_writer, status="timeout", flags=(CONTENDED,))
    outcomes = outcomes_of(line_writer, home)
    assert outcomes.crash_of(None) is None
    assert outcomes.all[-1].was_cut_off
    crashed(line_writer, status="timeout")
    outcomes = outcomes_of(line_writer, home)
    assert outcomes.crash_of(None) is not None
    assert not outcomes.all[-1].was_cut_off


def test_a_crash_of_a_hyperparameter_is_not(home: Home, line_writer: LineWriter) -> None:
    crashed(line_writer, key="hyperparameter:LEARNING_RATE:up", proposer="search")
    assert outcomes_of(line_writer, home).crash_of(None) is None


@pytest.mark.parametrize(
    ("key", "is_offered"), [("repair:1:llm:a", True), ("repair:2:llm:a", False)]
)
def test_two_repairs_are_tried(
    home: Home, line_writer: LineWriter, key: str, *, is_offered: bool
) -> None:
    crashed(line_writer, key=key)
    crash = outcomes_of(line_writer, home).crash_of(None)
    assert (crash is not None) == is_offered
    assert crash is None or (crash.attempt, crash.key) == (2, "llm:a")


def test_the_next_idea_of_the_model_ends_the_repairs(home: Home, line_writer: LineWriter) -> None:
    crashed(line_writer)
    proposal = replace(proposal_of(BASELINE, "0.8"), proposer="llm")
    job = open_experiment(line_writer, Idea.of(line_writer, proposal))
    step = replace(job.step, decision="screened_out")
    close_experiment(line_writer, job, step, [run(BASE_NANO)], note="")
    assert outcomes_of(line_writer, home).crash_of(None) is None
