"""A planner writes during runs, every dozen own ideas; nobody waits, and its last aim stays."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.completion import CompletionFault, CompletionRequest, ModelCompletion
from agent.model.planner import ModelPlanner
from node.home.clock import clock_ms
from node.home.home import Home
from node.line.experiment import ExperimentStep
from node.line.line_writer import LineWriter
from node.loop.planning import Planning, aim_in_force
from node.loop.slow_ideas import SlowIdeas
from node.reporting.status import status_document
from node.reporting.status_text import print_status
from node.store.notes import keep_note
from node.store.store import Store
from tests.agent.contexts import SECRET, context
from tests.agent.scripted import LIMITS, SPENT
from tests.node.examples import KEY, LINE
from tests.node.line_writers import BASE_NANO, conclude, line_writer_of, proposal_of
from tests.node.scripted import Bench, until
from tests.node.test_slow_ideas import Clock, Scribe

SPENT_DAY = CompletionFault(kind="over_budget", detail="the day is spent", retry_s=600.0)


@dataclass(kw_only=True)
class Thinker:
    """A model that answers when it is let: one text or fault after the other."""

    answers: list[str | CompletionFault] = field(default_factory=list)
    asked: list[CompletionRequest] = field(default_factory=list)
    leave: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, question: CompletionRequest) -> ModelCompletion | CompletionFault:
        self.asked.append(question)
        await self.leave.wait()
        said = self.answers.pop(0)
        return (
            said
            if isinstance(said, CompletionFault)
            else ModelCompletion(text=said, is_cut=False, cost=SPENT)
        )


def thinker(*answers: str | CompletionFault) -> Thinker:
    """Return one that answers at once."""
    found = Thinker(answers=list(answers))
    found.leave.set()
    return found


def planner(model: Thinker) -> ModelPlanner:
    return ModelPlanner(model, model="large", limits=LIMITS, experiments=12, secret=SECRET)


@dataclass(kw_only=True)
class PlanningBench:
    """A planner at work on a line, and the messages for people."""

    line_writer: LineWriter
    model: Thinker
    clock: Clock = field(default_factory=Clock)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.planning = Planning(
            planner(self.model),
            self.line_writer,
            say=self.said.append,
            clock_s=self.clock,
            clock_ms=lambda: 1_700_000_000_000,
        )

    async def prepare(self) -> None:
        """Have an aim written if one is due, and taken."""
        self.planning.prepare(context)
        writing = self.planning._writing
        if writing is not None:
            await writing
        self.planning.prepare(context)

    @property
    def aim(self) -> str | None:
        aim = aim_in_force(self.line_writer.store, LINE)
        return aim and aim.text


def tried(line_writer: LineWriter, count: int, *, arm: str | None = "small") -> None:
    """Record `count` experiments."""
    first = len(line_writer.store.jobs.closed_jobs(LINE, ExperimentStep))
    for number in range(first, first + count):
        proposal = proposal_of(
            line_writer.source(line_writer.known_line.working), f"0.3{number:03}"
        )
        conclude(line_writer, proposal, "screened_out", BASE_NANO, arm=arm)


def run(work: Coroutine[Any, Any, None]) -> None:
    async def within_limit() -> None:
        async with asyncio.timeout(60):
            await work

    asyncio.run(within_limit())


def test_the_first_aim_is_asked_for_at_once_and_the_next_after_a_dozen_own_ideas(
    line_writer: LineWriter,
) -> None:
    async def work() -> None:
        bench = PlanningBench(line_writer=line_writer, model=thinker("AIM: one", "AIM: two"))
        await bench.prepare()
        assert bench.aim == "one"
        tried(line_writer, 11)
        tried(line_writer, 5, arm=None)  # peers' claims and what was handed in
        await bench.prepare()
        assert (bench.aim, len(bench.model.asked)) == ("one", 1)
        tried(line_writer, 1)
        await bench.prepare()
        assert (bench.aim, len(bench.model.asked)) == ("two", 2)
        assert bench.said == ["the planner large aims at: one", "the planner large aims at: two"]

    run(work())


def test_what_is_tried_while_it_writes_counts_for_the_next_aim(line_writer: LineWriter) -> None:
    async def work() -> None:
        bench = PlanningBench(
            line_writer=line_writer, model=Thinker(answers=["AIM: one", "AIM: two"])
        )
        bench.planning.prepare(context)
        tried(line_writer, 12)
        bench.model.leave.set()
        await bench.prepare()
        await bench.prepare()
        assert (bench.aim, len(bench.model.asked)) == ("two", 2)

    run(work())


def test_it_is_asked_once_at_a_time(line_writer: LineWriter) -> None:
    async def work() -> None:
        bench = PlanningBench(line_writer=line_writer, model=Thinker())
        for _ in range(3):
            bench.planning.prepare(context)
            await until(lambda: bool(bench.model.asked))
        await bench.planning.close()
        assert len(bench.model.asked) == 1

    run(work())


def test_a_restart_goes_on_with_the_aim_and_the_count(line_writer: LineWriter, home: Home) -> None:
    async def work() -> None:
        bench = PlanningBench(line_writer=line_writer, model=thinker("AIM: one"))
        await bench.prepare()
        tried(line_writer, 11)
        again = PlanningBench(
            line_writer=line_writer_of(home, line_writer.store), model=thinker("AIM: two")
        )
        await again.prepare()
        assert (again.aim, again.model.asked) == ("one", [])
        tried(line_writer, 1)
        await again.prepare()
        assert again.aim == "two"

    run(work())


def test_out_of_budget_its_last_aim_stands_for_a_while_and_it_is_said_once(
    line_writer: LineWriter,
) -> None:
    async def work() -> None:
        bench = PlanningBench(
            line_writer=line_writer, model=thinker("AIM: one", *[SPENT_DAY] * 9, "AIM: two")
        )
        await bench.prepare()
        asked, aims = [], []
        for count in (12, 12, 11, 1):
            tried(line_writer, count)
            bench.clock.now_s += 601
            await bench.prepare()
            await bench.prepare()  # within the pause
            asked.append(len(bench.model.asked))
            aims.append(bench.aim)
        assert asked == [2, 3, 4, 5]
        assert aims == ["one", "one", "one", None]
        assert bench.said[1:] == [
            "the planner large: over budget: the day is spent; its last aim stays"
        ]
        assert bench.planning.state.waiting == "over budget: the day is spent"
        bench.model.answers[:] = ["AIM: two"]
        bench.clock.now_s += 601
        await bench.prepare()
        assert (bench.aim, bench.planning.state.waiting) == ("two", "")

    run(work())


def test_without_any_aim_that_is_what_is_said(line_writer: LineWriter) -> None:
    async def work() -> None:
        bench = PlanningBench(
            line_writer=line_writer,
            model=thinker(CompletionFault(kind="unreachable", detail="refused")),
        )
        await bench.prepare()
        assert bench.aim is None
        assert bench.said == ["the planner large: unreachable: refused; there is no aim"]

    run(work())


def test_what_was_written_when_the_session_ends_is_kept(line_writer: LineWriter) -> None:
    async def work() -> None:
        bench = PlanningBench(line_writer=line_writer, model=thinker("AIM: one"))
        bench.planning.prepare(context)
        writing = bench.planning._writing
        assert writing is not None
        await writing
        await bench.planning.close()
        assert bench.aim == "one"

    run(work())


def test_proposers_get_the_aim_after_the_owners_words(home: Home, line_writer: LineWriter) -> None:
    async def work() -> None:
        keep_note(line_writer.store, LINE, "Try a warm-up.", now_ms=clock_ms())
        model = thinker("AIM: Look at the schedule.")
        scribe = Scribe()
        bench = Bench(
            home=home,
            store=line_writer.store,
            slow=[SlowIdeas(scribe, say=lambda _: None)],
            planner=planner(model),
        )
        ideas = bench.loop_assembly(line_writer).ideas
        ideas.prepare()
        await until(lambda: aim_is_written(ideas))
        await until(lambda: bool(scribe.asked))
        brief = ideas.context().brief
        assert brief is not None
        assert (brief.notes, brief.planner_aim) == (("Try a warm-up.",), "Look at the schedule.")
        assert scribe.asked[0].brief is not None
        assert scribe.asked[0].brief.planner_aim == ""  # it was asked before there was one
        assert "Try a warm-up." in model.asked[0].messages[1].content
        await ideas.close()
        none_set = (
            Bench(home=home, store=line_writer.store)
            .loop_assembly(line_writer)
            .ideas.context()
            .brief
        )
        assert none_set is not None
        assert none_set.planner_aim == ""

    def aim_is_written(ideas: Any) -> bool:
        ideas.prepare()
        return aim_in_force(line_writer.store, LINE) is not None

    run(work())


def test_a_session_goes_on_while_the_planner_thinks(home: Home, store: Store) -> None:
    async def work() -> None:
        model = Thinker()
        bench = Bench(home=home, store=store, ideas=4, planner=planner(model))
        await bench.research().run()
        assert len(model.asked) == 1

    run(work())
    steps = [job.step for job in store.jobs.closed_jobs(LINE, ExperimentStep)]
    assert [step.title for step in steps] == [f"LEARNING_RATE → 0.20{n}" for n in range(4)]


def status_of(store: Store, **live: Any) -> dict[str, Any]:
    return status_document(store, author=KEY.public, net="main", sandbox="full", **live)


def test_status_reports_the_aim_with_and_without_a_node(
    home: Home, line_writer: LineWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work() -> None:
        bench = PlanningBench(
            line_writer=line_writer, model=thinker("AIM: Look at \x1b[2Jthe schedule.")
        )
        await bench.prepare()

    store = line_writer.store
    assert status_of(store)["lines"][0]["planner"] is None
    research = Bench(home=home, store=store, planner=planner(Thinker())).research()
    reported = {"model": "large", "aim": None, "written": None, "waiting": None}
    assert status_of(store, research=research)["lines"][0]["planner"] == reported
    print_status(status_of(store, research=research))
    assert "  planner's aim  none yet (large)" in capsys.readouterr().out
    run(work())
    reported |= {"aim": "Look at [2Jthe schedule.", "written": 1_700_000_000}
    assert status_of(store)["lines"][0]["planner"] == reported
    assert status_of(store, research=research)["lines"][0]["planner"] == reported
    print_status(status_of(store))
    assert "  planner's aim  Look at [2Jthe schedule. (large)\n" in capsys.readouterr().out
    nobody = Bench(home=home, store=store).research()
    assert status_of(store, research=nobody)["lines"][0]["planner"] is None
    resting = {**reported, "waiting": "over budget"}
    document = status_of(store)
    print_status(document | {"lines": [{**document["lines"][0], "planner": resting}]})
    assert "(large; waiting: over budget)" in capsys.readouterr().out
