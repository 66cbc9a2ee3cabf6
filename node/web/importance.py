"""The importance of hyperparameters in a home whose node is not running.

The model of the built-in search needs seconds of computation, so a process of its own computes it:
the command `arnode log --importance`, once for each set of results.
"""

import asyncio
import os
import sys
from typing import Any, Final

import msgspec

from node.home.home import Home
from node.reporting.knowledge import ImportanceDocument
from node.reporting.open_home import OpenHome
from node.store.experiment_filter import Filter
from node.web.reading import Library
from protocol.codecs import plain
from protocol.errors import ArnodeError

_COMMAND: Final = (sys.executable, "-m", "node", "log", "--importance", "--json")
_LIMIT_S: Final = 300.0


class StoredImportance:
    """A cache of the last computed importance."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._found: tuple[int, ImportanceDocument] | None = None
        self._computing = asyncio.Lock()

    async def document(self, library: Library) -> ImportanceDocument:
        """Return the importance for the present results. Raises ArnodeError."""
        count = await library.read(_experiments)
        async with self._computing:
            if self._found is None or self._found[0] != count:
                none: ImportanceDocument = {"hyperparameters": [], "explained": 0.0}
                self._found = count, (await self._computed() if count else none)
            return self._found[1]

    async def _computed(self) -> ImportanceDocument:
        process = await asyncio.create_subprocess_exec(
            *_COMMAND,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "ARNODE_HOME": str(self._home.root)},
        )
        try:
            async with asyncio.timeout(_LIMIT_S):
                output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            said = errors.decode(errors="replace").strip().splitlines()
            faults = [line for line in said if line.startswith("arnode: ")] or ["arnode: it failed"]
            why = plain(faults[-1].removeprefix("arnode: "))
            raise ArnodeError(
                f"cannot compute the importance: {why}", "see `arnode log --importance`"
            )
        found: dict[str, Any] = msgspec.json.decode(output)
        return {"hyperparameters": found["hyperparameters"], "explained": found["explained"]}


def _experiments(at: OpenHome) -> int:
    return sum(at.store.experiments.counts("decision", Filter()).values())
