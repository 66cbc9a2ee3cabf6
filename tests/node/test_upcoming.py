"""Upcoming runs: trials of the head first, without those in progress."""

from node.home.home import Home
from node.line.experiment import open_experiment
from node.line.idea import Idea
from node.line.open_work import upcoming
from node.line.promotion_trial import open_promotion_trial
from node.store.store import Store
from tests.node.line_writers import keep, proposal_of, with_baseline


def test_planned_runs_come_in_the_order_of_their_kinds_and_those_begun_are_left_out(
    home: Home, store: Store
) -> None:
    line_writer = with_baseline(home, store)
    keep(line_writer, "0.2")
    idea = Idea.of(
        line_writer, proposal_of(line_writer.source(line_writer.known_line.working), "0.3")
    )
    experiment = open_experiment(line_writer, idea)
    promotion_trial = open_promotion_trial(line_writer)
    line_writer.plan(promotion_trial, role="candidate", tree=line_writer.known_line.working)
    found = upcoming(store, line_writer.key, (), most=10)
    assert [one.stage for one in found] == ["promotion_trial, candidate", "screen"]
    begun = {(run.job_id, run.ordinal) for run in store.jobs.runs_of(promotion_trial.id)}
    assert upcoming(store, line_writer.key, begun, most=10) == found[1:]
    assert upcoming(store, line_writer.key, (), most=1) == found[:1]
    assert [run.job_id for run in store.jobs.runs_of(experiment.id)] == [experiment.id]
