"""The importance of hyperparameters for the page, computed in a process of its own.

It takes seconds of one core. In this process it would delay the node's event loop, so a child
process with the lowest priority computes it, one at a time. The answer is kept until the line's
results change.
"""

import asyncio
import os
from dataclasses import dataclass, field
from typing import Final

import msgspec

from node.home.home import Home
from node.reporting.importance import Answered, ImportanceDocument
from node.reporting.open_home import OpenHome
from node.reporting.queries import OfLine
from node.store.jobs import LineKey
from node.web.problems import HttpFault
from node.web.reading import Library
from node.web.route import ApiRequest
from protocol.errors import ArnodeError, UsageError
from trainer.host.interpreter import program_command

_PATIENCE_S: Final = 300.0
_MOST_LINES: Final = 16  # cached
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsVersion:
    """A line's results: its working line, and the number of the home's latest experiment."""

    working: bytes
    latest: int


@dataclass(slots=True)
class Estimates:
    """Computes and keeps the importance of the hyperparameters of a home's lines."""

    home: Home
    library: Library
    _known: dict[LineKey, tuple[ResultsVersion, ImportanceDocument]] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def importance(self, request: ApiRequest) -> ImportanceDocument:
        """Return the importance for a line. Raises HttpFault if there is no such line."""
        async with self._turn:
            try:
                line, version = await self.library.read(lambda at: _version(at, request.asked))
                known = self._known.get(line)
                if known is not None and known[0] == version:
                    return known[1]
                document = await _computed(self.home, line)
            except UsageError as fault:
                raise HttpFault(404, fault.message, fault.hint) from fault
            self._known.pop(line, None)
            while len(self._known) >= _MOST_LINES:
                del self._known[next(iter(self._known))]
            self._known[line] = version, document
            return document


def _version(at: OpenHome, query: OfLine) -> tuple[LineKey, ResultsVersion]:
    line, _ = at.line(query)
    known = at.store.jobs.line(line)
    newest = at.store.experiments.listed(newest_first=True, limit=1)
    version = ResultsVersion(
        working=known.working if known else b"", latest=newest[0].n if newest else 0
    )
    return line, version


async def _computed(home: Home, line: LineKey) -> ImportanceDocument:
    """Compute the importance in a child process. Raises ArnodeError."""
    process = await asyncio.create_subprocess_exec(
        *program_command("node.reporting.importance"),
        *(str(home.root), line.task.hex(), line.hardware_class),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **_ONE_THREAD},
        start_new_session=True,  # Ctrl-C at the terminal must reach only the server
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            data, _ = await process.communicate()
    except TimeoutError as fault:
        raise ArnodeError(
            f"the importance was not computed within {_PATIENCE_S:g} s",
            "try `arnode log --importance`",
        ) from fault
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise ArnodeError(
            "the importance could not be computed", "`arnode log --importance` shows the reason"
        )
    answer = msgspec.json.decode(data, type=Answered)
    if answer.document is None:
        raise UsageError(answer.message, answer.hint)
    return answer.document
