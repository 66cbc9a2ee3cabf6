"""Spare sandboxes that wait, and those that end before they are used."""

import asyncio
import os
import signal

import pytest

from protocol.errors import SafetyError
from tests.trainer.inside import profile
from trainer.sandbox.pool import WarmPool
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import Sandbox


def test_a_spare_that_was_killed_while_it_waited_is_not_handed_out() -> None:
    async def run() -> tuple[Sandbox, Sandbox]:
        pool = WarmPool({"serve": profile()})
        try:
            pool.warm("serve")
            spare = await pool._spares["serve", False]
            os.kill(spare._pid, signal.SIGKILL)
            await spare._process.wait()
            taken = await pool.take("serve")
            await taken.send(b"J", b"{}")
            await taken.close()
            return spare, taken
        finally:
            await pool.close()

    spare, taken = asyncio.run(run())
    assert spare.has_ended
    assert taken is not spare


@pytest.mark.parametrize("started_ahead", [True, False])
@pytest.mark.parametrize("refused", [1, 2, 3])
def test_a_sandbox_that_did_not_start_is_started_again_a_few_times(
    refused: int, started_ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch, refusals = Sandbox.launch, iter([True] * refused)

    async def refused_at_first(wanted: Profile) -> Sandbox:
        if next(refusals, False):  # as if a kernel limit for this user was reached
            raise SafetyError("the sandbox did not start: Too many references", "")
        return await launch(wanted)

    async def run() -> None:
        pool = WarmPool({"serve": profile()})
        try:
            if started_ahead:
                pool.warm("serve")
                await asyncio.sleep(0)
            await (await pool.take("serve")).close()
        finally:
            await pool.close()

    monkeypatch.setattr(Sandbox, "launch", refused_at_first)
    if refused < 3:
        asyncio.run(run())
    else:
        with pytest.raises(SafetyError):
            asyncio.run(run())


@pytest.mark.parametrize("another_started", [True, False])
def test_a_run_that_is_ended_while_it_waits_leaves_no_sandbox_behind(
    another_started: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch, launched, waiting = Sandbox.launch, list[Sandbox](), list[asyncio.Task[Sandbox]]()

    async def ending_who_waits(wanted: Profile) -> Sandbox:
        launched.append(await launch(wanted))
        waiting[0].cancel()  # at the very moment when it has arrived
        return launched[-1]

    async def run() -> None:
        pool = WarmPool({"serve": profile()})
        waiting.append(asyncio.create_task(pool.take("serve")))
        await asyncio.sleep(0)
        if another_started:
            pool.warm("serve")
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        taken = await pool.take("serve")
        assert another_started or taken is launched[0]
        await taken.close()
        await pool.close()

    monkeypatch.setattr(Sandbox, "launch", ending_who_waits)
    asyncio.run(run())
    assert all(sandbox.has_ended for sandbox in launched)


def test_where_no_run_follows_no_spare_is_started_for_one() -> None:
    async def run() -> list[str]:
        pool = WarmPool({"serve": profile()})
        pool.start_no_next()
        try:
            await (await pool.take("serve")).close()
            return list(pool._spares)
        finally:
            await pool.close()

    assert asyncio.run(run()) == []
