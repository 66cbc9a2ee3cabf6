"""The short form of `make bench PART=lanes`: many lanes do as much each, and decide the same."""

import asyncio
from pathlib import Path

import pytest

from node.home.home import Home
from node.line.experiment import ExperimentStep
from node.loop.session_plan import Goal
from node.store.store import Store
from tests.node.examples import LINE
from tests.node.scripted import Bench
from tools.bench.lanes import Insertions, Sleeper, World, play, run_lanes


def test_a_session_of_many_lanes_on_a_line_that_moves_is_played_to_its_end() -> None:
    one, many = (play(count, 3, experiments=25) for count in (1, 8))
    assert one.experiments == many.experiments == 25  # one that is tried again is not another
    assert one.rebased <= 1  # next to what is scored while the next trains
    assert one.runs > 25
    assert many.runs > 25


@pytest.mark.soak
def test_many_lanes_do_as_much_each_as_few(tmp_path: Path) -> None:
    figures = run_lanes(
        tmp_path, counts=(2, 8), measured_s=4.0, sessions=1, curves=1, targets_sd=(3.0,)
    )
    throughput = figures["throughput"]
    assert isinstance(throughput, dict)
    assert [throughput[count]["most_in_flight"] for count in ("2", "8")] == [2, 8]
    # Sleeping lanes; how crowded this machine is costs some of it.
    assert all(throughput[count]["of_linear"] > 0.7 for count in ("2", "8"))
    reached = figures["to_reach"]
    assert isinstance(reached, dict)
    assert reached["to_3_sd"]["times"]["ratio"] > 1, "sixteen lanes are sooner there than one"


def test_many_lanes_never_try_one_thing_twice(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    lanes = [
        Sleeper(world=World(seed=3), train_s=0.002, score_s=0.001, spread=0.5) for _ in range(16)
    ]
    with Store.open(home) as store:
        bench = Bench(
            home=home,
            store=store,
            runner=lanes[0],
            others=lanes[1:],
            is_shared=True,
            goal=Goal(max_experiments=48),
            proposer=Insertions(),
        )
        asyncio.run(bench.research().run())
        steps = [job.step for job in store.jobs.closed_jobs(LINE, ExperimentStep)]
    assert len({step.idea.fingerprint for step in steps}) == len(steps) >= 48
