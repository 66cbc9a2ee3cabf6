"""Several proposers in one node: the owner of the drawn slot is asked, and shares survive."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent.completion import ModelCost
from agent.proposal import NoProposal, Proposal
from node.home.home import Home
from node.line.ablation import open_ablation
from node.line.experiment import ExperimentStep
from node.line.line_writer import LineWriter
from node.line.rerun import RerunStep
from node.loop.ideas import Ideas
from node.loop.slots import ArmState, Slots
from node.loop.slow_ideas import SlowIdeas
from node.store.store import Store
from tests.node.examples import BASELINE, LINE
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    conclude,
    promotion_trial,
    proposal_of,
    with_baseline,
)
from tests.node.scripted import Bench
from tests.node.test_slow_ideas import Clock, Scribe, settled


def quiet(text: str) -> None:
    """Nobody listens."""


def slow(name: str, *answers: Proposal | NoProposal, clock: Clock | None = None) -> SlowIdeas:
    """One that writes at once what it is given."""
    scribe = Scribe(name=name, answers=list(answers))
    scribe.leave.set()
    return SlowIdeas(scribe, say=quiet, clock_s=clock or Clock())


def slots_of(
    line_writer: LineWriter, *writers: SlowIdeas, has_hyperparameters: bool = False, seed: int = 7
) -> Slots:
    return Slots(
        line_writer,
        slow=writers,
        has_hyperparameters=has_hyperparameters,
        run_sd=lambda: GAIN_NANO / 2e9,
        seed=seed,
    )


def ideas_of(home: Home, store: Store, writers: Sequence[SlowIdeas]) -> Ideas:
    line_writer = with_baseline(home, store)
    return Bench(home=home, store=store, ideas=50, slow=writers).loop_assembly(line_writer).ideas


def tried(
    line_writer: LineWriter, arm: str, rate: str, *, is_kept: bool, usd_nano: int = 0
) -> None:
    """Record an experiment of an arm's."""
    proposal = proposal_of(line_writer.source(line_writer.known_line.working), rate)
    proposal = replace(proposal, cost=ModelCost(usd_nano=usd_nano))
    kept = BASE_NANO - GAIN_NANO
    if is_kept:
        conclude(line_writer, proposal, "kept", kept, kept, arm=arm)
    else:
        conclude(line_writer, proposal, "screened_out", BASE_NANO, arm=arm)


def some_history(line_writer: LineWriter) -> None:
    """Record twenty experiments each: four of the good one's were kept, none of the poor one's."""
    for number in range(20):
        tried(line_writer, "good", f"0.3{number:02}", is_kept=number % 5 == 0)
        tried(line_writer, "poor", f"0.4{number:02}", is_kept=False)


def drawn(slots: Slots, line_writer: LineWriter, count: int) -> list[str]:
    """Return the owners of `count` slots, among proposers that never return anything."""
    names = []
    for number in range(count):
        writer = slots.wanted(number)
        assert writer is not None
        names.append(writer.name)
        slots.take(writer.name)
    return names


def state_of(slots: Slots, name: str) -> ArmState:
    return next(one for one in slots.arm_states() if one.name == name)


def test_the_better_one_has_more_slots_and_the_other_some(line_writer: LineWriter) -> None:
    some_history(line_writer)
    names = Counter(drawn(slots_of(line_writer, slow("good"), slow("poor")), line_writer, 200))
    assert names["good"] > 2 * names["poor"] > 0


def test_a_restart_goes_on_with_what_is_known_and_draws_the_same(line_writer: LineWriter) -> None:
    running = slots_of(line_writer, slow("good"), slow("poor"))
    before = len(line_writer.store.jobs.closed_jobs(LINE, ExperimentStep))
    some_history(line_writer)
    for job in line_writer.store.jobs.closed_jobs(LINE, ExperimentStep)[before:]:
        running.learn(job)
    reopened = slots_of(line_writer, slow("good"), slow("poor"))
    assert reopened.arm_states() == running.arm_states()
    assert drawn(reopened, line_writer, 50) == drawn(running, line_writer, 50)
    assert drawn(
        slots_of(line_writer, slow("good"), slow("poor"), seed=8), line_writer, 50
    ) != drawn(reopened, line_writer, 50)


def test_what_an_ablation_says_of_a_part_counts_in_place_of_its_recheck(
    line_writer: LineWriter,
) -> None:
    tried(line_writer, "good", "0.3", is_kept=True)
    tried(line_writer, "poor", "0.3\nEXTRA = 1", is_kept=True)
    slots = slots_of(line_writer, slow("good"), slow("poor"))
    promotion_trial(line_writer, gain_nano=GAIN_NANO)  # which vouches for no part
    assert [one.gain_sd for one in slots.arm_states()] == [2.0, 2.0]
    job = open_ablation(line_writer)
    assert job is not None
    part = line_writer.store.records.patch(job.step.part or b"")
    assert part is not None
    assert b"EXTRA" in line_writer.source(part.tree)["train.py"]
    line_writer.store.jobs.close_as(job, replace(job.step, verdict="unconfirmed", measured_nano=-5))
    assert line_writer.store.jobs.closed_jobs(LINE, RerunStep)
    assert [one.gain_sd for one in slots.arm_states()] == [2.0, 0.0]


def test_who_rests_is_not_drawn_until_it_is_over(line_writer: LineWriter) -> None:
    async def work() -> list[str]:
        clock = Clock()
        away = slow("away", NoProposal(reason="nobody answers", retry_s=60), clock=clock)
        slots = slots_of(line_writer, away, has_hyperparameters=True)
        number = 0
        while slots.wanted(number) is not away:
            slots.take("search")
            number += 1
        away.begin(None)  # type: ignore[arg-type] -- it gets no context
        await settled()
        assert away.take() is None
        asked = [slots.wanted(number) for number in range(100)]
        assert set(asked) == {None}
        rests = [state_of(slots, "away").waiting]
        clock.now_s = 61
        slots.take("search")
        rests.append(state_of(slots, "away").waiting)
        return rests

    assert asyncio.run(work()) == ["nobody answers", ""]


def test_only_whose_slot_is_drawn_is_asked(home: Home, store: Store) -> None:
    """Both are always busy: the built-in search fills ten slots that were drawn for them."""

    async def work() -> list[int]:
        scribes = [Scribe(name=name) for name in ("one", "other")]
        ideas = ideas_of(home, store, [SlowIdeas(scribe, say=quiet) for scribe in scribes])
        ideas.prepare()
        ideas.prepare()
        await settled()
        asked = [sum(len(scribe.asked) for scribe in scribes)]
        for _ in range(10):
            idea = ideas.take()
            assert idea is not None
            assert idea.arm == "search"
            ideas.prepare()
            await settled()
        await ideas.close()
        return [*asked, *(len(scribe.asked) for scribe in scribes)]

    assert asyncio.run(work()) == [1, 1, 1]


def test_what_is_written_too_late_is_for_a_later_slot(home: Home, store: Store) -> None:
    async def work() -> list[tuple[str, str | None]]:
        scribe = Scribe(name="late", answers=[proposal_of(BASELINE, "0.7", title="thought out")])
        ideas = ideas_of(home, store, [SlowIdeas(scribe, say=quiet)])
        ideas.prepare()
        await settled()
        found = [ideas.take()]
        scribe.leave.set()
        await settled()
        found += [ideas.take()]
        await ideas.close()
        return [(idea.title, idea.arm) for idea in found if idea]

    assert asyncio.run(work()) == [("LEARNING_RATE → 0.200", "search"), ("thought out", "late")]


def test_what_was_asked_in_vain_is_charged_to_what_came_next(home: Home, store: Store) -> None:
    async def work() -> int:
        clock = Clock()
        vain = NoProposal(reason="nothing", retry_s=1, cost=ModelCost(usd_nano=30))
        written = replace(proposal_of(BASELINE, "0.7"), cost=ModelCost(usd_nano=5))
        writer = slow("one", vain, written, clock=clock)
        for _ in range(2):
            writer.begin(None)  # type: ignore[arg-type] -- it gets no context
            await settled()
            found = writer.take()
            clock.now_s += 2
        assert found is not None
        return found.cost.usd_nano

    assert asyncio.run(work()) == 35


def test_money_steers_only_where_an_hour_has_a_price(line_writer: LineWriter) -> None:
    for number in range(20):
        is_kept = number % 5 == 0
        tried(line_writer, "dear", f"0.3{number:02}", is_kept=is_kept, usd_nano=10**9)
        tried(line_writer, "free", f"0.4{number:02}", is_kept=is_kept)
    writers = slow("dear"), slow("free")
    shares = []
    for hour_usd in (None, 1.0):
        slots = Slots(
            line_writer,
            slow=writers,
            has_hyperparameters=False,
            run_sd=lambda: 1.0,
            seed=1,
            hour_usd=hour_usd,
        )
        assert state_of(slots, "dear").usd == pytest.approx(20.0)
        shares.append(drawn(slots, line_writer, 200).count("dear"))
    assert shares[1] < 30 < 60 < shares[0]


def test_a_crash_is_given_back_to_whose_idea_it_was(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)
    ideas = Bench(home=home, store=store, ideas=3).loop_assembly(line_writer).ideas
    proposal = replace(proposal_of(BASELINE, "0.7"), key="llm:x", proposer="llm")
    conclude(line_writer, proposal, "failed", None, arm="one")
    ideas.learn(store.jobs.closed_jobs(LINE, ExperimentStep)[-1])
    assert ideas.context(arm="other").crash is None
    crash = ideas.context(arm="one").crash
    assert crash is not None
    assert crash.key == "llm:x"
