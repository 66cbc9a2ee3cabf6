"""Starting and ending a program task's sandboxes, also where they are given up meanwhile.

An instance that fails ends its run, while others are on their way. Where bubblewrap is killed
before its inner process lives and dies with it, that one stays, and whoever waits for it waits for
ever: so a start comes to its end first.
"""

import asyncio
import contextlib

from protocol.errors import SafetyError
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import Sandbox


async def launched(profile: Profile) -> Sandbox:
    """Start a sandbox as `Sandbox.launch` does; whoever is cancelled meanwhile has none left."""
    starting = asyncio.create_task(Sandbox.launch(profile))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(SafetyError):
            await (await starting).close()
        raise


async def closed(sandbox: Sandbox) -> None:
    """Close a sandbox, whole, also where whoever waits for it is cancelled meanwhile."""
    closing = asyncio.create_task(sandbox.close())
    try:
        await asyncio.shield(closing)
    except asyncio.CancelledError:
        await closing
        raise
