"""A slow proposer writes during runs, nobody waits for it, and its patch fits the line."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from agent.completion import ModelCost
from agent.proposal import Context, NoProposal, Proposal, ProposerQuestion
from node.home.home import Home
from node.line.experiment import ExperimentStep, close_experiment, open_experiment
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.loop.ideas import Ideas
from node.loop.session_plan import Goal
from node.loop.slow_ideas import SlowIdeas
from node.store.store import Store
from protocol.record_kinds import PatchBody, ResultBody
from tests.node.examples import BASELINE, LINE
from tests.node.line_writers import BASE_NANO, conclude, finished, keep, proposal_of
from tests.node.scripted import Bench


@dataclass(kw_only=True)
class Scribe:
    """Answers with what it is given, one after the other, when `leave` is set."""

    name: str = "the model"
    answers: list[Proposal | NoProposal] = field(default_factory=list)
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[Context] = field(default_factory=list)

    async def propose(self, context: Context) -> Proposal | NoProposal:
        self.asked.append(context)
        await self.leave.wait()
        return self.answers.pop(0)

    def question(self, _context: Context) -> ProposerQuestion | NoProposal:
        return NoProposal(reason="it says what it is given", retry_s=0.0)


@dataclass(kw_only=True)
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def ideas_of(line_writer: LineWriter, home: Home, slow: SlowIdeas) -> Ideas:
    return (
        Bench(home=home, store=line_writer.store, ideas=3, slow=[slow])
        .loop_assembly(line_writer)
        .ideas
    )


async def settled() -> None:
    """Let what can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_nobody_waits_for_a_slow_proposer(home: Home, line_writer: LineWriter) -> None:
    async def work() -> list[str]:
        scribe = Scribe(answers=[proposal_of(BASELINE, "0.7", title="thought out")])
        ideas = ideas_of(line_writer, home, SlowIdeas(scribe, say=lambda _: None))
        ideas.prepare()
        await settled()
        titles = []
        for _ in range(2):
            idea = ideas.take()
            assert idea is not None
            titles.append(idea.title)
        scribe.leave.set()
        await settled()
        idea = ideas.take()
        assert idea is not None
        await ideas.close()
        return [*titles, idea.title]

    assert asyncio.run(work()) == ["LEARNING_RATE → 0.200", "LEARNING_RATE → 0.201", "thought out"]


def test_it_is_shown_which_hyperparameters_matter_as_last_computed_and_does_not_wait(
    home: Home, line_writer: LineWriter
) -> None:
    for number in range(10):
        proposal = proposal_of(BASELINE, f"0.2{number}")
        conclude(line_writer, proposal, "screened_out", BASE_NANO + number * 1_000_000)

    async def work() -> list[list[str]]:
        nothing = NoProposal(reason="no idea", retry_s=0.0)
        scribe = Scribe(answers=[nothing, nothing])
        scribe.leave.set()
        ideas = ideas_of(line_writer, home, SlowIdeas(scribe, say=lambda _: None))
        ideas.prepare()
        assert ideas._importance._estimate is not None
        await ideas._importance._estimate
        ideas.take()
        ideas.prepare()
        await settled()
        await ideas.close()
        return [
            [hyperparameter.name for hyperparameter in reported.importance]
            for reported in scribe.asked
        ]

    assert asyncio.run(work()) == [[], ["LEARNING_RATE"]]


def test_it_is_asked_once_at_a_time(home: Home, line_writer: LineWriter) -> None:
    async def work() -> int:
        scribe = Scribe()
        ideas = ideas_of(line_writer, home, SlowIdeas(scribe, say=lambda _: None))
        for _ in range(3):
            ideas.prepare()
            await settled()
        await ideas.close()
        return len(scribe.asked)

    assert asyncio.run(work()) == 1


def test_what_it_wrote_for_a_line_that_moved_is_made_on_the_new_one(
    home: Home, line_writer: LineWriter
) -> None:
    async def work() -> Idea:
        scribe = Scribe(answers=[proposal_of(BASELINE, "0.7")])
        ideas = ideas_of(line_writer, home, SlowIdeas(scribe, say=lambda _: None))
        ideas.prepare()
        await settled()
        other = BASELINE.replacing("train.py", BASELINE["train.py"] + b"EXTRA = 1\n")
        line_writer.blobs.put_source(other)
        line_writer.save(replace(line_writer.known_line, working=other.tree))
        scribe.leave.set()
        await settled()
        idea = ideas.take()
        await ideas.close()
        assert idea is not None
        return idea

    idea = asyncio.run(work())
    assert idea.base == line_writer.known_line.working
    assert line_writer.source(idea.tree)["train.py"] == b"LEARNING_RATE = 0.7\nEXTRA = 1\n"


def test_what_does_not_fit_the_new_line_is_let_go(home: Home, line_writer: LineWriter) -> None:
    async def work() -> str:
        scribe = Scribe(answers=[proposal_of(BASELINE, "0.7", title="too late")])
        ideas = ideas_of(line_writer, home, SlowIdeas(scribe, say=lambda _: None))
        ideas.prepare()
        await settled()
        keep(line_writer, "0.9")
        scribe.leave.set()
        await settled()
        idea = ideas.take()
        await ideas.close()
        assert idea is not None
        return idea.title

    assert asyncio.run(work()) == "LEARNING_RATE → 0.200"


def test_a_crash_is_given_back_once(home: Home, line_writer: LineWriter) -> None:
    async def work() -> list[str | None]:
        scribe = Scribe(answers=[NoProposal(reason="no idea", retry_s=0)] * 2)
        scribe.leave.set()
        slow = SlowIdeas(scribe, say=lambda _: None)
        ideas = ideas_of(line_writer, home, slow)
        proposal = replace(proposal_of(BASELINE, "0.7"), key="llm:x", proposer="llm")
        conclude(line_writer, proposal, "failed", None)
        job = line_writer.store.jobs.closed_jobs(LINE, ExperimentStep)[-1]
        ideas.learn(job)
        for _ in range(2):
            ideas.prepare()
            await settled()
            slow.take()
        await ideas.close()
        return [context.crash and context.crash.key for context in scribe.asked]

    assert asyncio.run(work()) == ["llm:x", None]


def test_who_has_nothing_rests_and_says_so_once(home: Home, line_writer: LineWriter) -> None:
    async def work() -> tuple[list[str], list[int]]:
        away = NoProposal(reason="nobody answers", retry_s=60)
        scribe = Scribe(answers=[away, away, proposal_of(BASELINE, "0.7")])
        scribe.leave.set()
        said: list[str] = []
        clock, asked = Clock(), []
        slow = SlowIdeas(scribe, say=said.append, clock_s=clock)
        ideas = ideas_of(line_writer, home, slow)
        for now_s in (0, 30, 61, 90, 122):
            clock.now_s = now_s
            ideas.prepare()
            await settled()
            slow.take()
            asked.append(len(scribe.asked))
        await ideas.close()
        return said, asked

    said, asked = asyncio.run(work())
    assert asked == [1, 1, 2, 2, 3]
    assert said == [
        "the model: nobody answers; search continue meanwhile",
        "the model proposes again",
    ]


def test_a_record_says_which_model_and_program_an_idea_came_from(
    home: Home, line_writer: LineWriter
) -> None:
    proposal = replace(
        proposal_of(BASELINE, "0.7"),
        proposer="llm",
        model="example/one",
        program=b"p" * 32,
        cost=ModelCost(calls=2, tokens_in=900, tokens_out=100, usd_nano=1_500),
    )
    job = open_experiment(line_writer, Idea.of(line_writer, proposal))
    step = job.step
    assert (step.idea.tokens, step.idea.usd_nano) == (1000, 1500)
    closed = replace(step, decision="screened_out")
    recorded = close_experiment(
        line_writer, job, closed, finished(line_writer.store, job, BASE_NANO), note=""
    )
    result = line_writer.store.records.get(recorded.result).body
    assert isinstance(result, ResultBody)
    assert (result.cost.tokens, result.cost.micro_usd) == (None, None)  # nobody else's business
    body = line_writer.store.records.get(recorded.patch).body
    assert isinstance(body, PatchBody)
    assert (body.origin.proposer, body.origin.model, body.origin.program) == (
        "llm",
        "example/one",
        b"p" * 32,
    )


def test_a_session_goes_on_with_the_built_in_search_while_nothing_is_written(
    home: Home, store: Store
) -> None:
    async def work() -> int:
        scribe = Scribe()
        slow, goal = [SlowIdeas(scribe, say=lambda _: None)], Goal(max_experiments=4)
        bench = Bench(home=home, store=store, ideas=4, slow=slow, goal=goal)
        await bench.research().run()
        return len(scribe.asked)

    assert asyncio.run(work()) == 1
    steps = [job.step for job in store.jobs.closed_jobs(LINE, ExperimentStep)]
    assert [step.title for step in steps] == [f"LEARNING_RATE → 0.20{n}" for n in range(4)]


def woken(bench: Bench) -> Callable[[], None]:
    """Return what wakes the bench's loop, whose event each start creates again."""

    def wake() -> None:
        bench.news.set()

    return wake


def test_a_session_without_other_ideas_waits_for_a_slow_proposer(home: Home, store: Store) -> None:
    """Also over a short rest: many tasks have no constants that could be varied meanwhile."""
    bench = Bench(home=home, store=store, ideas=0, goal=Goal(max_experiments=1))
    scribe = Scribe(
        answers=[
            NoProposal(reason="rate limited", retry_s=0.05),
            proposal_of(BASELINE, "0.7", title="thought out"),
        ]
    )
    bench.slow = [SlowIdeas(scribe, say=bench.said.append, on_written=woken(bench))]

    async def work() -> None:
        research = asyncio.create_task(bench.research().run())
        async with asyncio.timeout(30):
            while not scribe.asked:  # noqa: ASYNC110 -- the scribe sets no event
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            assert not research.done()
            scribe.leave.set()
            await research

    asyncio.run(work())
    assert len(scribe.asked) >= 2
    assert bench.decisions() == ["baseline", "discarded"]


def test_a_session_without_other_ideas_ends_where_a_slow_proposer_rests_for_long(
    home: Home, store: Store
) -> None:
    bench = Bench(home=home, store=store, ideas=0)
    scribe = Scribe(answers=[NoProposal(reason="the day's USD are spent", retry_s=40_000.0)])
    scribe.leave.set()
    bench.slow = [SlowIdeas(scribe, say=bench.said.append, on_written=woken(bench))]
    asyncio.run(asyncio.wait_for(bench.research().run(), 30))
    assert any("out of ideas: every proposal was already tried" in line for line in bench.said)
