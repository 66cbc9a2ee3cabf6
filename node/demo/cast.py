"""The demo's processes: each a real arnode with a home, a key and a socket of its own.

They live on one lifeline, so that none outlives the demo, whatever ends that.
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
    """A running node and where it keeps what it has."""

    name: str
    home: Home
    process: asyncio.subprocess.Process

    @property
    def log(self) -> Path:
        """What it said."""
        return self.home.root.with_suffix(".log")


class Cast:
    """Those that act in a folder, for as long as it is theirs."""

    def __init__(self, root: Path, *, is_temporary: bool) -> None:
        self._root = root
        self._lifeline = Lifeline(root if is_temporary else None)
        self._actors: list[Actor] = []

    async def start(
        self, name: str, module: str, arguments: Sequence[str], settings: Mapping[str, str]
    ) -> Actor:
        """Run a module's `main` on a home of its own."""
        home = Home(self._root / name)
        home.prepare()
        own = {key: value for key, value in os.environ.items() if not key.startswith("ARNODE_")}
        with home.root.with_suffix(".log").open("wb") as log:
            process = await self._lifeline.start(
                [*program_command(module, flags=()), *arguments],
                env={
                    **own,
                    "ARNODE_HOME": str(home.root),
                    "ARNODE_LANES": "1",  # they share a machine
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
        """End everybody with all that they started."""
        self._lifeline.cut()
        await asyncio.gather(*(actor.process.wait() for actor in self._actors))


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
