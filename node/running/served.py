"""A node that works and answers commands meanwhile, with a picture of it or without."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from node.home.control import ControlServer, Handler
from node.running.node import Node
from node.settings.config import Config
from node.terminal.interrupts import until_interrupted
from node.terminal.terminal import wants_color

_REFRESH_S: Final = 0.5


async def run_node(
    node: Node,
    answers: Mapping[str, Handler],
    *,
    on_interrupt: Callable[[], object] = lambda: None,
) -> None:
    """Work and answer commands over the socket, until the goal is reached or somebody stops it.

    The first interrupt ends it after the run at hand, of which `on_interrupt` tells; the second at
    once.
    """

    def interrupted() -> None:
        node.research.interrupt()
        on_interrupt()

    async def work() -> None:
        async with ControlServer(node.home.socket, answers):
            await node.research.run()

    if await until_interrupted(work(), first=interrupted) > 1:
        raise KeyboardInterrupt


async def run_watched(node: Node, config: Config, answers: Mapping[str, Handler]) -> None:
    """Run a node as `run_node` does, below a picture of it that is drawn anew all the time."""
    from rich.live import Live

    from node.running.live import draw
    from node.terminal.terminal import console

    def redraw() -> None:
        live.update(draw(node), refresh=True)

    with Live(
        draw(node),
        console=console("auto" if wants_color(config.color, {}) else "never"),
        auto_refresh=False,
        transient=False,
    ) as live:

        async def refresh() -> None:
            while True:
                await asyncio.sleep(_REFRESH_S)
                redraw()

        drawing = asyncio.create_task(refresh())
        try:
            await run_node(node, answers, on_interrupt=redraw)
        finally:
            drawing.cancel()
            redraw()
