"""Which lanes elsewhere serve, and what is said of those that do not."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from node.home.keyfile import version
from node.remote.contract import Opened
from node.remote.lanes import RemoteLanes, opened_lanes
from node.terminal.progress import silent
from protocol.errors import ArnodeError, ConfigurationError
from protocol.framing import Message
from protocol.runs import Env
from tests.node.examples import BASELINE
from tests.remote.programs import opening_of
from trainer.measuring.training import PutOff
from trainer.task_folder.task import Task

OPENED = Opened(
    machine="attic",
    hardware_class="cpu-x86_64",
    family="cpu",
    cuda=None,
    environment=Env.of({"torch": "2.9", "cpu": "A Processor", "cores": 8}),
)


class ExampleTask:
    """The part of a task that these tests need."""

    id = bytes(32)
    source = BASELINE


@dataclass(kw_only=True)
class Scripted:
    """Lanes that do what a test says, over no wire."""

    count: int = 1
    act: Callable[[RemoteLanes], None] = lambda _lanes: None
    sent: list[tuple[int, Message]] = field(default_factory=list)
    restarted: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    async def run(self, lanes: RemoteLanes) -> None:
        self.act(lanes)
        await asyncio.Event().wait()

    def send(self, lane: int, message: Message) -> None:
        self.sent.append((lane, message))

    def restart(self, lane: int) -> None:
        self.restarted.append(lane)

    def lanes(self) -> RemoteLanes:
        task = cast("Task", ExampleTask())
        opening = opening_of(task, "tiny")
        return RemoteLanes(task, opening, self, count=self.count, say=self.said.append)


def greet(lanes: RemoteLanes, number: int, **other: Any) -> None:
    lanes.on_message(number, ["here", version()])
    lanes.on_message(number, ["open", cast("Message", replace(OPENED, **other).to_value())])


def test_a_lane_is_there_once_it_has_opened_the_task() -> None:
    link = Scripted()
    lanes = link.lanes()
    lanes.on_message(0, ["here", version()])
    ((number, message),) = link.sent
    assert (number, cast("list[Message]", message)[0]) == (0, "open")
    assert lanes.there == []
    lanes.on_message(0, ["opens", "reading the text", 250])
    assert lanes.states[0].stage == "reading the text … 25%"
    lanes.on_message(0, ["open", cast("Message", OPENED.to_value())])
    (runner,) = lanes.there
    assert (runner.machine, runner.device.slug) == ("attic", "cpu-x86_64")
    assert lanes.state_rows() == [
        {"lane": 0, "machine": "attic", "stage": "open", "fault": None, "times_lost": 0}
    ]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"hardware_class": "cuda-h100-80g"}, "it is cuda-h100-80g, not cpu-x86_64"),
        ({"environment": Env.of({"torch": "2.8"})}, "its cpu is None, not A Processor"),
        (
            {"environment": Env.of({"torch": "2.8", "cpu": "A Processor"})},
            "its torch is 2.8, not 2.9",
        ),
    ],
)
def test_a_lane_whose_last_digits_could_differ_is_left_out(other: dict[str, Any], why: str) -> None:
    link = Scripted(count=2)
    lanes = link.lanes()
    greet(lanes, 0)
    greet(lanes, 1, **other)
    assert [runner.number for runner in lanes.there] == [0]
    assert link.said == [f"lane 1 (attic) is left out: {why}, so metrics could differ"]
    assert lanes.states[1].fault.startswith(why)


def test_how_many_cores_a_machine_has_changes_no_digit() -> None:
    lanes = Scripted(count=2).lanes()
    greet(lanes, 0)
    more = Env.of({**dict(OPENED.environment.items), "cores": 64})
    greet(lanes, 1, environment=more, machine="cellar")
    assert [runner.machine for runner in lanes.there] == ["attic", "cellar"]


def test_a_lane_of_another_version_opens_nothing_and_is_reported_once() -> None:
    link = Scripted()
    lanes = link.lanes()
    for _ in range(2):  # it is started again and again
        lanes.on_message(0, ["here", "0.0.1"])
        lanes.on_lost(0, "the other end closed the connection")
    assert link.sent == []
    (notice,) = link.said
    assert "it has arnode 0.0.1" in notice
    assert lanes.states[0].fault


def test_what_ran_on_a_lost_lane_is_put_off() -> None:
    async def lose() -> None:
        link = Scripted()
        lanes = link.lanes()
        greet(lanes, 0)
        (runner,) = lanes.runners
        changes: list[bool] = []
        runner.notify_presence(lambda: changes.append(runner.is_there))
        calibrating = asyncio.create_task(runner.calibrate(1))
        await asyncio.sleep(0)
        assert link.sent[-1] == (0, ["calibrate", 1, 1])
        lanes.on_lost(0, "the cable")
        lanes.on_lost(0, "the cable")
        with pytest.raises(PutOff):
            await calibrating
        greet(lanes, 0)
        assert changes == [False, True]
        assert link.said == ["lane 0 (attic) was lost (the cable); its runs are repeated"]

    asyncio.run(lose())


def test_what_a_lost_lane_says_afterwards_is_for_nobody() -> None:
    async def run_once() -> None:
        lanes = Scripted().lanes()
        greet(lanes, 0)
        running = asyncio.create_task(lanes.runners[0].run(BASELINE, 5))
        await asyncio.sleep(0)
        lanes.on_lost(0, "the cable")
        with pytest.raises(PutOff):
            await running
        lanes.on_message(0, ["put off", 1])
        lanes.on_message(0, ["trained", 1])

    asyncio.run(run_once())


@pytest.mark.parametrize(
    "message",
    [
        ["no such word"],
        ["ended", 1, {"run": {}}, 0.0],
        ["open", {"machine": 7}],
        "nothing",
        ["ended"],
    ],
)
def test_a_lane_that_says_what_is_no_message_is_started_again(message: Message) -> None:
    link = Scripted()
    lanes = link.lanes()
    greet(lanes, 0)
    lanes.on_message(0, message)
    assert lanes.there == []
    assert lanes.states[0].fault
    assert link.restarted == [0]
    greet(lanes, 0)
    assert lanes.there
    assert not lanes.states[0].fault


def test_a_lane_on_which_the_baseline_fails_is_left_out_and_the_node_goes_on() -> None:
    async def fail() -> None:
        link = Scripted(count=2)
        lanes = link.lanes()
        for number in range(2):
            greet(lanes, number)
        calibrating = asyncio.create_task(lanes.runners[0].calibrate(1))
        await asyncio.sleep(0)
        lanes.on_message(0, ["failed", 1, "the task's baseline failed here", "look at it"])
        with pytest.raises(PutOff):
            await calibrating
        assert [runner.number for runner in lanes.there] == [1]
        assert link.restarted == [0]
        (notice,) = link.said
        assert "the task's baseline failed here (look at it)" in notice

    asyncio.run(fail())


@pytest.mark.soak
def test_a_session_begins_with_the_lanes_that_are_open() -> None:
    """One that is still opening its task comes later."""

    async def open_some() -> None:
        link = Scripted(count=2, act=lambda lanes: greet(lanes, 0))
        lanes = link.lanes()
        async with opened_lanes(lanes, link, silent):
            assert len(lanes.there) == 1
            greet(lanes, 1)
            assert len(lanes.there) == 2

    asyncio.run(open_some())


def test_no_lane_at_all_is_one_clear_error() -> None:
    async def open_none() -> None:
        link = Scripted(
            act=lambda lanes: lanes.on_message(0, ["refused", "no sandbox", "bring one"])
        )
        async with opened_lanes(link.lanes(), link, silent):
            pass

    with pytest.raises(ConfigurationError, match="no lane is usable: no sandbox") as fault:
        asyncio.run(open_none())
    assert fault.value.hint == "bring one"


def test_lanes_that_never_say_a_word_are_one_clear_error() -> None:
    async def open_none() -> None:
        link = Scripted(act=lambda lanes: lanes.on_lost(0, "the other end closed the connection"))
        async with opened_lanes(link.lanes(), link, silent):
            pass

    with pytest.raises(ArnodeError, match="ended before its first message") as fault:
        asyncio.run(open_none())
    assert not isinstance(fault.value, ConfigurationError)  # a service may try again
    assert "the same version" in fault.value.hint


def test_a_link_that_is_not_to_be_had_is_one_clear_error() -> None:
    @dataclass(kw_only=True)
    class Broken(Scripted):
        async def run(self, lanes: RemoteLanes) -> None:
            raise ArnodeError("Ray is not available", "start one")

    async def open_none() -> None:
        link = Broken()
        async with opened_lanes(link.lanes(), link, silent):
            pass

    with pytest.raises(ArnodeError, match="Ray is not available"):
        asyncio.run(open_none())


def test_a_link_that_breaks_later_leaves_no_lane_there(caplog: pytest.LogCaptureFixture) -> None:
    broken = asyncio.Event()

    @dataclass(kw_only=True)
    class Breaking(Scripted):
        async def run(self, lanes: RemoteLanes) -> None:
            greet(lanes, 0)
            await broken.wait()
            raise RuntimeError("a fault of ours")

    async def break_it() -> None:
        link = Breaking()
        lanes = link.lanes()
        async with opened_lanes(lanes, link, silent):
            assert lanes.there
            broken.set()
            while lanes.there:  # noqa: ASYNC110 (nothing signals it)
                await asyncio.sleep(0)

    asyncio.run(break_it())
    assert "a fault of ours" in caplog.text
