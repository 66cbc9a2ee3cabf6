"""Lanes whose programs run on this machine, each in a home of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from node.home.home import Home
from node.remote.command_link import CommandLink
from node.remote.contract import LaneOpening
from node.remote.lanes import RemoteLanes, opened_lanes
from node.store.jobs import PlannedRun
from node.store.store import Store
from trainer.host.interpreter import program_command
from trainer.host.processes import family_of
from trainer.task_folder.task import Task

AUDIT_KEY = b"audit-key-" + bytes(22)


def opening_of(task: Task, named: str) -> LaneOpening:
    return LaneOpening(
        task=named,
        id=task.id,
        audit_key=AUDIT_KEY,
        data_url=None,
        patience_ms=60_000,
        runs_untrusted=False,
        allow_partial_sandbox=True,
        peers_in_container=True,
    )


@dataclass(kw_only=True)
class LaneHome:
    """A home in which lanes find a task prepared."""

    root: Path
    task: Task
    folder: Path
    said: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, root: Path, task: Task, folder: Path) -> "LaneHome":
        root.mkdir(mode=0o700)
        return cls(root=root, task=task, folder=folder)

    def command(self) -> list[str]:
        program = program_command("node.remote.lane", flags=())
        return ["env", f"ARNODE_HOME={self.root}", *program]

    @asynccontextmanager
    async def lanes(self, count: int = 1, **other: object) -> AsyncIterator[RemoteLanes]:
        """So many lanes, open; `other` is what their opening has otherwise."""
        opening = replace(opening_of(self.task, str(self.folder)), **other)  # type: ignore[arg-type]
        link = CommandLink([self.command()] * count)
        lanes = RemoteLanes(self.task, opening, link, count=count, say=self.said.append)
        async with asyncio.timeout(120), opened_lanes(lanes, link, lambda _what, _share: None):
            yield lanes

    def programs(self, word: str = "node.remote.lane") -> Iterator[int]:
        """The processes in this home whose command has a word, of lanes' programs alone."""
        return programs_in(self.root, word)


def programs_in(home: Path, word: str = "node.remote.lane") -> Iterator[int]:
    """The processes that were started in a home and whose command has a word."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = (place / "cmdline").read_bytes()
            environment = (place / "environ").read_bytes()
        except OSError:  # it has ended
            continue
        is_one = word.encode() in command and b"ARNODE_HOME=" not in command
        if is_one and f"ARNODE_HOME={home}".encode() in environment:
            yield int(place.name)


def ended_runs(home: Home) -> list[PlannedRun]:
    """The runs of a home that have ended, of all its jobs."""
    if not home.store.exists():
        return []
    with Store.open_read_only(home) as store:
        jobs = range(1, store.jobs.last_job() + 1)
        return [run for job in jobs for run in store.jobs.runs_of(job) if run.outcome]


def below(pid: int, word: bytes) -> list[int]:
    """A process and those that it started, over others or not, whose command has a word."""
    found = []
    for member in family_of(pid):
        with contextlib.suppress(OSError):  # it has ended
            if word in Path(f"/proc/{member}/cmdline").read_bytes():
                found.append(member)
    return found
