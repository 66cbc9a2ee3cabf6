"""Ideas: what is tried again comes first, and nothing that ran is handed out twice."""

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from node.home import Home
from node.loop.ideas import Ideas
from node.loop.ledger import Ledger
from node.loop.steps import ExperimentStep
from node.store.store import Store
from tests.node.books import (
    BASE_NANO,
    GAIN_NANO,
    conclude,
    keep,
    proposal_of,
    with_baseline,
)
from tests.node.examples import BASELINE
from tests.node.scripted import Bench, Rates


@pytest.fixture
def ledger(home: Home, store: Store) -> Ledger:
    return with_baseline(home, store)


def ideas_of(home: Home, ledger: Ledger, *, count: int = 3) -> Ideas:
    task = Bench(home=home, store=ledger.store).session().task
    return Ideas(ledger=ledger, task=task, proposer=Rates(count), seed=1)


def titles(ideas: Ideas) -> list[str]:
    """Everything that is handed out, to the end."""
    found: list[str] = []
    while idea := ideas.take():
        found.append(idea.proposal.title)
    return found


def step_of(ledger: Ledger, rate: str) -> ExperimentStep:
    """An experiment on the baseline that was good while its base moved on."""
    job = ledger.open_experiment(proposal_of(BASELINE, rate))
    return replace(ExperimentStep.from_value(job.body), decision="rebased")


def test_every_idea_is_handed_out_once(home: Home, ledger: Ledger) -> None:
    found = titles(ideas_of(home, ledger))
    assert found == [f"LEARNING_RATE → 0.20{n}" for n in range(3)]


def test_what_ran_before_a_restart_is_not_handed_out_again(home: Home, ledger: Ledger) -> None:
    conclude(ledger, proposal_of(BASELINE, "0.201"), "screened_out", BASE_NANO)
    assert titles(ideas_of(home, ledger)) == ["LEARNING_RATE → 0.200", "LEARNING_RATE → 0.202"]


def test_what_ran_elsewhere_is_not_handed_out(home: Home, ledger: Ledger) -> None:
    ideas = ideas_of(home, ledger)
    ideas.mark_tried(proposal_of(BASELINE, "0.200").fingerprint)
    assert titles(ideas) == ["LEARNING_RATE → 0.201", "LEARNING_RATE → 0.202"]


def test_a_prepared_proposal_is_handed_out(home: Home, ledger: Ledger) -> None:
    async def work() -> str:
        ideas = ideas_of(home, ledger)
        ideas.prepare()
        await asyncio.wait([cast("asyncio.Task[object]", ideas._prepared)])
        idea = ideas.take()
        await ideas.close()
        assert idea is not None
        return idea.proposal.title

    assert asyncio.run(work()) == "LEARNING_RATE → 0.200"


def test_a_prepared_proposal_whose_base_moved_on_is_dropped(home: Home, ledger: Ledger) -> None:
    async def work() -> bytes:
        ideas = ideas_of(home, ledger)
        ideas.prepare()
        await asyncio.wait([cast("asyncio.Task[object]", ideas._prepared)])
        keep(ledger, "0.9")
        idea = ideas.take()
        await ideas.close()
        assert idea is not None
        return idea.proposal.parent

    assert asyncio.run(work()) == ledger.known_line.working != BASELINE.tree


def test_an_idea_whose_base_moved_on_comes_first_on_the_new_one(home: Home, ledger: Ledger) -> None:
    step = step_of(ledger, "0.5")
    ideas = ideas_of(home, ledger)
    # The working line moves by another line of the source, so that the edit still fits.
    other = BASELINE.replacing("train.py", BASELINE["train.py"] + b"EXTRA = 1\n")
    ledger.blobs.put_source(other)
    ledger._save(replace(ledger.known_line, working=other.tree))
    ideas.try_again(step, b"p" * 32)
    assert ideas.has_unfinished_business
    idea = ideas.take()
    assert idea is not None
    assert idea.parents == (b"p" * 32,)
    assert idea.proposal.parent == other.tree
    assert idea.proposal.source["train.py"] == b"LEARNING_RATE = 0.5\nEXTRA = 1\n"
    assert not ideas.has_unfinished_business


def test_an_idea_that_does_not_fit_the_new_base_is_let_go(home: Home, ledger: Ledger) -> None:
    step = step_of(ledger, "0.5")
    ideas = ideas_of(home, ledger)
    keep(ledger, "0.9")
    ideas.try_again(step, b"p" * 32)
    assert not ideas.has_unfinished_business


def test_proposers_learn_what_was_decided_also_before_a_restart(home: Home, ledger: Ledger) -> None:
    conclude(
        ledger, proposal_of(BASELINE, "0.9"), "rechecked_out", BASE_NANO - GAIN_NANO, BASE_NANO
    )
    conclude(ledger, proposal_of(BASELINE, "0.8"), "rebased", BASE_NANO - GAIN_NANO)
    ideas = ideas_of(home, ledger)
    # A rebased experiment says nothing yet: it goes on under the new base.
    (outcome,) = ideas._context().history
    assert (outcome.decision, outcome.gain_sd) == ("rechecked_out", 2.0)
    ideas.learn(replace(step_of(ledger, "0.7"), decision="failed", gain_milli=None))
    assert [entry.decision for entry in ideas._context().history] == ["rechecked_out", "failed"]
