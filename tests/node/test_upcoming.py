"""What is run next: planned runs, trials of the head first, without those that are under way."""

from node.home.home import Home
from node.line.checkpoint import open_checkpoint
from node.line.experiment import open_experiment
from node.line.idea import Idea
from node.line.open_work import upcoming
from node.store.store import Store
from tests.node.books import keep, proposal_of, with_baseline


def test_planned_runs_come_in_the_order_of_their_kinds_and_those_begun_are_left_out(
    home: Home, store: Store
) -> None:
    ledger = with_baseline(home, store)
    keep(ledger, "0.2")
    idea = Idea.of(ledger, proposal_of(ledger.source(ledger.known_line.working), "0.3"))
    experiment = open_experiment(ledger, idea)
    checkpoint = open_checkpoint(ledger)
    ledger.plan(checkpoint, role="candidate", tree=ledger.known_line.working)
    found = upcoming(store, ledger.key, (), most=10)
    assert [one.stage for one in found] == ["checkpoint, candidate", "screen"]
    begun = {(run.job_id, run.ordinal) for run in store.jobs.runs_of(checkpoint.id)}
    assert upcoming(store, ledger.key, begun, most=10) == found[1:]
    assert upcoming(store, ledger.key, (), most=1) == found[:1]
    assert [run.job_id for run in store.jobs.runs_of(experiment.id)] == [experiment.id]
