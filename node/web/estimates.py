"""Estimates of the importance of hyperparameters for the page, each made in a child process.

An estimate takes seconds of one core: too much for this process, whose event loop it would delay.
Next to a running node it takes about a minute, since its process may use little of a core
(`estimating`). Meanwhile the page shows the last estimate. Each experiment changes the estimate
little, so it is renewed only after several.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias, TypedDict

import msgspec

from node.home.control_socket import is_running
from node.home.home import Home
from node.reporting.importance import ImportanceDocument
from node.reporting.open_home import OpenHome
from node.reporting.queries import OfLine
from node.store.jobs import LineKey
from node.web.problems import HttpFault
from node.web.reading import Library
from node.web.route import ApiRequest
from protocol.errors import ArnodeError, UsageError
from trainer.host.interpreter import program_command

_EXPERIMENTS: Final = 10  # between two estimates
_SHARE_NEXT_TO_A_NODE: Final = 0.04  # of one core
_WAITED_S: Final = 2.0  # by a request, for a line's first estimate
_PATIENCE_S: Final = 1_800.0
_MOST_LINES: Final = 16  # cached
_MOST_BYTES: Final = 1 << 24  # of a document
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

OnProgress: TypeAlias = Callable[[float], None]
Estimate: TypeAlias = Callable[[OnProgress], Coroutine[Any, Any, ImportanceDocument]]


class EstimateDocument(TypedDict):
    """A line's last estimate of importance, null before the first.

    `newer` is the number of experiments since then. `progress` is the finished share of the next
    estimate, null if none is being made.
    """

    estimate: ImportanceDocument | None
    newer: int
    progress: float | None


class Report(msgspec.Struct, frozen=True):
    """A line of the child process: the finished share, and at the end the result."""

    share: float
    document: ImportanceDocument | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    document: ImportanceDocument
    experiments: int

    def is_outdated(self, experiments: int) -> bool:
        """Return True if so many experiments are worth another estimate."""
        wanted = _EXPERIMENTS if self.document["hyperparameters"] else 1
        return experiments >= self.experiments + wanted


class _Work:
    """An estimate in progress, of a line that had so many experiments at its start."""

    def __init__(self, experiments: int, estimate: Estimate) -> None:
        self.experiments = experiments
        self.progress = 0.0
        self.task = asyncio.create_task(estimate(self._on_progress))

    def _on_progress(self, share: float) -> None:
        self.progress = share


@dataclass(slots=True)
class Estimates:
    """Makes and keeps estimates of importance for a home's lines, one at a time."""

    home: Home
    library: Library
    _known: dict[LineKey, _Known] = field(default_factory=dict)
    _working: dict[LineKey, _Work] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def importance(self, request: ApiRequest) -> EstimateDocument:
        """Return a line's last estimate, and start the next one if it is due.

        Raises HttpFault if there is no such line, or the estimate failed.
        """
        try:
            line, experiments = await self.library.read(lambda at: _counted(at, request.asked))
        except UsageError as fault:
            raise HttpFault(404, fault.message, fault.hint) from fault
        self._begin(line, experiments)
        if work := self._working.get(line):
            if line not in self._known:
                await asyncio.wait([work.task], timeout=_WAITED_S)
            if work.task.done():
                self._keep(line, work)
        known, work = self._known.get(line), self._working.get(line)
        return {
            "estimate": known.document if known else None,
            "newer": max(0, experiments - known.experiments) if known else 0,
            "progress": work.progress if work else None,
        }

    async def close(self) -> None:
        """End the estimates in progress."""
        tasks = [work.task for work in self._working.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, line: LineKey, experiments: int) -> None:
        """Start an estimate, unless one is in progress or the last one is recent enough."""
        known = self._known.get(line)
        if line in self._working or (known and not known.is_outdated(experiments)):
            return
        self._working[line] = _Work(experiments, partial(self._estimate, line))

    async def _estimate(self, line: LineKey, on_progress: OnProgress) -> ImportanceDocument:
        async with self._turn:
            is_next_to_a_node = await asyncio.to_thread(is_running, self.home.socket)
            share = _SHARE_NEXT_TO_A_NODE if is_next_to_a_node else 1.0
            return await _estimated(self.home, line, share, on_progress)

    def _keep(self, line: LineKey, work: _Work) -> None:
        """Keep the result of a finished estimate. Raises HttpFault if it failed."""
        if self._working.get(line) is work:
            del self._working[line]
        try:
            document = work.task.result()
        except ArnodeError as fault:
            raise HttpFault(500, fault.message, fault.hint) from fault
        self._known.pop(line, None)
        while len(self._known) >= _MOST_LINES:
            del self._known[next(iter(self._known))]
        self._known[line] = _Known(document=document, experiments=work.experiments)


def _counted(at: OpenHome, query: OfLine) -> tuple[LineKey, int]:
    """Return the line that a query names, and its number of experiments."""
    line, _ = at.line(query)
    return line, sum(at.store.experiments.tried(line).values())


async def _estimated(
    home: Home, line: LineKey, share: float, on_progress: OnProgress
) -> ImportanceDocument:
    """Make an estimate in a child process that uses this share of a core. Raises ArnodeError."""
    process = await asyncio.create_subprocess_exec(
        *program_command("node.web.estimating"),
        *(str(home.root), line.task.hex(), line.hardware_class, str(share)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=_MOST_BYTES,
        env={**os.environ, **_ONE_THREAD},
        start_new_session=True,  # Ctrl-C at the terminal must reach only the server
    )
    assert process.stdout is not None  # noqa: S101 (a pipe)
    document = None
    try:
        async with asyncio.timeout(_PATIENCE_S):
            async for line_of_json in process.stdout:
                report = msgspec.json.decode(line_of_json, type=Report)
                on_progress(report.share)
                document = report.document
            await process.wait()
    except TimeoutError as fault:
        raise ArnodeError(
            f"the importance was not estimated within {_PATIENCE_S / 60:g} min",
            "try `arnode log --importance`",
        ) from fault
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if document is None:
        raise ArnodeError(
            "the importance could not be estimated", "`arnode log --importance` shows the reason"
        )
    return document
