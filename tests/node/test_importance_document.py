"""The importance of hyperparameters from the store alone: a command and the page show the same."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from agent.hyperparameters.importance import importance_in
from agent.proposal import Context
from node.commands.cli import main
from node.home.home import Home
from node.line.experiment import close_experiment, open_experiment
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.loop.outcomes import Outcomes
from node.reporting.importance import hyperparameter_documents
from node.store.store import Store
from node.web import estimates as module
from node.web.estimates import _computed
from tests.node.examples import BASELINE, HARDWARE_CLASS, TASK
from tests.node.line_writers import BASE_NANO, finished, keep, proposal_of, with_baseline
from tests.node.page import visiting
from tests.node.scripted import Bench
from trainer.host.device import Device

RATES = ("0.15", "0.2", "0.25", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8")


@pytest.fixture
def varied(home: Home, store: Store, here: Device) -> LineWriter:
    """A line on which the learning rate was varied."""
    line_writer = with_baseline(home, store)
    for number, rate in enumerate(RATES):
        job = open_experiment(line_writer, Idea.of(line_writer, proposal_of(BASELINE, rate)))
        runs = finished(store, job, BASE_NANO + 3_000_000 * number)
        closed = replace(job.step, decision="screened_out", gain_milli=-3000 * number)
        close_experiment(line_writer, job, closed, runs, note="")
    return line_writer


def asked(home: Home, *paths: str, **how: Any) -> list[Any]:
    """Ask the page's server for documents, one after the other."""

    async def work() -> list[Any]:
        async with asyncio.timeout(60), visiting(home, **how) as visitor:
            return [await visitor.get(path) for path in paths]

    return asyncio.run(work())


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    with pytest.raises(SystemExit):
        main(["log", "--importance", "--json"])
    shown = capsys.readouterr()
    assert shown.out, shown.err
    return json.loads(shown.out)


def test_a_page_without_a_node_shows_what_the_command_prints(
    home: Home, varied: LineWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    (answer,) = asked(home, "importance")
    assert answer.status == 200
    document = answer.json
    assert document == printed(capsys)
    assert [one["name"] for one in document["hyperparameters"]] == ["LEARNING_RATE"]
    assert document["explained"] > 0.5
    (kind,) = document["kinds"]
    assert (kind["tried"], kind["kept"], kind["failed"]) == (len(RATES), 0, 0)


def test_it_is_what_the_proposer_computes(
    home: Home, varied: LineWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    task = Bench(home=home, store=varied.store).session().task
    outcomes = Outcomes(varied, task.manifest, ())
    found = importance_in(varied.explored, task.editable, (), outcomes.all)
    assert printed(capsys)["hyperparameters"] == hyperparameter_documents(found)


def test_it_is_computed_once_for_the_same_results(
    home: Home, varied: LineWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[bytes] = []

    async def noted(home: Home, line: Any) -> Any:
        computed.append(line.task)
        return await _computed(home, line)

    monkeypatch.setattr(module, "_computed", noted)

    async def work() -> None:
        async with asyncio.timeout(60), visiting(home) as visitor:
            of_line = f"importance?task={TASK.hex()}&class={HARDWARE_CLASS}"
            first, second = await asyncio.gather(visitor.get(of_line), visitor.get("importance"))
            assert first.json == second.json
            assert len(computed) == 1
            keep(varied, "0.9")
            third = await visitor.get("importance")
            assert third.json["kinds"][0]["kept"] == 1
            assert len(computed) == 2

    asyncio.run(work())


def test_other_requests_do_not_wait_for_it(
    home: Home, varied: LineWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def slow(home: Home, line: Any) -> Any:
            begun.set()
            await may_end.wait()
            return await _computed(home, line)

        monkeypatch.setattr(module, "_computed", slow)
        async with asyncio.timeout(60), visiting(home) as visitor:
            asking = asyncio.create_task(visitor.get("importance"))
            await begun.wait()
            assert (await visitor.get("experiments")).json["total"] == len(RATES) + 1
            assert not asking.done()
            may_end.set()
            assert (await asking).status == 200

    asyncio.run(work())


def test_a_line_that_is_not_here_is_not_found(home: Home, varied: LineWriter) -> None:
    no_task, no_class = asked(home, "importance?task=nothing", "importance?class=tpu")
    assert (no_task.status, no_class.status) == (404, 404)
    assert "nothing" in no_task.json["detail"]


def test_an_empty_home_has_none_and_a_bootstrap_node_shows_none(home: Home) -> None:
    (answer,) = asked(home, "importance")
    assert answer.status == 404
    assert "arnode start" in answer.json["hint"]
    (answer,) = asked(home, "importance", kind="bootstrap")
    assert answer.status == 404


def test_a_context_gives_the_same(varied: LineWriter) -> None:
    from agent.hyperparameters.importance import importance_of
    from tests.agent.histories import long_context

    context: Context = long_context(20)
    assert importance_of(context) == importance_in(
        context.source, context.editable, context.hyperparameters, context.history
    )
