"""Proposals wait for the owner, survive a kill, run once, and are not proposed again."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from agent.proposal import Context, NoProposal, Proposal, Rejection
from node.commands.node_control import start
from node.home.home import Home
from node.home.settings_in_force import load_config
from node.line.experiment import COMBINING, ExperimentStep
from node.line.idea import EDITED, Idea
from node.line.line_writer import LineWriter
from node.line.promotion_trial import PromotionTrial
from node.line.proposals import (
    answer_span_ms,
    approve,
    edit,
    find_proposal,
    open_proposals,
    reject,
    skips_unanswered,
)
from node.loop.approvals import MOST_OPEN, Approvals
from node.loop.ideas import Ideas
from node.loop.research import Research
from node.loop.session_plan import Goal
from node.loop.slow_ideas import SlowIdeas
from node.on_demand.block import ComparisonBlock, Contender
from node.running.alert_watching import AlertWatch
from node.store.model_calls import ModelCostLimits
from node.store.store import Store
from protocol.errors import ConfigurationError, UsageError
from protocol.record_kinds import PatchBody, ResultBody
from protocol.rule import DEFAULT
from tests.node.examples import BASELINE, KEY, LINE
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    conclude,
    keep,
    proposal_of,
    with_baseline,
)
from tests.node.scripted import Bench, ExampleTask, Insertions, Rates, ScriptedRunner, better, until
from tests.node.test_slow_ideas import Scribe
from trainer.task_folder.task import Task

NOW_MS = 1_790_000_000_000


@dataclass(kw_only=True)
class Clock:
    """A clock that stands still until it is set."""

    now_ms: int = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


def ideas_of(home: Home, line_writer: LineWriter, rule: str = "wait", **more: Any) -> Ideas:
    bench = Bench(home=home, store=line_writer.store, approve=rule, **more)
    return bench.loop_assembly(line_writer).ideas


def titles(store: Store, state: str = "waiting") -> list[str]:
    return [job.step.idea.title for job in open_proposals(store) if job.step.state == state]


def offered(home: Home, line_writer: LineWriter, **more: Any) -> Ideas:
    """Ideas of which as many wait as may."""
    ideas = ideas_of(home, line_writer, **more)
    assert ideas.take() is None
    return ideas


# The store


def test_ideas_wait_and_none_of_them_runs(home: Home, line_writer: LineWriter) -> None:
    ideas = offered(home, line_writer)
    assert titles(line_writer.store) == [f"LEARNING_RATE → 0.20{n}" for n in range(MOST_OPEN)]
    assert ideas.take() is None
    assert ideas.approvals.waiting == MOST_OPEN
    assert line_writer.store.jobs.open_jobs(LINE, ExperimentStep) == []


def test_without_approval_nothing_waits(home: Home, line_writer: LineWriter) -> None:
    assert ideas_of(home, line_writer, "off").take() is not None
    assert open_proposals(line_writer.store) == []


def test_what_is_approved_runs_once_even_after_a_kill(home: Home, line_writer: LineWriter) -> None:
    from node.line.experiment import open_experiment

    store = line_writer.store
    offered(home, line_writer)
    first = open_proposals(store)[0]
    approve(store, first.id, now_ms=NOW_MS)
    found = ideas_of(home, line_writer).take()
    again = ideas_of(home, line_writer).take()  # killed before the experiment was stored
    assert found is not None
    assert found == again
    assert (found.title, found.submission) == ("LEARNING_RATE → 0.200", first.id)
    open_experiment(line_writer, found)
    assert ideas_of(home, line_writer).take() is None
    assert first.id not in [job.id for job in open_proposals(store)]
    assert find_proposal(store, first.id).step.state == "approved"


def test_a_proposal_is_decided_once(home: Home, line_writer: LineWriter) -> None:
    store = line_writer.store
    offered(home, line_writer)
    one, other, *_ = (job.id for job in open_proposals(store))
    approve(store, one, now_ms=NOW_MS)
    with pytest.raises(UsageError, match="approved already"):
        approve(store, one, now_ms=NOW_MS)
    reject(store, one, "on second thoughts", now_ms=NOW_MS)  # it has not begun
    reject(store, other, "", now_ms=NOW_MS)
    with pytest.raises(UsageError, match="is rejected already"):
        approve(store, other, now_ms=NOW_MS)
    with pytest.raises(UsageError, match="is rejected already"):
        reject(store, other, "", now_ms=NOW_MS)
    with pytest.raises(UsageError, match="there is no proposal 999"):
        approve(store, 999, now_ms=NOW_MS)


@pytest.mark.parametrize("note", ["x" * 1001, "hidden \u202e text"])
def test_a_note_that_a_prompt_cannot_quote_is_refused(
    home: Home, line_writer: LineWriter, note: str
) -> None:
    offered(home, line_writer)
    number = open_proposals(line_writer.store)[0].id
    with pytest.raises(UsageError, match="note"):
        reject(line_writer.store, number, note, now_ms=NOW_MS)
    assert find_proposal(line_writer.store, number).step.state == "waiting"


# Rejections


def test_a_rejected_change_is_not_proposed_again_on_a_later_line(
    home: Home, line_writer: LineWriter
) -> None:
    store = line_writer.store
    offered(home, line_writer, ideas=2)
    first, second = open_proposals(store)
    reject(store, first.id, "too low", now_ms=NOW_MS)
    keep(line_writer, "0.9")  # the rates are proposed on another source now
    ideas = ideas_of(home, line_writer, "off", ideas=3)
    found = []
    while idea := ideas.take():
        found.append(idea.title)
        if idea.submission is not None:
            store.jobs.close_job(idea.submission)
    assert first.step.idea.title not in found
    assert "LEARNING_RATE → 0.202" in found
    assert find_proposal(store, second.id).step.state == "outdated"


def test_prompts_quote_rejections_and_what_waits(home: Home, line_writer: LineWriter) -> None:
    from agent.model.prompt import prompt

    store = line_writer.store
    ideas = offered(home, line_writer, ideas=3)
    first, second, third = open_proposals(store)
    reject(store, first.id, "The rate is fixed.\nAsk me first.", now_ms=NOW_MS)
    reject(store, second.id, "", now_ms=NOW_MS)
    context = ideas.context()
    assert context.brief is not None
    assert context.brief.rejections == (
        Rejection(title=first.step.idea.title, note="The rate is fixed.\nAsk me first."),
        Rejection(title=second.step.idea.title, note=""),
    )
    turns = prompt(context, limit_chars=100_000, secret=b"s" * 32)
    assert not isinstance(turns, NoProposal)
    text = "\n".join(turn.content for turn in turns)
    assert "- 1: The rate is fixed.\n  Ask me first." in text
    assert f"1. {first.step.idea.title}" in text
    assert "Do not propose them again" in text
    assert third.step.idea.title in text.partition("# Waiting for the owner")[2]
    quoted = [line for line in text.splitlines() if first.step.idea.title in line]
    assert all(line.startswith("|") or "| " in line for line in quoted), quoted


def test_a_model_that_proposes_a_rejected_change_is_not_heard(
    home: Home, line_writer: LineWriter
) -> None:
    async def work() -> list[str]:
        other = BASELINE.replacing("train.py", BASELINE["train.py"] + b"EXTRA = 1\n")
        rejected = proposal_of(BASELINE, "0.5", title="once")
        same = replace(proposal_of(BASELINE, "0.5", title="twice"), proposer="llm")
        new = replace(proposal_of(BASELINE, "0.6", title="new"), proposer="llm")
        scribe = Scribe(answers=[same, new, NoProposal(reason="done", retry_s=1e6)])
        scribe.leave.set()
        slow = SlowIdeas(scribe, say=lambda _: None)
        ideas = ideas_of(home, line_writer, ideas=0, slow=[slow])
        ideas.approvals.offer(Idea.of(line_writer, rejected))
        reject(line_writer.store, open_proposals(line_writer.store)[0].id, "no", now_ms=NOW_MS)
        line_writer.blobs.put_source(other)
        line_writer.save(replace(line_writer.known_line, working=other.tree))
        for _ in range(4):
            ideas.take()
            await asyncio.sleep(0.01)
        ideas.take()
        await ideas.close()
        return titles(line_writer.store)

    assert asyncio.run(work()) == ["new"]


# Edits


def test_the_edited_source_runs_and_is_recorded_as_edited(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)
    offered(home, line_writer, ideas=1)
    number = open_proposals(store)[0].id
    files = {"train.py": b"LEARNING_RATE = 0.7\n"}
    edit(store, line_writer.blobs, number, files, now_ms=NOW_MS)
    bench = Bench(home=home, store=store, goal=Goal(max_experiments=1), approve="wait")
    asyncio.run(bench.research().run())
    (job,) = store.jobs.closed_jobs(LINE, ExperimentStep)
    assert line_writer.source(job.step.tree)["train.py"] == files["train.py"]
    result = store.records.get(store.experiments.listed()[-1].id).body
    assert isinstance(result, ResultBody)
    assert result.patch is not None
    patch = store.records.get(result.patch).body
    assert isinstance(patch, PatchBody)
    assert patch.origin.proposer == EDITED
    assert patch.why.startswith("Edited by the owner.")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"train.py": b"LEARNING_RATE = 0.200\n"}, "unchanged"),
        ({"train.py": BASELINE["train.py"] + b"# a comment\n"}, "does what its base does"),
        ({"train.py": b"LEARNING_RATE = 0.201\n"}, "tried or proposed before"),
        ({"train.py": b"def\n"}, "not Python"),
        ({"other.py": b"x = 1\n"}, "is not an editable file"),
    ],
)
def test_an_edit_that_cannot_run_is_refused(
    home: Home, line_writer: LineWriter, files: dict[str, bytes], said: str
) -> None:
    store = line_writer.store
    offered(home, line_writer)
    number = open_proposals(store)[0].id
    with pytest.raises(UsageError, match=said):
        edit(store, line_writer.blobs, number, files, now_ms=NOW_MS)
    assert find_proposal(store, number).step.state == "waiting"


# The working line moves


def test_what_waits_moves_with_the_working_line_or_is_dropped(
    home: Home, line_writer: LineWriter
) -> None:
    store = line_writer.store
    ideas = offered(home, line_writer, proposer=Insertions())
    approve(store, open_proposals(store)[0].id, now_ms=NOW_MS)
    other = BASELINE.replacing("train.py", BASELINE["train.py"] + b"EXTRA = 1\n")
    line_writer.blobs.put_source(other)
    line_writer.save(replace(line_writer.known_line, working=other.tree))
    idea = ideas.take()
    assert idea is not None
    assert line_writer.source(idea.tree)["train.py"] == b"LEARNING_RATE = 0.1\nK0 = 1\nEXTRA = 1\n"
    assert {job.step.idea.base for job in open_proposals(store)} == {BASELINE.tree}  # as shown
    keep(line_writer, "0.9")  # in the line that they change
    said: list[str] = []
    approvals = Approvals(line_writer, "wait", say=said.append)
    approvals.settle()
    assert open_proposals(store) == []
    assert len(said) == MOST_OPEN


def test_an_edit_of_what_was_shown_keeps_what_was_kept_meanwhile(
    home: Home, line_writer: LineWriter
) -> None:
    store = line_writer.store
    ideas = offered(home, line_writer, ideas=0, proposer=Insertions())
    number = open_proposals(store)[0].id
    other = BASELINE.replacing("train.py", BASELINE["train.py"] + b"EXTRA = 1\n")
    line_writer.blobs.put_source(other)
    line_writer.save(replace(line_writer.known_line, working=other.tree))
    files = {"train.py": b"LEARNING_RATE = 0.1\nK0 = 2\n"}
    edit(store, line_writer.blobs, number, files, now_ms=NOW_MS)
    idea = ideas.take()
    assert idea is not None
    assert line_writer.source(idea.tree)["train.py"] == b"LEARNING_RATE = 0.1\nK0 = 2\nEXTRA = 1\n"


def test_a_source_that_was_tried_by_hand_meanwhile_is_not_run_again(
    home: Home, line_writer: LineWriter
) -> None:
    ideas = offered(home, line_writer, ideas=1)
    number = open_proposals(line_writer.store)[0].id
    approve(line_writer.store, number, now_ms=NOW_MS)
    conclude(line_writer, proposal_of(BASELINE, "0.200"), "screened_out", BASE_NANO)
    assert ideas.take() is None
    assert find_proposal(line_writer.store, number).step.state == "outdated"


# Nobody answers


@pytest.mark.parametrize(
    ("rule", "span_ms", "skips"),
    [
        ("off", None, False),
        ("wait", None, False),
        ("30m", 1_800_000, False),
        ("2h:skip", 7_200_000, True),
    ],
)
def test_rules_are_read(rule: str, span_ms: int | None, *, skips: bool) -> None:
    assert (answer_span_ms(rule), skips_unanswered(rule)) == (span_ms, skips)


@pytest.mark.parametrize(("rule", "state"), [("30m", "unanswered"), ("30m:skip", "skipped")])
def test_what_nobody_answers_is_decided_after_the_span(
    home: Home, store: Store, rule: str, state: str
) -> None:
    clock = Clock()
    line_writer = with_baseline(home, store, clock_ms=clock)
    approvals = Approvals(line_writer, rule, say=lambda _: None, clock_ms=clock)
    approvals.offer(Idea.of(line_writer, proposal_of(BASELINE, "0.5")))
    number = open_proposals(store)[0].id
    clock.now_ms += 1_799_000
    approvals.settle()
    assert (approvals.waiting, approvals.answer_due_s) == (1, 1.0)
    clock.now_ms += 1_000
    approvals.settle()
    assert find_proposal(store, number).step.state == state
    assert len(open_proposals(store)) == (state == "unanswered")
    assert (approvals.waiting, approvals.answer_due_s) == (0, math.inf)


def test_who_turns_approval_off_lets_what_waits_run(home: Home, line_writer: LineWriter) -> None:
    offered(home, line_writer, ideas=1)
    idea = ideas_of(home, line_writer, "off", ideas=0).take()
    assert idea is not None
    assert idea.submission == find_proposal(line_writer.store, idea.submission or 0).id


# Slow proposers


def test_a_model_may_finish_once_something_waits(home: Home, line_writer: LineWriter) -> None:
    async def work() -> tuple[list[str], list[str]]:
        written = replace(proposal_of(BASELINE, "0.6", title="written"), proposer="llm")
        scribe = Scribe(answers=[written])
        ideas = ideas_of(home, line_writer, slow=[SlowIdeas(scribe, say=lambda _: None)])
        ideas.take()
        await asyncio.sleep(0)
        ideas.take()
        before = titles(line_writer.store)
        scribe.leave.set()
        await asyncio.sleep(0.01)
        ideas.take()
        await ideas.close()
        return before, titles(line_writer.store)

    before, after = asyncio.run(work())
    assert before == ["LEARNING_RATE → 0.200"]
    assert after[:2] == [*before, "written"]


def test_a_session_offers_no_more_than_it_may_still_try(home: Home, store: Store) -> None:
    with_baseline(home, store)
    bench = Bench(home=home, store=store, goal=Goal(max_experiments=2), approve="wait")

    async def work() -> None:
        research = bench.research()
        running = asyncio.create_task(research.run())
        await until(lambda: len(titles(store)) == 2)
        await until(lambda: "decision on 2 proposals" in research.activity.stage_text)
        research.stop()
        await running

    asyncio.run(work())


# The loop


def run_deciding(
    bench: Bench, steps: Sequence[Callable[[Store, Research], None]], *, waits_for: str
) -> list[str]:
    """Let a session run; take each step once the loop waits for the owner."""

    async def work() -> list[str]:
        research = bench.research()
        running = asyncio.create_task(research.run())
        for step in steps:
            await until(lambda: running.done() or waits_for in research.activity.stage_text)
            step(bench.store, research)
            research.look()
            await asyncio.sleep(0)
        await running
        return bench.decisions()

    return asyncio.run(work())


def first_waiting(store: Store) -> int:
    return next(job.id for job in open_proposals(store) if job.step.state == "waiting")


def test_the_loop_idles_until_the_owner_answers_and_then_works(home: Home, store: Store) -> None:
    with_baseline(home, store)
    tree, gain = better("0.201")
    runner = ScriptedRunner(outcomes={tree: gain})
    bench = Bench(
        home=home, store=store, runner=runner, goal=Goal(max_experiments=1), ideas=2, approve="wait"
    )

    def refuse(store: Store, _: Research) -> None:
        reject(store, first_waiting(store), "no", now_ms=NOW_MS)

    def let(store: Store, _: Research) -> None:
        assert runner.started == [BASELINE.tree] * len(runner.started)  # reference runs alone
        approve(store, first_waiting(store), now_ms=NOW_MS)

    decisions = run_deciding(bench, [refuse, let], waits_for="waiting for your decision on 1")
    assert "kept" in decisions
    tried = [job.step.idea.title for job in store.jobs.closed_jobs(LINE, ExperimentStep)]
    assert tried == ["LEARNING_RATE → 0.201"]
    assert any("waits for your decision: LEARNING_RATE → 0.200" in one for one in bench.said)


def test_submitted_sources_run_while_proposals_wait(home: Home, store: Store) -> None:
    with_baseline(home, store)
    bench = Bench(home=home, store=store, goal=Goal(max_experiments=9), approve="wait")

    def hand_in(_: Store, research: Research) -> None:
        research.submit(proposal_of(BASELINE, "0.8").source, title="by hand", why="")

    def stop(_: Store, research: Research) -> None:
        research.stop()

    async def work() -> None:
        research = bench.research()
        running = asyncio.create_task(research.run())
        await until(lambda: "waiting for your decision" in research.activity.stage_text)
        hand_in(store, research)
        await until(lambda: bool(store.jobs.closed_jobs(LINE, ExperimentStep)))
        await until(lambda: "waiting for your decision" in research.activity.stage_text)
        stop(store, research)
        await running

    asyncio.run(work())
    assert len(titles(store)) == MOST_OPEN
    (job,) = store.jobs.closed_jobs(LINE, ExperimentStep)
    assert job.step.title == "by hand"


def test_a_combination_waits_as_well(home: Home, line_writer: LineWriter) -> None:
    ideas = ideas_of(home, line_writer)
    combined = replace(
        Idea.of(line_writer, proposal_of(BASELINE, "0.5")), proposer=COMBINING, key=COMBINING
    )
    assert ideas.admit(replace(combined, author=b"a" * 32)) is not None  # peers' rules apply
    assert ideas.admit(combined) is None
    assert ideas.approvals.holds(COMBINING)
    assert ideas_of(home, line_writer, "off").admit(combined) == combined


# Alerts


def test_each_proposal_is_announced_once(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)
    watch = AlertWatch(store, author=KEY.public, net="main", place=home.root, free=lambda _: 10**15)
    assert list(watch.news()) == []
    offered(home, line_writer, ideas=1)
    (alert,) = watch.news()
    assert alert.kind == "proposal"
    assert '"LEARNING_RATE → 0.200"' in alert.text
    assert alert.figures["id"] == open_proposals(store)[0].id
    assert list(watch.news()) == []


def test_a_promotion_trial_goes_on_while_proposals_wait(home: Home, store: Store) -> None:
    with_baseline(home, store)
    tree, gain = better("0.200", gain_nano=8 * GAIN_NANO)
    bench = Bench(
        home=home,
        store=store,
        runner=ScriptedRunner(outcomes={tree: gain}),
        policy=replace(DEFAULT, promotion_trial_hours=-1e6),  # one is due as soon as one is kept
        proposer=_First(Rates(1), Insertions()),
        approve="wait",
    )

    async def work() -> None:
        research = bench.research()
        running = asyncio.create_task(research.run())
        await until(lambda: len(open_proposals(store)) == MOST_OPEN)
        approve(store, first_waiting(store), now_ms=NOW_MS)
        research.look()
        await until(lambda: bool(store.jobs.closed_jobs(LINE, PromotionTrial)))
        research.stop()
        await running

    asyncio.run(work())
    assert "adopted" in bench.decisions()
    (tried,) = store.jobs.closed_jobs(LINE, ExperimentStep)
    assert tried.step.idea.title == "LEARNING_RATE → 0.200"


@dataclass
class _First:
    """Proposes what the first proposer has, then what the second has."""

    first: Rates
    second: Insertions

    def propose(self, context: Context) -> Proposal | None:
        return self.first.propose(context) or self.second.propose(context)


def test_lanes_take_what_is_approved_and_no_more(home: Home, store: Store) -> None:
    with_baseline(home, store)
    bench = Bench(
        home=home,
        store=store,
        others=[ScriptedRunner()],
        is_shared=True,
        goal=Goal(max_experiments=3),
        approve="wait",
    )

    async def work() -> None:
        research = bench.research()
        running = asyncio.create_task(research.run())
        await until(lambda: "waiting for your decision on 3" in research.activity.stage_text)
        for job in open_proposals(store)[:2]:
            approve(store, job.id, now_ms=NOW_MS)
        research.look()
        await until(lambda: len(store.jobs.closed_jobs(LINE, ExperimentStep)) == 2)
        await until(lambda: "waiting for your decision on 1" in research.activity.stage_text)
        approve(store, first_waiting(store), now_ms=NOW_MS)
        research.look()
        await running

    asyncio.run(work())
    assert len(store.jobs.closed_jobs(LINE, ExperimentStep)) == 3
    assert open_proposals(store) == []


# The setting


@pytest.mark.parametrize("word", ["off", "wait", "30m", "90s", "2d:skip"])
def test_values_of_the_setting_are_accepted(tmp_path: Path, word: str) -> None:
    settings = load_config(tmp_path / "none", env={"ARNODE_APPROVE": word})
    assert settings.config.approve == word


@pytest.mark.parametrize("word", ["", "on", "0m", "30", "1h30m", "wait:skip", "9999d", "-1m"])
def test_other_values_are_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(ConfigurationError, match="approve"):
        load_config(tmp_path / "none", env={"ARNODE_APPROVE": word})


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ([], None),
        (["--approve"], "wait"),
        (["--approve", "--for", "1h"], "wait"),
        (["--approve", "30m:skip"], "30m:skip"),
    ],
)
def test_the_flag_alone_means_to_wait(words: list[str], value: str | None) -> None:
    assert start.make_context("start", words).params["approve"] == value


def test_blocks_of_a_comparison_wait_for_nobody(home: Home) -> None:
    block = ComparisonBlock(
        home=home,
        side=Contender(name="search", agents=("search",)),
        task=cast("Task", ExampleTask()),
        folder="tiny",
        seconds=1.0,
        limits=ModelCostLimits(),
    )
    assert block._environment()["ARNODE_APPROVE"] == "off"
