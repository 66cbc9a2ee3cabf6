"""Ideas: retries come first, and no experiment is made twice."""

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from agent.proposal import Context, Left, Proposal
from agent.source.canonical import fingerprint
from node.home.clock import clock_ms
from node.home.home import Home
from node.line.experiment import ExperimentStep, open_experiment
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.loop.ideas import Ideas
from node.loop.session_plan import Goal
from node.store.blobs import Blobs
from node.store.jobs import Job
from node.store.store import Store
from protocol.ideas import Edit, Move
from protocol.remarks import IntentBody
from protocol.source import Source
from protocol.styles import Style
from tests.node.examples import BASELINE, LINE
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    conclude,
    keep,
    proposal_of,
    with_baseline,
)
from tests.node.peer_authors import PeerAuthor
from tests.node.scripted import Bench, Rates
from tests.node.test_others_tries import publish


def ideas_of(home: Home, line_writer: LineWriter, *, count: int = 3) -> Ideas:
    return Bench(home=home, store=line_writer.store, ideas=count).loop_assembly(line_writer).ideas


def move(name: str) -> Move:
    edit = Edit(path="train.py", search="L", replace=name)
    return Move(name=name, title=name, why="", edits=(edit,))


def titles(ideas: Ideas) -> list[str]:
    """Everything that is handed out, to the end."""
    found: list[str] = []
    while idea := ideas.take():
        found.append(idea.title)
    return found


def good_job(line_writer: LineWriter, rate: str) -> Job[ExperimentStep]:
    """An experiment on the baseline that was good while its base moved on."""
    job = open_experiment(line_writer, Idea.of(line_writer, proposal_of(BASELINE, rate)))
    return replace(job, step=replace(job.step, decision="rebased"))


def test_every_idea_is_handed_out_once(home: Home, line_writer: LineWriter) -> None:
    found = titles(ideas_of(home, line_writer))
    assert found == [f"LEARNING_RATE → 0.20{n}" for n in range(3)]


def test_what_ran_before_a_restart_is_not_handed_out_again(
    home: Home, line_writer: LineWriter
) -> None:
    conclude(line_writer, proposal_of(BASELINE, "0.201"), "screened_out", BASE_NANO)
    assert titles(ideas_of(home, line_writer)) == ["LEARNING_RATE → 0.200", "LEARNING_RATE → 0.202"]


def test_what_ran_elsewhere_is_not_handed_out(home: Home, line_writer: LineWriter) -> None:
    ideas = ideas_of(home, line_writer)
    ideas.mark_tried(proposal_of(BASELINE, "0.200").fingerprint)
    assert titles(ideas) == ["LEARNING_RATE → 0.201", "LEARNING_RATE → 0.202"]


@pytest.fixture
def ada(store: Store, home: Home) -> PeerAuthor:
    return PeerAuthor(store, Blobs(home.blobs), number=50)


def intent(title: str, *, base: Source = BASELINE) -> IntentBody:
    return IntentBody(
        task=LINE.task,
        hardware_class=LINE.hardware_class,
        base=base.tree,
        title=title,
        ttl_s=600,
    )


def test_what_somebody_is_trying_comes_last(
    home: Home, line_writer: LineWriter, ada: PeerAuthor
) -> None:
    ada.publish(intent("LEARNING_RATE → 0.200"))
    ada.publish(intent("LEARNING_RATE → 0.201", base=proposal_of(BASELINE, "0.5").source))
    assert titles(ideas_of(home, line_writer)) == [f"LEARNING_RATE → 0.20{n}" for n in (1, 2, 0)]


def test_an_intent_ends_by_itself(
    home: Home, line_writer: LineWriter, ada: PeerAuthor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.publish(intent("LEARNING_RATE → 0.200"))
    later_ms = clock_ms() + 601_000
    monkeypatch.setattr(line_writer, "_clock_ms", lambda: later_ms)
    assert titles(ideas_of(home, line_writer))[0] == "LEARNING_RATE → 0.200"


def test_an_intent_ends_with_the_result_of_what_it_announced(
    home: Home, line_writer: LineWriter, ada: PeerAuthor
) -> None:
    """An idea that others screened out is repeated here, and not only when its time is over."""
    publish(ada, "LEARNING_RATE → 0.201")
    for number in range(2):
        ada.publish(intent(f"LEARNING_RATE → 0.20{number}"))
    publish(ada, "LEARNING_RATE → 0.200")
    assert titles(ideas_of(home, line_writer)) == [f"LEARNING_RATE → 0.20{n}" for n in (0, 2, 1)]
    ada.publish(intent("LEARNING_RATE → 0.200"))
    assert titles(ideas_of(home, line_writer)) == [f"LEARNING_RATE → 0.20{n}" for n in (2, 0, 1)]


class _Finds(Rates):
    """Proposals that peers kept."""

    def propose(self, context: Context) -> Proposal | None:
        proposal = super().propose(context)
        return replace(proposal, is_find=True) if proposal else None


def test_what_peers_kept_does_not_wait_while_another_node_measures_it(
    home: Home, line_writer: LineWriter, ada: PeerAuthor
) -> None:
    ada.publish(intent("LEARNING_RATE → 0.200"))
    bench = Bench(home=home, store=line_writer.store, proposer=_Finds(3))
    ideas = bench.loop_assembly(line_writer).ideas
    assert titles(ideas) == [f"LEARNING_RATE → 0.20{number}" for number in range(3)]


def test_an_own_intent_keeps_nobody_from_it(home: Home, line_writer: LineWriter) -> None:
    line_writer.intend(BASELINE.tree, proposal_of(BASELINE, "0.200").title)
    assert titles(ideas_of(home, line_writer))[0] == "LEARNING_RATE → 0.200"


@pytest.mark.parametrize("has_listeners", [True, False])
def test_a_node_says_what_it_tries_where_somebody_listens(
    home: Home, store: Store, *, has_listeners: bool
) -> None:
    with_baseline(home, store)
    goal = Goal(max_experiments=2)
    bench = Bench(home=home, store=store, goal=goal, ideas=2, has_company=has_listeners)
    asyncio.run(bench.research().run())
    reported = [record.body for record in store.records.listed("intent")]
    expected = [f"LEARNING_RATE → 0.20{n}" for n in range(2)] if has_listeners else []
    assert [body.title for body in reported if isinstance(body, IntentBody)] == expected


def test_a_prepared_proposal_is_handed_out(home: Home, line_writer: LineWriter) -> None:
    async def work() -> str:
        ideas = ideas_of(home, line_writer)
        ideas.prepare()
        await asyncio.wait([cast("asyncio.Task[object]", ideas._prepared)])
        idea = ideas.take()
        await ideas.close()
        assert idea is not None
        return idea.title

    assert asyncio.run(work()) == "LEARNING_RATE → 0.200"


def test_a_prepared_proposal_whose_base_moved_on_is_dropped(
    home: Home, line_writer: LineWriter
) -> None:
    async def work() -> bytes:
        ideas = ideas_of(home, line_writer)
        ideas.prepare()
        await asyncio.wait([cast("asyncio.Task[object]", ideas._prepared)])
        keep(line_writer, "0.9")
        idea = ideas.take()
        await ideas.close()
        assert idea is not None
        return idea.base

    assert asyncio.run(work()) == line_writer.known_line.working != BASELINE.tree


class Dividing(Rates):
    """Proposes rates, and keeps the parts of others that it was shown."""

    def __init__(self) -> None:
        super().__init__(10)
        self.assigned: list[frozenset[str]] = []

    def propose(self, context: Context) -> Proposal | None:
        self.assigned.append(context.from_others.assigned)
        return super().propose(context)


@pytest.mark.parametrize("is_heard", [False, True])
def test_a_proposal_that_was_prepared_before_ideas_were_divided_is_dropped(
    home: Home, line_writer: LineWriter, *, is_heard: bool
) -> None:
    """The division changes with the peers at work and with what they kept."""
    edit = Edit(path="train.py", search="L", replace="M")
    moves = tuple(Move(name=name, title=name, why="", edits=(edit,)) for name in "ab")
    reported = Dividing()
    bench = Bench(home=home, store=line_writer.store, moves=moves, proposer=reported)

    async def work() -> None:
        ideas = bench.loop_assembly(line_writer).ideas
        ideas.prepare()
        await asyncio.wait([cast("asyncio.Task[object]", ideas._prepared)])
        if is_heard:
            publish(PeerAuthor(line_writer.store, Blobs(home.blobs)), "another idea")
        assert ideas.take() is not None
        await ideas.close()

    asyncio.run(work())
    assert [bool(assigned) for assigned in reported.assigned] == [False, True][: 1 + is_heard]


def test_an_idea_whose_base_moved_on_comes_first_on_the_new_one(
    home: Home, line_writer: LineWriter
) -> None:
    job = good_job(line_writer, "0.5")
    ideas = ideas_of(home, line_writer)
    # The working line moves by another line of the source, so that the edit still fits.
    other = BASELINE.replacing("train.py", BASELINE["train.py"] + b"EXTRA = 1\n")
    line_writer.blobs.put_source(other)
    line_writer.save(replace(line_writer.known_line, working=other.tree))
    priced = replace(job.step.idea, tokens=1000, usd_nano=1500, model="example/one")
    ideas.try_again(replace(job, step=replace(job.step, idea=priced)), b"p" * 32)
    assert ideas.has_unfinished_business
    moved = other.replacing("train.py", b"LEARNING_RATE = 0.5\nEXTRA = 1\n")
    line_writer.blobs.path(
        moved.tree
    ).unlink()  # nothing names it yet: a full disk may let go of it
    idea = ideas.again()
    assert idea is not None
    assert (idea.parents, idea.model) == ((b"p" * 32,), "example/one")
    assert (idea.tokens, idea.usd_nano) == (None, None)  # booked with the first try
    assert idea.base == other.tree
    assert line_writer.source(idea.tree)["train.py"] == b"LEARNING_RATE = 0.5\nEXTRA = 1\n"
    assert not ideas.has_unfinished_business


def test_an_idea_that_does_not_fit_the_new_base_is_let_go(
    home: Home, line_writer: LineWriter
) -> None:
    job = good_job(line_writer, "0.5")
    ideas = ideas_of(home, line_writer)
    keep(line_writer, "0.9")
    ideas.try_again(job, b"p" * 32)
    assert not ideas.has_unfinished_business


@pytest.mark.parametrize(("gain", "is_tried"), [(2, True), (0, False)])
def test_on_an_exact_task_its_whole_source_is_tried_if_it_scored_better(
    home: Home,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    gain: int,
    *,
    is_tried: bool,
) -> None:
    """Scores repeat, so a smaller gain kept meanwhile must not take its place."""
    monkeypatch.setattr(Style, "of", lambda _manifest: Style(name="exact"))
    line_writer = with_baseline(home, store)
    job = good_job(line_writer, "0.5")
    screen_nano = BASE_NANO - gain * GAIN_NANO
    ideas = ideas_of(home, line_writer)
    keep(line_writer, "0.9")
    ideas.try_again(replace(job, step=replace(job.step, screen_nano=screen_nano)))
    idea = ideas.again()
    assert (idea is not None) is is_tried
    if idea is not None:
        assert (idea.base, idea.tree) == (line_writer.known_line.working, job.step.tree)
        assert idea.title == "whole source of: LEARNING_RATE → 0.5"


def test_proposers_learn_what_was_decided_also_before_a_restart(
    home: Home, line_writer: LineWriter
) -> None:
    conclude(
        line_writer, proposal_of(BASELINE, "0.9"), "rechecked_out", BASE_NANO - GAIN_NANO, BASE_NANO
    )
    conclude(line_writer, proposal_of(BASELINE, "0.8"), "rebased", BASE_NANO - GAIN_NANO)
    ideas = ideas_of(home, line_writer)
    # A rebased experiment says nothing yet: it goes on under the new base.
    (outcome,) = ideas.context().history
    assert (outcome.decision, outcome.gain_sd) == ("rechecked_out", 2.0)
    conclude(line_writer, proposal_of(BASELINE, "0.7"), "failed", None)
    job = line_writer.store.jobs.closed_jobs(LINE, ExperimentStep)[-1]
    ideas.learn(replace(job, step=replace(job.step, gain_milli=None)))
    assert [entry.decision for entry in ideas.context().history] == ["rechecked_out", "failed"]


class Listening(Rates):
    """Proposes rates, and keeps the remaining budget that it was shown."""

    def __init__(self) -> None:
        super().__init__(10)
        self.left: list[Left] = []

    def propose(self, context: Context) -> Proposal | None:
        assert context.brief is not None
        self.left.append(context.brief.left)
        return super().propose(context)


@pytest.mark.parametrize("duration_s", [None, 1e6])
def test_proposers_are_shown_what_is_left_of_the_session(
    home: Home, store: Store, duration_s: float | None
) -> None:
    with_baseline(home, store)
    reported = Listening()
    goal = Goal(max_experiments=2, duration_s=duration_s)
    bench = Bench(home=home, store=store, goal=goal, proposer=reported, clock_s=lambda: 100.0)
    asyncio.run(bench.research().run())
    assert {left.experiments for left in reported.left} >= {2, 1}
    assert {left.seconds for left in reported.left} == {duration_s}


@pytest.mark.parametrize("number", range(1, 9))
def test_a_node_and_a_peer_begin_with_as_many_moves_each(
    home: Home, line_writer: LineWriter, number: int
) -> None:
    """However the hyperparameters are divided: a second move of one node would come late."""
    moves = move("first"), move("second")
    publish(PeerAuthor(line_writer.store, Blobs(home.blobs), number=number), "another idea")
    bench = Bench(home=home, store=line_writer.store, moves=moves)
    ideas = bench.loop_assembly(line_writer).ideas
    assigned = ideas.context().from_others.assigned
    assert len(assigned & {"first", "second"}) == 1


@pytest.mark.parametrize("may_run", [True, False])
def test_finds_that_must_not_run_are_not_waited_for(
    home: Home, line_writer: LineWriter, *, may_run: bool
) -> None:
    """The owner rejected the move, or its source ran under another name."""
    made = BASELINE.replacing("train.py", BASELINE["train.py"].replace(b"L", b"M", 1))
    edit = Edit(path="train.py", search="LEARNING_RATE", replace="MEARNING_RATE")
    moves = (Move(name="one", title="one", why="", edits=(edit,)),)
    publish(PeerAuthor(line_writer.store, Blobs(home.blobs)), "one", stage="keep")
    ideas = Bench(home=home, store=line_writer.store, moves=moves).loop_assembly(line_writer).ideas
    if not may_run:
        ideas.mark_tried(fingerprint(made))
    assert ideas.finds.has_untried == may_run
    assert not ideas.finds.do_wait


def test_finds_do_not_wait_for_an_own_move_that_another_node_tries(
    home: Home, line_writer: LineWriter, ada: PeerAuthor
) -> None:
    moves = move("first"), move("second")
    publish(ada, "another idea")
    bench = Bench(home=home, store=line_writer.store, moves=moves)
    ideas = bench.loop_assembly(line_writer).ideas
    (own,) = {"first", "second"} - ideas.context().from_others.assigned
    assert ideas.finds.do_wait
    ada.publish(intent(own))
    assert not ideas.finds.do_wait


def test_a_move_is_given_up_once_three_nodes_screened_it_out(
    home: Home, line_writer: LineWriter
) -> None:
    moves = (move("one"),)
    ideas = Bench(home=home, store=line_writer.store, moves=moves).loop_assembly(line_writer).ideas
    given_up = [ideas.finds.from_others.given_up]
    for number in range(1, 4):
        publish(PeerAuthor(line_writer.store, Blobs(home.blobs), number=number), "one")
        given_up.append(ideas.finds.from_others.given_up)
    assert given_up == [set(), set(), set(), {"one"}]
    assert "one" in ideas.finds.from_others.assigned, "nor is it waited for"
