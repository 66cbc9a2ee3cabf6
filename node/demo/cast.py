"""The demo's processes: each a real arnode with a home, a key and a socket of its own."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.home import Home
from node.peering.addresses import Address, parse_address
from protocol.errors import ArnodeError

NETWORK: Final = "demo"
TASK: Final = "tiny-short"
_LISTEN = "/ip4/127.0.0.1/tcp/0"
_LISTENING = "listening at "
_STARTED_WITHIN_S = 60.0
_ENDED_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A running node and where it keeps what it has."""

    name: str
    home: Home
    process: asyncio.subprocess.Process

    @property
    def log(self) -> Path:
        """What it said."""
        return self.home.root.with_suffix(".log")


@contextlib.asynccontextmanager
async def acting(
    name: str, root: Path, command: Sequence[str], settings: Mapping[str, str]
) -> AsyncIterator[Actor]:
    """Run `python -m` a program on a home of its own for the length of a block."""
    home = Home(root / name)
    home.prepare()
    own = {key: value for key, value in os.environ.items() if not key.startswith("ARNODE_")}
    with home.root.with_suffix(".log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *command,
            env={
                **own,
                "ARNODE_HOME": str(home.root),
                "ARNODE_LISTEN": _LISTEN,
                "ARNODE_MDNS": "false",
                "ARNODE_NAME": name,
                **settings,
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C is for the demo, which ends everybody
        )
    try:
        yield Actor(name=name, home=home, process=process)
    finally:
        await _end(process)


async def address_of(actor: Actor) -> Address:
    """Wait until a bootstrap node says where it listens.

    Raises:
        ArnodeError: it ended, or does not say.
    """
    async with asyncio.timeout(_STARTED_WITHIN_S):
        while actor.process.returncode is None:
            for line in actor.log.read_text(errors="replace").splitlines():
                address = parse_address(line.partition(_LISTENING)[2])
                if isinstance(address, Address):
                    return address
            await asyncio.sleep(0.1)
    raise ended(actor)


def ended(actor: Actor) -> ArnodeError:
    """Return what to say of a node that should not have ended."""
    said = actor.log.read_text(errors="replace").strip().splitlines()
    return ArnodeError(f"the {actor.name} ended: {said[-1] if said else 'it said nothing'}")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask a node to stop, then end it with all that it started."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_ENDED_WITHIN_S):
                await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
