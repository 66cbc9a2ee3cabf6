"""Runs on a card with a faked driver, which use the processor instead: their results."""

import asyncio
import threading
from collections.abc import Callable, ItemsView
from dataclasses import replace
from functools import partial

import pynvml
import pytest

from tests.trainer.nvml import FakeCard, FakeDriver, FakeLoad, FakeProcess
from trainer.cards import watch as card_watch
from trainer.cards.cards import probe_cards
from trainer.cards.nvml import CardLost
from trainer.host.processes import family_of
from trainer.language_model.data import TaskData
from trainer.measuring.outcome import RunOutcome
from trainer.runner import Runner
from trainer.sandbox.sandbox import Sandbox
from trainer.task_folder.task import Task

GAME = 4_000_000  # no process has this id
OOM = b"import torch\nraise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 9 GiB')\n"


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    driver = FakeDriver(
        cards=[FakeCard(name="NVIDIA GeForce RTX 3060", mib=12288)],
        load=FakeLoad(processes=WithOurs()),
    )
    driver.install(monkeypatch)
    watching = partial(card_watch.watching, every_s=0.05, hung_s=2.0)
    monkeypatch.setattr(card_watch, "watching", watching)
    return driver


class WithOurs(dict[int, FakeProcess]):
    """The processes on a card: those in the dictionary, and all of ours in sandboxes."""

    def items(self) -> ItemsView[int, FakeProcess]:
        roots = [box.root for box in [*Sandbox._open]]
        ours = {pid: FakeProcess(mib=0) for root in roots for pid in family_of(root)}
        return {**self, **ours}.items()


def measured(
    task: Task,
    data: TaskData,
    *,
    on_trained: Callable[[], None] = lambda: None,
    on_watched: Callable[[], None] = lambda: None,
    on_wait: Callable[[], None] = lambda: None,
    patience_s: float = 0.0,
) -> RunOutcome:
    """Return a run of the baseline, and call these functions on the way.

    `on_watched` is called when the usual load is known, `on_wait` when the run begins to wait for a
    quiet minute.
    """

    async def measure() -> RunOutcome:
        (card,) = probe_cards().cards
        runner = Runner(
            task,
            data,
            device=card.device,
            audit_key=b"a test's key",
            patience_s=patience_s,
        )
        runner.notify_waits(on_wait)
        try:
            await runner.open()
            on_watched()
            return await runner.run(task.source, 2, on_trained=on_trained)
        finally:
            await runner.close()

    return asyncio.run(measure())


@pytest.mark.soak
def test_a_run_on_a_card_that_nobody_else_uses(
    seconds_task: Task, seconds_data: TaskData, driver: FakeDriver
) -> None:
    outcome = measured(seconds_task, seconds_data)
    assert (outcome.status, outcome.flags, outcome.reason) == ("ok", (), None), outcome.log_tail
    assert {stage.part for stage in outcome.stages} == {"train", "score", "audit"}
    assert driver.open == 0


@pytest.mark.soak
@pytest.mark.parametrize("ends", [False, True])
def test_a_game_that_begins_next_to_it_is_waited_for_and_marks_the_run_at_last(
    seconds_task: Task,
    seconds_data: TaskData,
    driver: FakeDriver,
    monkeypatch: pytest.MonkeyPatch,
    ends: bool,
) -> None:
    monkeypatch.setattr("trainer.measuring.host_load.IDLE_S", 1.0)
    monkeypatch.setattr("trainer.measuring.host_load.LOOKED_S", 0.2)
    waits: list[None] = []

    def play() -> None:
        driver.load.processes[GAME] = FakeProcess(mib=4000, percent=60)

    def stop() -> None:
        waits.append(None)
        if ends:
            del driver.load.processes[GAME]

    outcome = measured(
        seconds_task, seconds_data, on_watched=play, on_wait=stop, patience_s=600.0 if ends else 0.5
    )
    assert (outcome.status, outcome.flags) == ("ok", () if ends else ("contended",))
    assert len(waits) == 1
    assert [stage.name for stage in outcome.stages].count("attempt") == int(ends)


@pytest.mark.soak
def test_heat_marks_a_run(seconds_task: Task, seconds_data: TaskData, driver: FakeDriver) -> None:
    def heat() -> None:
        driver.load.reasons = pynvml.nvmlClocksEventReasonHwThermalSlowdown

    outcome = measured(seconds_task, seconds_data, on_watched=heat)
    assert (outcome.status, outcome.flags) == ("ok", ("throttled",))


def test_a_lost_card_is_nobodys_fault(
    seconds_task: Task, seconds_data: TaskData, driver: FakeDriver
) -> None:
    def lose() -> None:
        driver.fail(pynvml.NVML_ERROR_GPU_IS_LOST)

    with pytest.raises(CardLost, match="fallen off the bus"):
        measured(seconds_task, seconds_data, on_watched=lose)


@pytest.mark.soak
def test_a_card_that_hangs_ends_the_run(
    seconds_task: Task, seconds_data: TaskData, driver: FakeDriver
) -> None:
    answers = threading.Event()

    def hang() -> None:
        driver.hangs = answers

    try:
        with pytest.raises(CardLost, match="hangs: its driver has not answered"):
            measured(seconds_task, seconds_data, on_watched=hang)
    finally:
        answers.set()


@pytest.mark.soak
def test_who_runs_out_of_memory_is_shown_what_there_is(
    seconds_task: Task, seconds_data: TaskData, driver: FakeDriver
) -> None:
    driver.load.processes[GAME] = FakeProcess(mib=1000)
    greedy = replace(
        seconds_task, source=seconds_task.source.replacing(seconds_task.editable[0], OOM)
    )
    outcome = measured(greedy, seconds_data)
    assert outcome.status == "oom"
    for said in (outcome.reason, outcome.unquoted):
        assert said is not None
        assert said.endswith("; the card has 12.0 GiB, others use 1.3 GiB")
    assert "Tried to allocate" in str(outcome.reason)
    assert "Tried" not in str(outcome.unquoted)
