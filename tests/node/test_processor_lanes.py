"""Lanes that share the processor: which runs overlap, and which continue after a kill."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from agent.source.edits import reapply
from node.home.home import Home
from node.line import plateaus
from node.line.activity import Activity
from node.line.experiment import ExperimentStep
from node.line.rerun import WantedClaim
from node.loop.devices import Lanes
from node.loop.session_plan import Goal
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.source import Source
from tests.node.examples import BASELINE, LINE
from tests.node.line_writers import GAIN_NANO, line_writer_of, proposal_of, with_baseline
from tests.node.peer_authors import PeerAuthor, peers
from tests.node.scripted import OUTCOME, Bench, ExampleTask, ScriptedRunner, better, until
from tests.node.test_ideas import good_job
from trainer.measuring.loss_curve import LossCurve, as_pairs
from trainer.measuring.outcome import RunOutcome
from trainer.runner import Runner

COUNT = 4


@dataclass(kw_only=True)
class Watched:
    """The running trees on all lanes, and those that ran at once."""

    alive: list[tuple[int, bytes | None, bytes]] = field(default_factory=list)  # lane, split, tree
    most: int = 0
    emptied: int = 0  # how often all lanes were empty before
    shared: list[bytes] = field(default_factory=list)  # splits known on two lanes at once
    most_untrusted: int = 0
    also_running: Counter[bytes] = field(default_factory=Counter)  # next to untrusted runs
    untrusted: set[bytes] = field(default_factory=set)

    def begin(self, one: tuple[int, bytes | None, bytes]) -> None:
        lane, split, _ = one
        if split is not None and any(
            split == other and lane != its for its, other, _ in self.alive
        ):
            self.shared.append(split)
        self.emptied += not self.alive
        self.alive.append(one)
        self.most = max(self.most, len(self.alive))
        theirs = [tree for _, _, tree in self.alive if tree in self.untrusted]
        self.most_untrusted = max(self.most_untrusted, len(theirs))
        if theirs:
            self.also_running.update(
                tree for _, _, tree in self.alive if tree not in self.untrusted
            )


@dataclass(kw_only=True)
class WatchedLane(ScriptedRunner):
    """A lane whose runs are seen by one who sees those of all lanes; each takes a few turns."""

    number: int = 0
    watched: Watched = field(default_factory=Watched)
    turns: int = 40

    async def run(self, source: Source, seed: int, **how: Any) -> RunOutcome:
        one = (self.number, how["split"], source.tree)
        self.watched.begin(one)
        try:
            for _ in range(self.turns + self.number):
                await asyncio.sleep(0)
            return await super().run(source, seed, **how)
        finally:
            self.watched.alive.remove(one)


def settled(work: Coroutine[Any, Any, None]) -> None:
    """Run it to its end."""
    asyncio.run(asyncio.wait_for(work, 60))


def laned(home: Home, store: Store, watched: Watched | None = None, **changes: Any) -> Bench:
    seen = watched or Watched()
    lanes = [WatchedLane(number=number, watched=seen) for number in range(COUNT)]
    return Bench(
        home=home, store=store, runner=lanes[0], others=lanes[1:], is_shared=True, **changes
    )


def lanes_of(bench: Bench) -> list[WatchedLane]:
    return cast("list[WatchedLane]", [bench.runner, *bench.others])


def test_each_lane_has_a_run_and_none_has_two(home: Home, store: Store) -> None:
    bench = laned(home, store, watched := Watched(), goal=Goal(max_experiments=40))
    settled(bench.research().run())
    assert watched.most == COUNT
    assert all(len(lane.started) > 5 for lane in lanes_of(bench))
    assert bench.decisions().count("discarded") == 40


def test_no_run_waits_in_a_lane_while_another_is_empty(home: Home, store: Store) -> None:
    """A lane whose run is being scored gets no other one, though it may train there."""
    bench = laned(home, store, goal=Goal(max_experiments=2))
    settled(bench.research().run())
    lanes = lanes_of(bench)
    for lane in lanes:
        lane.started.clear()
        lane.gate = asyncio.Event()
    bench.goal = Goal(max_experiments=8)

    async def work() -> None:
        lanes[0].gate = None  # for the reference runs
        lanes[0].on_start = lambda count: setattr(lanes[0], "gate", count > 1 and asyncio.Event())
        loop = asyncio.create_task(bench.research().run())
        await until(lambda: [len(lane.started) for lane in lanes] == [2, 1, 1, 1])
        for _ in range(50):
            await asyncio.sleep(0)
        assert [len(lane.started) for lane in lanes] == [2, 1, 1, 1]
        for lane in lanes:
            if lane.gate:
                lane.gate.set()
            lane.gate, lane.on_start = None, lambda _count: None
        await loop

    settled(work())


def test_what_runs_next_to_a_confirmation_is_its_other_run_alone(home: Home, store: Store) -> None:
    """Its runs stay on one lane, where one trains while the one before is scored."""
    bench = laned(home, store, watched := Watched(), ideas=1)
    for lane in lanes_of(bench):
        lane.outcomes = dict([better("0.200")])
    settled(bench.research().run())
    assert bench.decisions() == ["baseline", "kept", "adopted"]
    confirming = [
        lane
        for lane in lanes_of(bench)
        if any(count > 2 for split, count in Counter(lane.splits).items() if split)
    ]
    assert len(confirming) == 1
    assert watched.shared == []


def test_no_two_lanes_know_a_split_at_once_whatever_they_do(home: Home, store: Store) -> None:
    """Run a whole night: references, screens, rechecks, confirmations, peers' trees, audits."""
    watched = Watched()
    blobs = Blobs(home.blobs)
    for number in range(3):
        ada = PeerAuthor(store, blobs, number=60 + number)
        for claim in range(6):
            tree = proposal_of(BASELINE, f"0.{700 + 10 * number + claim}").source
            watched.untrusted.add(tree.tree)
            ada.claims(tree, 3.0 + claim)
    bench = laned(home, store, watched, goal=Goal(max_experiments=60), peers=peers(0.3))
    gains = {
        proposal_of(BASELINE, f"0.{rate}").source.tree: replace(
            OUTCOME, metric_nano=OUTCOME.metric_nano - gain, secret_nano=OUTCOME.metric_nano - gain
        )
        for rate, gain in ((205, GAIN_NANO), (215, GAIN_NANO), (230, 2 * GAIN_NANO))
        if OUTCOME.metric_nano is not None
    }
    for lane in lanes_of(bench):
        lane.outcomes = gains
    research = bench.research()
    claimed = proposal_of(BASELINE, "0.9").source
    wanted = WantedClaim(
        base=BASELINE,
        candidate=claimed,
        target=PeerAuthor(store, blobs, number=70).claims(claimed, 30.0),
        author=bytes(32),
        gain_nano=GAIN_NANO,
        lower_nano=None,
        alpha=0.05,
        max_pairs=4,
        is_quick=False,
        is_published=False,
    )
    watched.untrusted.add(claimed.tree)
    # While experiments are at work on all lanes.
    bench.runner.on_start = lambda count: research.rerun(wanted) if count == 9 else None
    settled(research.run())
    bench.goal = Goal(max_experiments=8)
    settled(bench.research().run())  # another session, which begins with reference runs
    kinds = {
        row[0]
        for row in store.database.rows(
            "SELECT DISTINCT kind FROM job JOIN planned_run ON job = job.id", ()
        )
    }
    assert {"baseline", "reference_run", "experiment", "promotion_trial", "rerun"} <= kinds
    assert watched.shared == []
    splits = [split for lane in lanes_of(bench) for split in set(lane.splits) if split]
    assert len(splits) > 2
    assert len(splits) == len(set(splits))  # nor one after the other
    assert watched.most_untrusted == 1


@pytest.mark.usefixtures("inspected_here")
def test_untrusted_code_bars_no_lane_from_own_ideas(home: Home, store: Store) -> None:
    watched = Watched()
    ada = PeerAuthor(store, Blobs(home.blobs), number=60)
    with_baseline(home, store)
    for claim in range(8):
        tree = proposal_of(BASELINE, f"0.{700 + claim}").source
        watched.untrusted.add(tree.tree)
        ada.claims(tree, 2.0)
    bench = laned(home, store, watched, goal=Goal(max_experiments=30), peers=peers(1.0))
    settled(bench.research().run())
    assert watched.most_untrusted == 1
    assert watched.also_running
    own = [job.step.idea.author is None for job in store.jobs.closed_jobs(LINE, ExperimentStep)]
    assert own.count(True) > 5
    assert own.count(False) > 2


def test_on_a_plateau_with_nothing_else_to_do_no_lane_waits_for_the_others(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plateaus, "ENOUGH", 0.36)  # a plateau of eight experiments
    bench = laned(home, store, watched := Watched(), ideas=80, goal=Goal(max_experiments=40))
    research = bench.research()
    settled(research.run())
    assert bench.loop_assembly(line_writer_of(home, store)).exploring.is_on_plateau
    assert watched.emptied <= 3  # at the beginning, and after each of the baseline's


def test_all_lanes_are_timed_at_once_after_a_new_lines_baseline(home: Home, store: Store) -> None:
    """Each is as busy then as it will be; before that only the baseline itself may run."""
    at_once: list[int] = []
    calibrating = 0

    @dataclass(kw_only=True)
    class Fresh(WatchedLane):
        task: Any = field(default_factory=ExampleTask)
        untimed: list[bytes] = field(default_factory=list)

        async def calibrate(self, seed: int) -> RunOutcome:
            nonlocal calibrating
            calibrating += 1
            at_once.append(calibrating)
            await asyncio.sleep(0.001)
            calibrating -= 1
            self.baseline_cost = "timed here"
            return await super().calibrate(seed)

        async def run(self, source: Source, seed: int, **how: Any) -> RunOutcome:
            if self.baseline_cost is None:
                self.untimed.append(source.tree)
            outcome = await super().run(source, seed, **how)
            if source.tree == BASELINE.tree and self.baseline_cost is None:
                self.baseline_cost = "as its baseline's audit said"
            return outcome

    watched = Watched()
    lanes = [
        Fresh(number=number, watched=watched, baseline_cost=cast("str", None))
        for number in range(COUNT)
    ]
    bench = Bench(
        home=home, store=store, runner=lanes[0], others=lanes[1:], is_shared=True,
        goal=Goal(max_experiments=9),
    )  # fmt: skip
    settled(bench.research().run())
    assert sorted(at_once) == list(range(1, COUNT + 1))
    assert [lane.calibrations for lane in lanes] == [1] * COUNT
    assert {tree for lane in lanes for tree in lane.untimed} == {BASELINE.tree}


def test_a_lane_that_cannot_be_timed_ends_the_session_with_its_word() -> None:
    ended: list[str] = []

    @dataclass(kw_only=True)
    class Broken(ScriptedRunner):
        is_bad: bool = False

        async def calibrate(self, seed: int) -> RunOutcome:
            if self.is_bad:
                raise ArnodeError("the baseline failed", "look at it")
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append("let go")
            raise AssertionError

    lanes = Lanes(
        [cast("Runner", Broken()), cast("Runner", Broken(is_bad=True))], share_processor=True
    )
    with pytest.raises(ArnodeError, match="the baseline failed"):
        asyncio.run(lanes.calibrate())
    assert ended == ["let go"]


def test_what_a_kill_cut_off_on_all_lanes_is_made_again_with_its_seeds(
    home: Home, store: Store
) -> None:
    bench = laned(home, store, goal=Goal(max_experiments=20))
    with_baseline(home, store)
    held = [asyncio.Event() for _ in range(COUNT)]

    async def killed() -> None:
        for lane, event in zip(lanes_of(bench), held, strict=True):
            lane.training = event
        lanes_of(bench)[0].training = None  # for the reference runs
        lanes_of(bench)[0].on_start = lambda count: (
            setattr(lanes_of(bench)[0], "training", held[0]) if count > 1 else None
        )
        loop = asyncio.create_task(bench.research().run())
        await until(lambda: sum(len(lane.started) for lane in lanes_of(bench)) == COUNT + 1)
        loop.cancel()  # nothing is written at a kill
        await asyncio.gather(loop, return_exceptions=True)

    settled(killed())
    cut_off = [
        run
        for job in store.jobs.open_jobs(LINE, ExperimentStep)
        for run in store.jobs.runs_of(job.id)
        if run.outcome is None
    ]
    assert len(cut_off) == COUNT
    again = laned(home, store, goal=Goal(max_experiments=1))
    settled(again.research().run())
    for run in cut_off:
        made = store.jobs.runs_of(run.job_id)[run.ordinal]
        assert made.outcome is not None
        assert (made.seed, made.tree, made.outcome.run.seed) == (run.seed, run.tree, run.seed)
    assert {run.seed for run in cut_off} <= {s for one in lanes_of(again) for s in one.seeds}


def test_an_idea_is_tried_again_on_whatever_the_working_line_is_by_then(
    home: Home, store: Store
) -> None:
    line_writer = with_baseline(home, store)
    bench = laned(home, store)
    ideas = bench.loop_assembly(line_writer).ideas
    job = good_job(line_writer, "0.5")
    text = BASELINE["train.py"]
    for line in (b"FIRST = 1\n", b"SECOND = 1\n"):  # the line moves once more before it is taken
        text += line
        moved = BASELINE.replacing("train.py", text)
        line_writer.blobs.put_source(moved)
        line_writer.save(replace(line_writer.known_line, working=moved.tree))
        if line.startswith(b"FIRST"):
            ideas.try_again(job, b"p" * 32)
    idea = ideas.again()
    assert idea is not None
    assert ideas.again() is None
    assert idea.parents == (b"p" * 32,)
    assert line_writer.source(idea.tree) == reapply(idea.edits, moved)
    assert idea.base == moved.tree


def test_what_runs_is_reported_until_it_has_ended_and_how_many_more() -> None:
    activity = Activity(lambda _reported: None)
    activity.running("baseline", "calibrating", "timing")
    assert activity.also_running == 0
    activity.running("one", "screen", "first run", run=1)
    activity.running("two", "recheck", "second run", run=2)
    assert (activity.title, activity.also_running) == ("two", 1)
    activity.ended(2)
    assert (activity.title, activity.stage, activity.also_running) == ("one", "screen", 0)
    activity.ended(1)
    assert activity.title == "one"  # until something else begins


def test_each_run_at_work_has_its_curve_which_fills_as_it_prints() -> None:
    activity = Activity(lambda _reported: None)
    first, second, again = LossCurve(), LossCurve(), LossCurve()
    activity.running("one", "screen", "first run", run=1)
    activity.running("two", "screen", "first run", run=2)
    activity.trains(1, first)
    activity.trains(2, second)
    first.feed(b"step 1 loss 3\n")
    second.feed(b"step 1 loss 4\nstep 2 loss 2\n")
    assert [as_pairs(one.points) for one in activity.at_work] == [[(1, 3.0)], [(1, 4.0), (2, 2.0)]]
    assert activity.points == second.points
    activity.trains(2, again)
    assert activity.points == ()
    activity.ended(2)
    assert activity.points == first.points
    activity.idle("resting")
    assert activity.points == ()


def test_what_a_run_prints_of_its_loss_is_kept_with_it_and_in_no_record(
    home: Home, store: Store
) -> None:
    bench = Bench(home=home, store=store, goal=Goal(max_experiments=1))
    bench.runner.prints = b"step 7 loss 3.125\n"
    settled(bench.research().run())
    ended = [
        run.outcome
        for job in range(1, store.jobs.last_job() + 1)
        for run in store.jobs.runs_of(job)
        if run.outcome
    ]
    assert ended
    assert {tuple(as_pairs(one.curve)) for one in ended} == {((7, 3.125),)}
    assert all("curve" not in str(one.run.to_value()) for one in ended)


def test_pace_is_of_all_lanes_and_the_share_of_training_of_one() -> None:
    activity = Activity(lambda _reported: None)
    activity.lanes = 4
    activity.started_s -= 100
    for _ in range(40):
        activity.finished(5_000)
    assert activity.runs_per_hour == pytest.approx(1440, rel=0.01)
    assert activity.counted_share == pytest.approx(0.5, rel=0.01)
