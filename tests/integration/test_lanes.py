"""Two lanes of the processor, as their user has them: real processes, sandboxes and runs."""

from itertools import combinations
from pathlib import Path

import pytest

from node.home.home import Home
from node.line.experiment import ExperimentStep
from node.store.jobs import PlannedRun
from node.store.store import Store
from tests.integration.nodes import (
    UNHURRIED_FLAGS,
    answered,
    arnode,
    arnode_json,
    fault_of,
    running_node,
    used_ticks,
)
from trainer.host.capacity import usable_cores

LANES = ("--lanes", "2")
pytestmark = pytest.mark.skipif(usable_cores() < 2, reason="two lanes take two cores")


def runs_of(home: Path, *, is_open: bool = False) -> list[PlannedRun]:
    """Return the runs of all experiments, or those that were begun and have no outcome."""
    with Store.open_read_only(Home(home)) as store:
        (line,) = store.jobs.lines()
        if is_open:
            jobs = store.jobs.open_jobs(line.key, ExperimentStep)
        else:
            jobs = store.jobs.closed_jobs(line.key, ExperimentStep)
        runs = [run for job in jobs for run in store.jobs.runs_of(job.id)]
    return [run for run in runs if (run.outcome is None) == is_open]


@pytest.mark.soak
def test_a_night_of_two_lanes_is_one_line_with_one_history(copied: Path) -> None:
    before = len(runs_of(copied))
    with running_node(copied, *LANES, "--max-experiments", "4") as node:
        node.wait_for_status(stage="screen")
        assert arnode_json(copied, "status")["lines"][0]["lanes"] == 2
        assert node.end() == 0
    made = runs_of(copied)[before:]
    assert len(made) == 4
    training = []
    for run in made:
        assert run.outcome is not None
        assert run.outcome.run.status == "ok"
        training += [
            (one.start_ms, one.end_ms)
            for one in run.outcome.stages
            if (one.part, one.name) == ("train", "train")
        ]
    assert any(max(a[0], b[0]) < min(a[1], b[1]) for a, b in combinations(training, 2))
    assert arnode_json(copied, "home", "fsck")["problems"] == []


@pytest.mark.soak
def test_what_a_kill_cut_off_on_two_lanes_is_made_again_with_its_seeds(copied: Path) -> None:
    with running_node(copied, *LANES) as node:
        node.wait_until(lambda: len(runs_of(copied, is_open=True)) == 2)
        node.kill()
    cut_off = runs_of(copied, is_open=True)
    assert cut_off
    arnode(copied, "start", *UNHURRIED_FLAGS, *LANES, "--max-experiments", "1")
    made = {(run.job_id, run.ordinal): run for run in runs_of(copied)}
    for run in cut_off:
        again = made[run.job_id, run.ordinal]
        assert (again.seed, again.tree) == (run.seed, run.tree)
        assert again.outcome is not None
        assert again.outcome.run.seed == run.seed
    assert arnode_json(copied, "home", "fsck")["problems"] == []


@pytest.mark.soak
def test_what_a_pause_ended_on_two_lanes_is_made_again_with_its_seeds(copied: Path) -> None:
    with running_node(copied, *LANES) as node:
        node.wait_until(lambda: len(runs_of(copied, is_open=True)) == 2)
        document = arnode_json(copied, "pause")
        ended = runs_of(copied, is_open=True)
        assert document["runs_ended"] == len(ended) == 2
        node.wait_until(lambda: used_ticks(node.process.pid) == 0)
        assert runs_of(copied, is_open=True) == ended
        answered(copied, "resume")
        wanted = {(run.job_id, run.ordinal) for run in ended}
        node.wait_until(lambda: wanted <= {(run.job_id, run.ordinal) for run in runs_of(copied)})
        answered(copied, "stop")
        assert node.end() == 0
    made = {(run.job_id, run.ordinal): run for run in runs_of(copied)}
    for run in ended:
        again = made[run.job_id, run.ordinal]
        assert (again.seed, again.tree) == (run.seed, run.tree)
        assert again.outcome is not None
        assert again.outcome.run.status == "ok"
    assert arnode_json(copied, "home", "fsck")["problems"] == []


def test_more_lanes_than_cores_are_one_error_before_anything_runs(copied: Path) -> None:
    words = ("start", *UNHURRIED_FLAGS, "--lanes", "4096")
    assert "`lanes` is 4096" in fault_of(copied, *words, code=6)
