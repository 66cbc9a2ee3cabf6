"""Records, line, reference runs and the end of a job are written together or not at all."""

import itertools
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from agent.source.canonical import fingerprint
from node.home.home import Home
from node.line.experiment import ExperimentStep, close_experiment, open_experiment
from node.line.head_by_hand import move_head
from node.line.idea import Idea
from node.line.job_kinds import KINDS
from node.line.line_writer import LineWriter
from node.line.promotion_trial import PromotionTrial, open_promotion_trial
from node.line.reference_runs import close_reference_run, open_reference_run
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.record_kinds import AdoptBody, PatchBody, ProfileBody, ResultBody, TaskBody
from tests.node.examples import BASELINE, TASK
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    conclude,
    finished,
    keep,
    line_writer_of,
    promotion_trial,
    proposal_of,
    with_baseline,
)


def result_in(line_writer: LineWriter, record_id: bytes) -> ResultBody:
    body = line_writer.store.records.get(record_id).body
    assert isinstance(body, ResultBody)
    return body


def test_a_node_announces_itself_and_its_task_once(home: Home, store: Store) -> None:
    for _ in range(2):
        line_writer_of(home, store).announce()
    assert [type(record.body) for record in store.records.listed()] == [ProfileBody, TaskBody]


def test_both_lines_begin_at_the_baseline_with_its_runs_as_reference_runs(
    line_writer: LineWriter,
) -> None:
    line = line_writer.known_line
    assert (line.verified, line.working, line.stack) == (BASELINE.tree, BASELINE.tree, ())
    assert line.reference_nano == (BASE_NANO - 1, BASE_NANO + 1)
    assert line_writer.store.jobs.line(line_writer.key) == line
    assert line_writer.store.jobs.tried(TASK, fingerprint(BASELINE))
    assert line_writer.store.jobs.open_jobs(line_writer.key, *KINDS) == []


def test_nothing_is_known_of_a_line_before_its_baseline(home: Home, store: Store) -> None:
    with pytest.raises(ArnodeError) as caught:
        _ = line_writer_of(home, store).known_line
    assert "start the node" in caught.value.hint


def test_an_experiment_is_tried_from_the_moment_its_screen_is_planned(
    line_writer: LineWriter,
) -> None:
    proposal = proposal_of(BASELINE, "0.2")
    job = open_experiment(line_writer, Idea.of(line_writer, proposal))
    assert line_writer.store.jobs.tried(TASK, proposal.fingerprint)
    (screen,) = line_writer.store.jobs.runs_of(job.id)
    assert (screen.tree, screen.role, screen.outcome) == (proposal.source.tree, "candidate", None)


def test_a_kept_experiment_moves_the_working_line_and_its_reference_runs(
    line_writer: LineWriter,
) -> None:
    kept = keep(line_writer, "0.2")
    line = line_writer.known_line
    result = result_in(line_writer, kept.result)
    assert (result.stage, result.patch, result.tree) == ("keep", kept.patch, line.working)
    assert line.verified == BASELINE.tree
    assert line.stack == (kept.patch,)
    # The screen's run is discarded: it was selected.
    assert line.reference_nano == (BASE_NANO - GAIN_NANO + 1,)
    assert line_writer.store.jobs.line(line_writer.key) == line


def test_a_discarded_experiment_leaves_the_line_alone(line_writer: LineWriter) -> None:
    before = line_writer.known_line
    recorded = conclude(line_writer, proposal_of(BASELINE, "0.3"), "screened_out", BASE_NANO)
    assert line_writer.known_line == before
    assert result_in(line_writer, recorded.result).stage == "screen"
    (job,) = line_writer.store.jobs.closed_jobs(line_writer.key, ExperimentStep)
    assert job.step.decision == "screened_out"


def test_a_crash_is_recorded_with_its_reason(line_writer: LineWriter) -> None:
    recorded = conclude(line_writer, proposal_of(BASELINE, "0.4"), "failed", None)
    result = result_in(line_writer, recorded.result)
    assert (result.status, result.runs[0].reason) == ("crash", "TypeError")


def test_a_proposal_with_an_endless_title_still_reads_back(line_writer: LineWriter) -> None:
    proposal = replace(
        proposal_of(BASELINE, "0.2", title="x" * 500 + "\n"), key="k" * 500, why="y" * 5000
    )
    job = open_experiment(line_writer, Idea.of(line_writer, proposal))
    assert len(job.step.title) == 120


def test_a_transaction_that_fails_leaves_neither_record_nor_line_nor_job(
    home: Home, line_writer: LineWriter
) -> None:
    job = open_experiment(line_writer, Idea.of(line_writer, proposal_of(BASELINE, "0.2")))
    step = job.step
    line_writer.plan(job, role="candidate", tree=job.step.tree)
    runs = finished(line_writer.store, job, BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    before = [record.id for record in line_writer.store.records.listed()]
    with closing(sqlite3.connect(home.store)) as other:
        # The last thing the transaction does is to close the job.
        other.execute(
            "CREATE TRIGGER spoil BEFORE UPDATE OF state ON job BEGIN"
            " SELECT raise(ABORT, 'spoilt'); END"
        )
        other.commit()
    with pytest.raises(sqlite3.IntegrityError):
        close_experiment(line_writer, job, replace(step, decision="kept"), runs, note="")
    assert [record.id for record in line_writer.store.records.listed()] == before
    line = line_writer.store.jobs.line(line_writer.key)
    assert line is not None
    assert line.working == BASELINE.tree
    assert [
        open_job.id for open_job in line_writer.store.jobs.open_jobs(line_writer.key, *KINDS)
    ] == [job.id]


def test_a_reference_run_counts_only_for_the_tree_that_still_is_the_working_line(
    line_writer: LineWriter,
) -> None:
    late = open_reference_run(
        line_writer,
    )
    keep(line_writer, "0.2")
    finished(line_writer.store, late, BASE_NANO)
    close_reference_run(line_writer, late, line_writer.store.jobs.runs_of(late.id)[0])
    assert len(line_writer.known_line.reference_nano) == 1
    present = open_reference_run(
        line_writer,
    )
    finished(line_writer.store, present, BASE_NANO - GAIN_NANO)
    close_reference_run(line_writer, present, line_writer.store.jobs.runs_of(present.id)[0])
    assert len(line_writer.known_line.reference_nano) == 2


def test_a_pair_has_one_seed_and_both_roles(line_writer: LineWriter) -> None:
    keep(line_writer, "0.2")
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    (job,) = line_writer.store.jobs.closed_jobs(line_writer.key, PromotionTrial)
    runs = line_writer.store.jobs.runs_of(job.id)
    for first, second in zip(runs[::2], runs[1::2], strict=True):
        assert first.seed == second.seed
        assert {first.role, second.role} == {"base", "candidate"}
    assert len({run.seed for run in runs}) == 4


def test_a_passed_promotion_trial_moves_the_head_and_adopts_it_with_its_evidence(
    line_writer: LineWriter,
) -> None:
    first, second = keep(line_writer, "0.2"), keep(line_writer, "0.3")
    tree = line_writer.known_line.working
    record = promotion_trial(line_writer, gain_nano=GAIN_NANO)
    line = line_writer.known_line
    assert (line.verified, line.working, line.stack) == (tree, tree, ())
    assert len(line.reference_nano) == 2
    assert line_writer.store.jobs.line(line_writer.key) == line
    adoption = line_writer.store.records.listed("adopt")[-1].body
    assert isinstance(adoption, AdoptBody)
    assert (adoption.from_tree, adoption.to_tree) == (BASELINE.tree, tree)
    assert (adoption.evidence, adoption.unverified) == (record.id, False)
    result = result_in(line_writer, record.id)
    assert (result.stage, result.base, result.tree) == ("confirm", BASELINE.tree, tree)
    assert result.patch is not None
    stack = line_writer.store.records.patch(result.patch)
    assert isinstance(stack, PatchBody)
    assert stack.parents == (first.patch, second.patch)


def test_a_stack_of_one_is_confirmed_as_the_patch_it_is(line_writer: LineWriter) -> None:
    kept = keep(line_writer, "0.2")
    record = promotion_trial(line_writer, gain_nano=GAIN_NANO)
    assert result_in(line_writer, record.id).patch == kept.patch


def test_a_missed_promotion_trial_returns_the_working_line_to_the_head(
    line_writer: LineWriter,
) -> None:
    keep(line_writer, "0.2")
    record = promotion_trial(line_writer, gain_nano=-GAIN_NANO)
    line = line_writer.known_line
    assert (line.verified, line.working, line.stack) == (BASELINE.tree, BASELINE.tree, ())
    assert line_writer.store.records.listed("adopt") == []
    assert result_in(line_writer, record.id).status == "ok"


@pytest.mark.parametrize(("draws_from", "last"), [(100, "candidate"), (101, "base")])
def test_a_promotion_trial_that_cannot_run_is_recorded_as_the_failure_it_is(
    home: Home, store: Store, draws_from: int, last: str
) -> None:
    # An odd draw reverses the order within the pair.
    line_writer = with_baseline(home, store, seeds=itertools.count(draws_from, 2))
    keep(line_writer, "0.2")
    record = promotion_trial(line_writer, gain_nano=None, pairs=1)
    result = result_in(line_writer, record.id)
    assert result.runs[-1].role == last
    assert result.status == "crash"
    assert line_writer.known_line.working == BASELINE.tree


def test_a_head_moved_by_hand_is_marked_unverified_without_evidence(
    line_writer: LineWriter,
) -> None:
    keep(line_writer, "0.2")
    tree = line_writer.known_line.working
    record = move_head(line_writer, tree, evidence=None)
    assert isinstance(record.body, AdoptBody)
    assert record.body.unverified
    line = line_writer.known_line
    assert (line.verified, line.working, line.stack, line.reference_nano) == (tree, tree, (), ())


def test_the_head_is_not_moved_under_a_promotion_trial(line_writer: LineWriter) -> None:
    keep(line_writer, "0.2")
    open_promotion_trial(line_writer)
    with pytest.raises(ArnodeError) as caught:
        move_head(line_writer, BASELINE.tree, evidence=None)
    assert "arnode start" in caught.value.hint
