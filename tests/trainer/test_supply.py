"""Training data in parts: in order, repeated if needed, and never fewer than there will be."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from node.terminal.progress import silent
from tests.trainer.audits import audited
from tests.trainer.runners import runner_of
from trainer.language_model import supply as supply_module
from trainer.language_model.data import TaskData
from trainer.language_model.supply import Supply
from trainer.language_model.text.vocabulary import Tokens
from trainer.measuring.kind import NotThereYet, Progress
from trainer.measuring.outcome import RunOutcome
from trainer.sandbox.sealed import Sealed
from trainer.task_folder.task import Task


def parts_of(data: TaskData, count: int, size: int) -> list[Tokens]:
    (tokens,) = data.training_parts
    return [tokens[start : start + size] for start in range(0, count * size, size)]


def coming(*parts: Tokens) -> tuple[Callable[[Progress], Tokens], ...]:
    return tuple(lambda _progress, part=part: part for part in parts)  # type: ignore[misc]


def content(part: Sealed) -> Tokens:
    with part.opened() as descriptor:
        return np.frombuffer(os.pread(descriptor, 1 << 20, 0), dtype=np.uint16)


def test_parts_come_in_order_and_over_again(short_data: TaskData) -> None:
    first, second = parts_of(short_data, 2, 1000)
    data = replace(short_data, training_parts=(first, second))

    async def ask() -> list[Tokens]:
        supply = Supply(data, 0)
        assert supply.count == 2
        try:
            return [content(await supply.part(7, number)) for number in range(4)]
        finally:
            supply.close()

    for found, expected in zip(asyncio.run(ask()), (first, second, first, second), strict=True):
        assert np.array_equal(found, expected)


def test_the_first_does_not_come_again_before_the_last_did(short_data: TaskData) -> None:
    first, second, third = parts_of(short_data, 3, 1000)
    data = replace(short_data, training_parts=(first,), coming=coming(second, third))

    async def ask() -> Tokens:
        supply = Supply(data, 0)
        assert supply.count == 3
        await supply.part(7, 0)
        with pytest.raises(NotThereYet):
            await supply.part(7, 1)
        waiting = asyncio.create_task(supply.grown())
        await asyncio.sleep(0)
        assert not waiting.done()
        await asyncio.to_thread(data.load_rest, silent)
        await waiting
        try:
            return content(await supply.part(7, 1))
        finally:
            supply.close()

    assert np.array_equal(asyncio.run(ask()), second)


def test_a_budget_of_tokens_has_a_part_by_seed(short_data: TaskData) -> None:
    async def ask() -> list[Tokens]:
        supply = Supply(short_data, 999)
        assert supply.count == 1
        try:
            return [
                content(await supply.part(seed, number)) for seed in (1, 2) for number in (0, 1)
            ]
        finally:
            supply.close()

    found = asyncio.run(ask())
    assert np.array_equal(found[0], short_data.training_tokens(1, 1000))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[2], short_data.training_tokens(2, 1000))
    assert not np.array_equal(found[0], found[2])


@pytest.mark.soak
def test_a_run_that_needs_more_than_has_come_is_run_again_when_it_has(
    seconds_task: Task, seconds_data: TaskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supply_module, "_LOOKED_S", 0.05)
    first, second = parts_of(seconds_data, 2, 3000)  # two seconds need many times as much
    data = replace(seconds_data, training_parts=(first,), coming=coming(second))
    ends: list[int] = []

    async def measure() -> RunOutcome:
        runner = runner_of(seconds_task, data)
        try:
            run = asyncio.create_task(
                runner.run(
                    seconds_task.source,
                    1,
                    on_trained=lambda: ends.append(len(data.coming)),
                    needs_audit=audited(False),
                )
            )
            while not ends:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await asyncio.to_thread(data.load_rest, silent)
            return await run
        finally:
            await runner.close()

    outcome = asyncio.run(measure())
    assert (outcome.status, outcome.reason) == ("ok", None), outcome.log_tail
    assert ends == [1, 0]
