"""The importance of hyperparameters is computed during runs; prompts show the last result."""

import asyncio

import pytest

from agent.hyperparameters.importance import importance_of
from agent.proposal import Context, HyperparameterImportance
from node.loop import briefing as module
from node.loop.briefing import Importance
from tests.agent.histories import long_context


async def known_by(
    importance: Importance, context: Context
) -> tuple[HyperparameterImportance, ...]:
    """Compute it for a context and wait for the result, unlike a prompt."""
    before = importance.known
    importance.renew(context)
    assert importance.known == before
    assert importance._estimate is not None
    await importance._estimate
    return importance.known


def test_the_latest_computed_is_shown() -> None:
    async def work() -> None:
        importance = Importance()
        first = await known_by(importance, long_context(30))
        assert first == importance_of(long_context(30))
        assert first[0].share >= first[-1].share
        second = await known_by(importance, long_context(60))
        assert second == importance_of(long_context(60))

    asyncio.run(work())


def test_it_is_computed_again_after_ten_more_experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []

    def noting(context: Context) -> tuple[HyperparameterImportance, ...]:
        computed.append(len(context.history))
        return importance_of(context)

    async def work() -> None:
        importance = Importance()
        for experiments in (0, 3, 9, 10, 12, 19, 25):
            importance.renew(long_context(experiments))
            importance.renew(long_context(experiments))  # one at a time
            if importance._estimate is not None:
                await importance._estimate
            assert isinstance(importance.known, tuple)

    monkeypatch.setattr(module, "_importance_of", noting)
    asyncio.run(work())
    assert computed == [0, 10, 25]


def test_who_closes_it_waits_for_nothing() -> None:
    async def work() -> None:
        importance = Importance()
        importance.renew(long_context(60))
        await importance.close()
        assert importance.known == ()

    asyncio.run(work())


def test_a_fault_of_it_is_not_kept_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_context: Context) -> tuple[HyperparameterImportance, ...]:
        raise ArithmeticError("no such model")

    async def work() -> None:
        importance = Importance()
        importance.renew(long_context(0))
        await asyncio.sleep(0.1)
        with pytest.raises(ArithmeticError, match="no such model"):
            assert importance.known

    monkeypatch.setattr(module, "_importance_of", fail)
    asyncio.run(work())
