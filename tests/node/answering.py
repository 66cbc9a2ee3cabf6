"""A node that answers `status` on a home's socket, without being one."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from node.home.control_socket import ControlServer, Message
from node.home.home import Home


@contextmanager
def running(home: Home, network: Message) -> Iterator[None]:
    """A node that answers `status` with this network."""
    ready, done = threading.Event(), threading.Event()

    async def status(_: object) -> Message:
        return {"network": network}

    async def serve() -> None:
        async with ControlServer(home.socket, {"status": status}):
            ready.set()
            await asyncio.to_thread(done.wait)
            # asyncio leaves a socket open that it accepted just before its loop ends.
            await asyncio.sleep(0.1)

    home.prepare()
    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        done.set()
        thread.join()
