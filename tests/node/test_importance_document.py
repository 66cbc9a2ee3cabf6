"""The importance of hyperparameters from the store alone: a command and the page show the same."""

import asyncio
import json
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
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
from node.web import estimating
from node.web.estimates import _estimated
from protocol.errors import ArnodeError
from tests.node.examples import BASELINE, HARDWARE_CLASS, TASK
from tests.node.line_writers import BASE_NANO, finished, proposal_of, with_baseline
from tests.node.page import Visitor, visiting
from tests.node.scripted import Bench
from trainer.host.device import Device

RATES = ("0.15", "0.2", "0.25", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8")


@pytest.fixture
def varied(home: Home, store: Store, here: Device) -> LineWriter:
    """A line on which the learning rate was varied."""
    line_writer = with_baseline(home, store)
    for rate in RATES:
        tried(line_writer, rate)
    return line_writer


def tried(line_writer: LineWriter, rate: str) -> None:
    """Record an experiment whose score gets worse with the rate."""
    job = open_experiment(line_writer, Idea.of(line_writer, proposal_of(BASELINE, rate)))
    worse_milli = round(30_000 * float(rate))
    runs = finished(line_writer.store, job, BASE_NANO + 1000 * worse_milli)
    closed = replace(job.step, decision="screened_out", gain_milli=-worse_milli)
    close_experiment(line_writer, job, closed, runs, note="")


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
    answer, kinds = asked(home, "importance", "kinds")
    assert answer.status == 200
    assert (answer.json["newer"], answer.json["progress"]) == (0, None)
    document = answer.json["estimate"]
    assert {"v": 1, **document, "kinds": kinds.json["kinds"]} == printed(capsys)
    assert [one["name"] for one in document["hyperparameters"]] == ["LEARNING_RATE"]
    assert document["explained"] > 0.5
    (kind,) = kinds.json["kinds"]
    assert (kind["tried"], kind["kept"], kind["failed"]) == (len(RATES), 0, 0)


def test_it_is_what_the_proposer_computes(
    home: Home, varied: LineWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    task = Bench(home=home, store=varied.store).session().task
    outcomes = Outcomes(varied, task.manifest, ())
    found = importance_in(varied.explored, task.editable, (), outcomes.all)
    assert printed(capsys)["hyperparameters"] == hyperparameter_documents(found)


class Estimator:
    """A stand-in for the child process, which the test ends. `shares` are those of a core."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shares: list[float] = []
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.fault: ArnodeError | None = None
        self.on_progress: Callable[[float], None] = lambda _: None
        monkeypatch.setattr(module, "_estimated", self.estimated)
        monkeypatch.setattr(module, "_WAITED_S", 0.01)

    async def estimated(
        self, home: Home, line: Any, share: float, on_progress: Callable[[float], None]
    ) -> Any:
        self.shares.append(share)
        self.on_progress = on_progress
        self.begun.set()
        await self.may_end.wait()
        self.may_end.clear()
        if self.fault is not None:
            raise self.fault
        return await _estimated(home, line, 1.0, on_progress)


async def ready(visitor: Visitor) -> Any:
    """Ask until no estimate is in progress."""
    while (answer := await visitor.get("importance")).json["progress"] is not None:  # noqa: ASYNC110 -- as the page does
        await asyncio.sleep(0.01)
    return answer.json


def test_an_estimate_stays_until_the_next_one_which_comes_after_ten_experiments(
    home: Home, varied: LineWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        estimator = Estimator(monkeypatch)
        async with asyncio.timeout(60), visiting(home) as visitor:
            of_line = f"importance?task={TASK.hex()}&class={HARDWARE_CLASS}"
            first, same = await asyncio.gather(visitor.get(of_line), visitor.get("importance"))
            nothing = {"v": 1, "estimate": None, "newer": 0, "progress": 0.0}
            assert first.json == same.json == nothing
            estimator.may_end.set()
            estimate = (await ready(visitor))["estimate"]
            assert estimate["hyperparameters"]
            for number in range(9):
                tried(varied, f"0.{number + 10}")
            answer = (await visitor.get("importance")).json
            assert (answer["newer"], answer["progress"]) == (9, None)
            tried(varied, "0.95")
            estimator.begun.clear()
            answer = (await visitor.get("importance")).json
            assert (answer["newer"], answer["progress"]) == (10, 0.0)
            assert answer["estimate"] == estimate
            await estimator.begun.wait()
            estimator.on_progress(0.4)
            answer = (await visitor.get("importance")).json
            assert (answer["estimate"], answer["progress"]) == (estimate, 0.4)
            estimator.may_end.set()
            answer = await ready(visitor)
            assert answer["newer"] == 0
            assert answer["estimate"] != estimate
        assert len(estimator.shares) == 2

    asyncio.run(work())


def test_a_line_with_too_few_trials_is_estimated_again_after_one_more(
    home: Home, store: Store, here: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    line_writer = with_baseline(home, store)
    for rate in RATES[:7]:
        tried(line_writer, rate)

    async def work() -> None:
        async with asyncio.timeout(60), visiting(home) as visitor:
            assert (await ready(visitor))["estimate"]["hyperparameters"] == []
            tried(line_writer, RATES[7])
            await visitor.get("importance")
            assert (await ready(visitor))["estimate"]["hyperparameters"] != []

    asyncio.run(work())


def test_a_failed_estimate_is_reported_once_and_made_again(
    home: Home, varied: LineWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        estimator = Estimator(monkeypatch)
        estimator.fault = ArnodeError("no numbers", "look")
        async with asyncio.timeout(60), visiting(home) as visitor:
            estimator.may_end.set()
            answers = [await visitor.get("importance")]
            while answers[-1].status == 200:
                answers.append(await visitor.get("importance"))
            assert answers[-1].status == 500
            assert answers[-1].json["detail"] == "no numbers"
            estimator.fault = None
            assert (await visitor.get("importance")).json["progress"] is not None
            estimator.may_end.set()
            assert (await ready(visitor))["estimate"] is not None

    asyncio.run(work())


def test_next_to_a_running_node_it_uses_little_of_a_core(
    home: Home, varied: LineWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        estimator = Estimator(monkeypatch)
        async with asyncio.timeout(60), visiting(home) as visitor:
            with socket.socket(socket.AF_UNIX) as running:
                running.bind(str(home.socket))
                running.listen()
                await visitor.get("importance")
                estimator.may_end.set()
                await ready(visitor)
            for number in range(10):
                tried(varied, f"0.{number + 10}")
            await visitor.get("importance")
            estimator.may_end.set()
            await ready(visitor)
        next_to_it, alone = estimator.shares
        assert next_to_it <= 0.05
        assert alone == 1

    asyncio.run(work())


def test_a_limited_process_rests_in_proportion_to_what_it_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used_s, rests_s = iter((0.02, 0.05)), []
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(estimating.signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(estimating.signal, "setitimer", lambda *_: None)
    monkeypatch.setattr(estimating.time, "process_time", lambda: next(used_s))
    monkeypatch.setattr(estimating.time, "sleep", rests_s.append)
    estimating.limit_cpu(0.04)
    for _ in range(2):
        handlers[signal.SIGPROF](signal.SIGPROF, None)
    assert rests_s == pytest.approx([0.48, 0.72])


@pytest.mark.parametrize(("share", "limits"), [("0.04", [0.04]), ("1.0", [])])
def test_a_process_limits_itself_before_it_works(
    share: str, limits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []
    monkeypatch.setattr(estimating.os, "nice", done.append)
    monkeypatch.setattr(estimating, "limit_cpu", done.append)
    monkeypatch.setattr(estimating, "_estimate", lambda *asked: done.append(asked))
    monkeypatch.setattr(estimating.sys, "argv", ["", "/home", "00", "cpu", share])
    estimating.main()
    assert done == [19, *limits, (Path("/home"), "00", "cpu")]


def test_a_limited_estimate_is_the_same(home: Home, varied: LineWriter) -> None:
    reported: list[float] = []

    async def work() -> None:
        line = varied.key
        limited = await _estimated(home, line, 0.5, reported.append)
        assert limited == await _estimated(home, line, 1.0, lambda _: None)

    asyncio.run(work())
    assert reported == sorted(reported)
    assert reported[-1] == 1


def test_other_requests_do_not_wait_for_it(
    home: Home, varied: LineWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        estimator = Estimator(monkeypatch)
        monkeypatch.setattr(module, "_WAITED_S", 60.0)
        async with asyncio.timeout(60), visiting(home) as visitor:
            asking = asyncio.create_task(visitor.get("importance"))
            await estimator.begun.wait()
            assert (await visitor.get("experiments")).json["total"] == len(RATES) + 1
            assert not asking.done()
            estimator.may_end.set()
            assert (await asking).json["estimate"] is not None

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
