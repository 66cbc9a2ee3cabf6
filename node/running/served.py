"""Running a node while it answers commands, with or without a live view."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from node.home.control_socket import ControlServer
from node.running.last_trial import LastTrial
from node.running.node import Node
from node.terminal.interrupts import until_interrupted
from node.web.commands import Answer, on_socket

_REFRESH_S: Final = 0.5


async def run_node(
    node: Node,
    answers: Mapping[str, Answer],
    *,
    ask: Callable[[], bool] = lambda: False,
    on_interrupt: Callable[[], object] = lambda: None,
) -> None:
    """Run a node and answer commands over its socket, until its goal is reached or it is stopped.

    The first interrupt ends the node after the current run; the second ends it at once. If the
    first is a Ctrl-C, `ask` may ask the user how to end, and returns True if it asks; otherwise
    `on_interrupt` is called.
    """

    def typed() -> bool:
        if not ask():
            node.research.interrupt()
            on_interrupt()
        return True

    async def work() -> None:
        async with ControlServer(node.home.socket, on_socket(answers)):
            await node.research.run()

    if await until_interrupted(work(), first=node.research.terminate, ask=typed) > 1:
        raise KeyboardInterrupt


async def run_watched(node: Node, answers: Mapping[str, Answer]) -> None:
    """Run a node as `run_node` does, with a live view that is redrawn continuously."""
    from rich.constrain import Constrain
    from rich.live import Live

    from node.running.live import draw
    from node.terminal.terminal import console

    last_trial = LastTrial(node)
    screen = console()
    size = screen.size

    def picture(*, has_ended: bool = False) -> Constrain:
        # The terminal echoes Ctrl-C as `^C` next to the picture; at the margin it would scroll.
        picture = draw(node, last_trial.words, has_ended=has_ended)
        return Constrain(picture, screen.width - len("^C"))

    def redraw(*, has_ended: bool = False) -> None:
        nonlocal size
        if screen.size != size:  # lines that a narrower terminal wrapped would stay above
            size = screen.size
            screen.clear()
        live.update(picture(has_ended=has_ended), refresh=True)

    def asks() -> bool:
        is_asked = last_trial.ask()
        redraw()
        return is_asked

    with Live(
        picture(),
        console=screen,
        auto_refresh=False,
        transient=False,
    ) as live:

        async def refresh() -> None:
            while True:
                await asyncio.sleep(_REFRESH_S)
                redraw()

        drawing = asyncio.create_task(refresh())
        try:
            await run_node(node, answers, ask=asks, on_interrupt=redraw)
        finally:
            last_trial.close()
            drawing.cancel()
            redraw(has_ended=True)
