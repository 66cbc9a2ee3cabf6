"""A node at work: it answers commands over its socket until its goal is reached or it is stopped.

The first interrupt ends it after the run at hand, the second at once.
"""

import asyncio
import contextlib
import signal

from node.control import ControlServer
from node.core import Node
from node.handlers import handlers


async def run_node(node: Node) -> None:
    """Work until the goal is reached or somebody stops it."""
    loop = asyncio.get_running_loop()
    working = asyncio.create_task(node.research.run())
    interrupts = 0

    def interrupted() -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts == 1:
            node.research.stop()
        else:
            working.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted)
    try:
        async with ControlServer(node.home.socket, handlers(node)):
            with contextlib.suppress(asyncio.CancelledError):
                await working
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    if interrupts > 1:
        raise KeyboardInterrupt
