"""A node at work: it answers commands over its socket until its goal is reached or it is stopped.

The first interrupt ends it after the run at hand, the second at once.
"""

import asyncio
import contextlib

from node.home.control import ControlServer
from node.running.handlers import handlers
from node.running.node import Node
from node.terminal.interrupts import heeding_interrupts


async def run_node(node: Node) -> None:
    """Work until the goal is reached or somebody stops it."""
    working = asyncio.create_task(node.research.run())
    with heeding_interrupts(first=node.research.stop, later=working.cancel) as interrupts:
        try:
            async with ControlServer(node.home.socket, handlers(node)):
                with contextlib.suppress(asyncio.CancelledError):
                    await working
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
    if interrupts() > 1:
        raise KeyboardInterrupt
