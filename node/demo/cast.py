"""The demo's processes: each a real arnode with its own home, key and socket.

They share a pipe with the demo's own process (`Lifeline`). When that process ends or crashes, all
of them end.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.home.addresses import Address, parse_address
from node.home.home import Home
from node.processes.lifeline import Lifeline
from protocol.errors import ArnodeError
from trainer.host.interpreter import program_command

NETWORK: Final = "demo"
TASK: Final = "tiny-short"
ARNODE: Final = "node.commands.cli"  # the module of the `arnode` command
_LISTEN = "/ip4/127.0.0.1/tcp/0"
_LISTENING = "listening at "
_STARTED_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A running node and its home."""

    name: str
    home: Home
    process: asyncio.subprocess.Process

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self.home.root.with_suffix(".log")


class Cast:
    """The running nodes of a demo, with their homes in one folder."""

    def __init__(self, root: Path, *, is_temporary: bool) -> None:
        self._root = root
        self._lifeline = Lifeline(root if is_temporary else None)
        self._actors: list[Actor] = []

    async def start(
        self, name: str, module: str, arguments: Sequence[str], settings: Mapping[str, str]
    ) -> Actor:
        """Start a process that runs a module's `main` with its own home."""
        home = Home(self._root / name)
        home.prepare()
        own = {key: value for key, value in os.environ.items() if not key.startswith("ARNODE_")}
        with home.root.with_suffix(".log").open("wb") as log:
            process = await self._lifeline.start(
                [*program_command(module, flags=()), *arguments],
                env={
                    **own,
                    "ARNODE_HOME": str(home.root),
                    "ARNODE_LANES": "1",  # the nodes share a machine
                    "ARNODE_LISTEN": _LISTEN,
                    "ARNODE_MDNS": "false",
                    "ARNODE_NAME": name,
                    **settings,
                },
                stdout=log,
                stderr=log,
            )
        actor = Actor(name=name, home=home, process=process)
        self._actors.append(actor)
        return actor

    async def aclose(self) -> None:
        """End all nodes with their child processes."""
        self._lifeline.cut()
        await asyncio.gather(*(actor.process.wait() for actor in self._actors))


async def address_of(actor: Actor) -> Address:
    """Wait until a bootstrap node logs its listening address, and return it.

    Raises:
        ArnodeError: the node ended.
        TimeoutError: it logged no address in time.
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
    """Return the error for a node that ended unexpectedly, with its last line of output."""
    log_lines = actor.log.read_text(errors="replace").strip().splitlines()
    return ArnodeError(
        f"the {actor.name} ended: {log_lines[-1] if log_lines else 'it printed nothing'}"
    )
