"""Spares that wait, and those that do not live to be taken."""

import asyncio
import os
import signal

from tests.trainer.inside import profile
from trainer.pool import WarmPool
from trainer.sandbox import Sandbox


def test_a_spare_that_was_killed_while_it_waited_is_not_handed_out() -> None:
    async def run() -> tuple[Sandbox, Sandbox]:
        pool = WarmPool({"serve": profile()})
        try:
            pool.warm("serve")
            spare = await pool._spares["serve"]
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
