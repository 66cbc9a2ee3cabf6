"""Repeated runs; a script that knows its result gains nothing by repetition.

Sandboxes are scripted (`tests.trainer.scripted`), everything around them is real.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from node.terminal.progress import silent
from protocol.errors import SafetyError
from protocol.runs import CONTENDED
from tests.trainer.runners import SPLIT
from tests.trainer.scripted import (
    HONEST,
    Machine,
    Place,
    Script,
    ScriptedPool,
    scripted_runner,
    watched,
)
from trainer.language_model.data import TaskData
from trainer.measuring.host_load import HostLoad
from trainer.measuring.loss_curve import LossCurve, as_pairs
from trainer.measuring.outcome import RunOutcome
from trainer.measuring.training import PutOff
from trainer.runner import Runner
from trainer.sandbox.profile import Role
from trainer.sandbox.sandbox import Sandbox
from trainer.task_folder.task import Task

T = TypeVar("T")
AFTER_ROWS: tuple[Place, ...] = ("first answer", "score", "audit's first answer", "audit")


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    with watched(machine):
        yield machine


@pytest.fixture(scope="module")
def known(short_task: Task, short_data: TaskData) -> Runner:
    """Return a runner calibrated on a quiet machine; others copy what it knows."""

    async def calibrate() -> Runner:
        runner = scripted_runner(short_task, short_data, Machine())
        await runner.calibrate(1)
        return runner

    with watched(Machine()):
        return asyncio.run(calibrate())


@pytest.fixture
def calibrated(
    short_task: Task, short_data: TaskData, machine: Machine, known: Runner
) -> Callable[[Callable[[Runner], Awaitable[T]]], T]:
    """Return a function that runs work with a runner calibrated on a quiet machine."""

    def run(work: Callable[[Runner], Awaitable[T]]) -> T:
        async def session() -> T:
            runner = scripted_runner(short_task, short_data, machine)
            runner.baseline_cost = known.baseline_cost
            return await work(runner)

        return asyncio.run(session())

    return run


Calibrated = Callable[[Callable[[Runner], Awaitable[Any]]], Any]


@pytest.mark.parametrize("is_crowded", [False, True])
@pytest.mark.parametrize("place", AFTER_ROWS)
def test_nothing_is_repeated_once_a_row_was_shown(
    calibrated: Calibrated, machine: Machine, place: Place, is_crowded: bool
) -> None:
    """A script that knows its score by then could waste seconds until it likes the score."""
    machine.is_crowded = is_crowded

    async def work(runner: Runner) -> RunOutcome:
        runner._pace.learn_serving(machine.share, runner.baseline_cost.cost)  # type: ignore[union-attr]
        return await runner.run(Script(burns=place, content=99.0).source(runner.task), 2)

    outcome = calibrated(work)
    assert outcome.status == "timeout"
    assert CONTENDED not in outcome.flags  # the script's own fault, even with other load
    assert (len(machine.luck), machine.served) == (1, 1)


@pytest.mark.parametrize("place", ["first answer", "audit's first answer"])
def test_a_start_that_is_slow_once_a_row_was_shown_is_final(
    calibrated: Calibrated, machine: Machine, place: Place
) -> None:
    async def work(runner: Runner) -> RunOutcome:
        script = Script(burns=place, content=99.0, burnt_s=0.4)
        return await runner.run(script.source(runner.task), 2)

    outcome = calibrated(work)
    assert (outcome.status, machine.served) == ("timeout", 1)
    assert str(outcome.reason).startswith("the start of ")


@pytest.mark.parametrize(("slow_starts", "status"), [(0, "ok"), (2, "ok"), (3, "timeout")])
def test_a_script_that_is_slow_to_get_ready_starts_again_with_the_same_weights(
    calibrated: Calibrated, machine: Machine, slow_starts: int, status: str
) -> None:
    """For example, the page cache was emptied: no row was shown, and nothing is trained again."""

    async def work(runner: Runner) -> RunOutcome:
        machine.slow_starts = slow_starts
        runner.baseline_cost = replace(
            runner.baseline_cost, cost=replace(runner.baseline_cost.cost, score_s=99.0)
        )
        return await runner.run(HONEST.source(runner.task), 2)

    assert calibrated(work).status == status
    assert (len(machine.luck), machine.served) == (1, int(status == "ok"))


def test_an_audit_that_starts_again_looks_at_the_same_places(
    short_task: Task, short_data: TaskData, machine: Machine, known: Runner
) -> None:
    """This holds in another session after a kill, too: the key is never inside a sandbox."""

    async def audits(key: bytes, seed: int, *, slow_starts: int = 0) -> list[bytes]:
        runner = scripted_runner(short_task, short_data, machine, audit_key=key)
        cost = replace(known.baseline_cost.cost, audit_s=99.0)  # type: ignore[union-attr]
        runner.baseline_cost = replace(known.baseline_cost, cost=cost)  # type: ignore[type-var]
        machine.audits.clear()
        claimed = runner._stages._score_rows

        async def then_slow(*args: Any) -> Any:
            claims = await claimed(*args)
            machine.slow_starts = slow_starts
            return claims

        runner._stages._score_rows = then_slow  # type: ignore[method-assign]
        script = Script(is_random=False).source(short_task)
        outcome = await runner.run(script, seed, split=SPLIT)
        assert (outcome.status, machine.slow_starts) == ("ok", 0)
        return machine.audits[:]

    first = asyncio.run(audits(b"a key", 2))
    assert asyncio.run(audits(b"a key", 2)) == first
    assert asyncio.run(audits(b"a key", 2, slow_starts=2)) == first
    assert asyncio.run(audits(b"another", 2)) != first
    assert asyncio.run(audits(b"a key", 3)) != first


def test_a_ceiling_is_that_of_a_machine_as_crowded_as_it_is(
    calibrated: Calibrated, machine: Machine
) -> None:
    """The baseline takes longer by the same factor, so a slow candidate is scored."""

    async def work(runner: Runner) -> list[RunOutcome]:
        machine.is_crowded, machine.stretch = True, 1.3
        slow = Script(train_s=5.5)  # 7.15 s here, while 6.25 s are allowed without other load
        return [await runner.run(slow.source(runner.task), seed) for seed in (2, 3)]

    outcomes = calibrated(work)
    assert [(one.status, one.flags) for one in outcomes] == [("ok", (CONTENDED,))] * 2
    # Each trained once. The baseline was also timed once in this session.
    assert len(machine.luck) == 3
    assert [[x.name for x in one.stages].count("baseline") for one in outcomes] == [2, 0]


def test_a_baseline_timed_in_a_lull_is_timed_again_when_it_failed_three(
    calibrated: Calibrated, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.measuring.host_load.IDLE_S", 60.0)

    async def work(runner: Runner) -> list[RunOutcome]:
        runner._training._patience_s = 0.0  # no minute of it is quiet
        machine.is_crowded, machine.stretch = True, 1.3
        runner._pace.learn_training(machine.share, 4.0)  # type: ignore[union-attr]
        slow = Script(train_s=5.5)
        return [await runner.run(slow.source(runner.task), seed) for seed in range(2, 7)]

    outcomes = calibrated(work)
    assert [one.status for one in outcomes] == ["timeout"] * 3 + ["ok"] * 2
    timed = [[stage.name for stage in one.stages].count("baseline") for one in outcomes]
    assert timed == [0, 0, 0, timed[3], 0]
    assert timed[3]


@pytest.mark.parametrize(
    ("script", "status", "trained"),
    [
        (Script(train_s=5.9, is_random=False), "ok", 2),
        (Script(train_s=5.9), "timeout", 2),  # other weights, so somebody may have chosen them
        (Script(train_s=6.9, is_random=False), "timeout", 2),  # too slow by itself
        (Script(train_s=99.0, is_random=False), "timeout", 1),  # other load cannot double its time
    ],
)
def test_a_disturbed_training_is_tried_again_in_a_quiet_minute(
    calibrated: Calibrated, machine: Machine, script: Script, status: str, trained: int
) -> None:
    async def work(runner: Runner) -> RunOutcome:
        machine.is_crowded, machine.stretch = True, 1.3
        runner._pace.learn_training(machine.share, 4.0)  # type: ignore[union-attr]
        runner.notify_waits(machine.calm_down)
        return await runner.run(script.source(runner.task), 2)

    outcome = calibrated(work)
    assert (outcome.status, len(machine.luck)) == (status, trained)
    assert (machine.served > 0) == (status == "ok")
    assert (CONTENDED in outcome.flags) == (trained > 1)
    assert [stage.name for stage in outcome.stages].count("attempt") == trained - 1
    if status == "ok":
        assert len(set(machine.luck)) == 1


def test_other_weights_are_reported(calibrated: Calibrated, machine: Machine) -> None:
    async def work(runner: Runner) -> RunOutcome:
        machine.is_crowded, machine.stretch = True, 1.3
        runner._pace.learn_training(machine.share, 4.0)  # type: ignore[union-attr]
        runner.notify_waits(machine.calm_down)
        return await runner.run(Script(train_s=5.9).source(runner.task), 2)

    assert str(calibrated(work).reason).endswith("in a quiet minute it gave other weights")


@pytest.mark.parametrize("burnt_s", [None, 1.0, 3.0, 9.0])
@pytest.mark.parametrize("stretch", [1.0, 1.3])
def test_who_burns_seconds_in_training_keeps_the_first_luck_it_had(
    calibrated: Calibrated, machine: Machine, burnt_s: float | None, stretch: float
) -> None:
    """This holds for any length and any load: nothing is drawn a second time."""

    async def work(runner: Runner) -> list[tuple[float, int | None]]:
        runner.notify_waits(machine.calm_down)
        runner._pace.learn_training(0.5, 4.0)  # type: ignore[union-attr]
        scored = []
        for seed in range(10):
            machine.is_crowded, machine.stretch = True, stretch
            machine.luck.clear()
            script = Script(burns="training", content=0.3, burnt_s=burnt_s)
            outcome = await runner.run(script.source(runner.task), seed, split=SPLIT)
            if outcome.status == "ok":
                scored.append((machine.luck[0], outcome.secret_nano))
        return scored

    scored = calibrated(work)
    assert scored
    better_first = sorted(scored, reverse=True)
    assert [nano for _, nano in better_first] == sorted(nano for _, nano in scored)


def test_a_session_that_ends_puts_off_what_waits(calibrated: Calibrated, machine: Machine) -> None:
    """It has no outcome, so it is made later, with its seed."""

    async def work(runner: Runner) -> None:
        machine.is_crowded, machine.stretch = True, 1.3
        runner._pace.learn_training(machine.share, 4.0)  # type: ignore[union-attr]
        runner.notify_waits(runner.hurry)
        free = asyncio.Event()
        with pytest.raises(PutOff):
            await runner.run(Script(train_s=5.9).source(runner.task), 2, on_trained=free.set)
        assert free.is_set()

    calibrated(work)


@pytest.mark.parametrize("left_s", [0.2, 0.0])
def test_no_run_waits_beyond_the_end_of_its_session(
    calibrated: Calibrated, machine: Machine, monkeypatch: pytest.MonkeyPatch, left_s: float
) -> None:
    """It does not train again then, even in a quiet minute."""
    monkeypatch.setattr("trainer.measuring.host_load.IDLE_S", 60.0 if left_s else 0.0)

    async def work(runner: Runner) -> None:
        machine.is_crowded, machine.stretch = True, 1.3
        runner._pace.learn_training(machine.share, 4.0)  # type: ignore[union-attr]
        waits: list[float] = []
        runner.notify_waits(lambda: waits.append(time.monotonic()))
        began_s = time.monotonic()
        with pytest.raises(PutOff):
            await runner.run(
                Script(train_s=5.9).source(runner.task), 2, session_ends_s=began_s + left_s
            )
        assert len(machine.luck) == 1
        assert len(waits) == (1 if left_s else 0)
        assert time.monotonic() < began_s + 30  # its patience is three minutes

    calibrated(work)


def test_a_machine_that_is_never_quiet_ends_the_wait(
    calibrated: Calibrated, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.measuring.host_load.IDLE_S", 60.0)

    async def work(runner: Runner) -> RunOutcome:
        runner._training._patience_s = 0.0
        machine.is_crowded, machine.stretch = True, 1.3
        runner._pace.learn_training(machine.share, 4.0)  # type: ignore[union-attr]
        return await runner.run(Script(train_s=5.9).source(runner.task), 2)

    outcome = calibrated(work)
    assert (outcome.status, outcome.flags) == ("timeout", (CONTENDED,))
    assert outcome.reason == "training used more than 6.25 CPU seconds, the task's ceiling here"
    assert (len(machine.luck), machine.served) == (1, 0)


def test_after_a_wait_in_vain_no_run_waits_until_one_was_left_alone(
    calibrated: Calibrated, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.measuring.host_load.IDLE_S", 60.0)
    waits: list[tuple[float, ...]] = []

    async def work(runner: Runner) -> list[int]:
        runner._training._patience_s = 0.1
        runner.notify_waits(lambda: waits.append(runner.waits_s))
        slow = Script(train_s=5.9).source(runner.task)
        waited = []
        for is_crowded in (True, True, False, True):
            machine.is_crowded, machine.stretch = is_crowded, 1.3 if is_crowded else 1.0
            runner._pace.learn_training(machine.share, 4.0)  # type: ignore[union-attr]
            await runner.run(slow if is_crowded else HONEST.source(runner.task), 2)
            waited.append(len(waits))
        return waited

    assert calibrated(work) == [1, 1, 1, 2]
    assert all(0 < left_s <= 0.1 for (left_s,) in waits)


@pytest.mark.parametrize(("start_s", "status"), [(0.1, "ok"), (0.3, "timeout")])
def test_where_no_minute_is_quiet_what_is_within_its_ceiling_stands(
    calibrated: Calibrated,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    start_s: float,
    status: str,
) -> None:
    """Time for the start of scoring is only desired; then the start itself decides."""
    monkeypatch.setattr("trainer.measuring.host_load.IDLE_S", 60.0)

    async def work(runner: Runner) -> RunOutcome:
        runner._training._patience_s = 0.0
        machine.is_crowded, machine.stretch = True, 1.0
        runner._pace.learn_training(machine.share, 4.0)  # type: ignore[union-attr]
        return await runner.run(Script(train_s=5.8, start_s=start_s).source(runner.task), 2)

    outcome = calibrated(work)
    assert (outcome.status, len(machine.luck)) == (status, 1)
    assert outcome.flags == (CONTENDED,)


def test_a_candidate_waits_for_all_of_the_text(
    short_task: Task,
    short_data: TaskData,
    machine: Machine,
    known: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise it could request too much, and so be repeated whenever it wants."""
    monkeypatch.setattr("trainer.language_model.supply._LOOKED_S", 0.01)
    (tokens,) = short_data.training_parts
    data = replace(short_data, coming=(lambda _progress: tokens[:9],))

    async def work() -> None:
        runner = scripted_runner(short_task, data, machine)
        runner.baseline_cost = known.baseline_cost
        run = asyncio.create_task(runner.run(HONEST.source(short_task), 2))
        await asyncio.sleep(0.05)
        assert machine.luck == []
        runner._stages._data.load_rest(silent)
        assert (await run).status == "ok"

    asyncio.run(work())


@pytest.mark.parametrize(("takes", "has_rows"), [(2, False), (3, True)])
def test_an_error_of_our_own_ends_a_run_that_saw_a_row(
    calibrated: Calibrated, machine: Machine, takes: int, has_rows: bool
) -> None:
    """A script that can cause it must not get a new run from a node that restarts."""

    async def work(runner: Runner) -> None:
        pool = runner._stages._pool
        assert isinstance(pool, ScriptedPool)
        left, take = [takes], pool.take

        async def failing(role: Role, **_asked: bool) -> Sandbox:
            left[0] -= 1
            if not left[0]:
                raise SafetyError("the sandbox did not start", "look")
            return await take(role)

        pool.take = failing  # type: ignore[method-assign]
        run = runner.run(HONEST.source(runner.task), 2)
        if not has_rows:
            with pytest.raises(SafetyError):
                await run
            return
        outcome = await run
        assert (outcome.status, outcome.metric_nano) == ("crash", None)
        assert isinstance(outcome.fault, SafetyError)
        assert outcome.reason == "cut off while scored: the sandbox did not start"

    calibrated(work)


def test_other_lanes_disturb_no_run(
    calibrated: Calibrated, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that only this node's runs fill counts as it was when the baseline was timed."""
    monkeypatch.setattr(HostLoad, "share_with_lanes", lambda load: load.share() + 0.9)
    waits: list[str] = []

    async def work(runner: Runner) -> list[RunOutcome]:
        runner.notify_waits(lambda: waits.append("waits"))
        await runner.calibrate(1)
        honest, slow = HONEST.source(runner.task), replace(HONEST, train_s=8.0).source(runner.task)
        outcomes = [await runner.run(honest, seed) for seed in (2, 3, 4)]
        return [*outcomes, await runner.run(slow, 5)]

    *honest, slow = calibrated(work)
    assert [(one.status, one.flags) for one in honest] == [("ok", ())] * 3
    # No overtime, and no second try in a quiet minute: it is slower than the baseline in lanes.
    assert (slow.status, slow.flags, waits) == ("timeout", (), [])
    assert len(machine.luck) == 5
    assert machine.served == 4  # and the baseline was not scored again


def test_a_crowd_next_to_lanes_excuses_a_run_as_it_does_next_to_one(
    calibrated: Calibrated, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HostLoad, "share_with_lanes", lambda load: load.share() + 0.4)

    async def work(runner: Runner) -> RunOutcome:
        await runner.calibrate(1)
        machine.is_crowded, machine.stretch = True, 1.8
        return await runner.run(HONEST.source(runner.task), 2)

    outcome = calibrated(work)
    assert (outcome.status, outcome.flags) == ("ok", (CONTENDED,))


def test_what_follows_a_new_lines_baseline_is_held_against_it(
    short_task: Task, short_data: TaskData, machine: Machine
) -> None:
    """Nothing else gives the baseline's cost in that session."""

    async def session() -> list[RunOutcome]:
        runner = scripted_runner(short_task, short_data, machine)
        first = await runner.run(short_task.source, 1)
        slow = replace(HONEST, train_s=8.0).source(short_task)
        return [first, await runner.run(slow, 2)]

    first, slow = asyncio.run(session())
    assert (first.status, slow.status) == ("ok", "timeout")


def test_a_training_that_is_made_again_begins_a_curve_of_its_own(
    calibrated: Calibrated, machine: Machine
) -> None:
    machine.prints = b"step 3 loss 2.5\n"
    begun: list[LossCurve] = []

    async def work(runner: Runner) -> RunOutcome:
        machine.is_crowded, machine.stretch = True, 1.3
        runner._pace.learn_training(machine.share, 4.0)  # type: ignore[union-attr]
        runner.notify_waits(machine.calm_down)
        source = Script(train_s=5.9, is_random=False).source(runner.task)
        return await runner.run(source, 2, on_training=begun.append)

    outcome = calibrated(work)
    assert (outcome.status, len(machine.luck), len(begun)) == ("ok", 2, 2)
    assert outcome.curve == begun[1].points
    assert as_pairs(outcome.curve) == [(3, 2.5)]


def test_the_curve_of_a_baseline_timed_during_a_run_is_nobodys(
    calibrated: Calibrated, machine: Machine
) -> None:
    begun: list[LossCurve] = []

    async def work(runner: Runner) -> RunOutcome:
        machine.is_crowded, machine.stretch = True, 1.3
        source = Script(train_s=5.5).source(runner.task)
        return await runner.run(source, 2, on_training=begun.append)

    assert calibrated(work).status == "ok"
    assert (len(machine.luck), len(begun)) == (2, 1)
