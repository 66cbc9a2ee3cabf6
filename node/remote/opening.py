"""Opening of the remote lanes in the settings on this node's task, through Ray or ssh."""

import shlex
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from node.home.config import Config
from node.home.fleet import HERE, LaneMachine, lane_host
from node.home.home import Home
from node.home.keyfile import load_secret
from node.line.open_task import audit_key_of
from node.remote.command_link import CommandLink
from node.remote.contract import PROGRAM, LaneOpening
from node.remote.lanes import LaneLink, RemoteLanes, opened_lanes
from node.remote.ray_link import RayLink
from node.remote.ray_setup import cluster_of
from node.terminal.progress import Progress
from protocol.errors import ConfigurationError
from trainer.cards.cards import is_for_cards
from trainer.host.interpreter import program_command
from trainer.task_folder.task import Task

# ssh must never prompt; a machine that hangs is detected within 15 s.
_SSH: Final = (
    "ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10",
    "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3",
)  # fmt: skip


@asynccontextmanager
async def remote_lanes(
    home: Home,
    config: Config,
    task: Task,
    *,
    runs_untrusted: bool,
    progress: Progress,
    say: Callable[[str], None],
) -> AsyncIterator[RemoteLanes]:
    """Open the lanes in the settings on a task, and close them after the block.

    `runs_untrusted`: True if the lanes also run untrusted code; `say` shows users a message. Raises
    ArnodeError if no lane is available.
    """
    opening = LaneOpening(
        task=_named_anywhere(config.task),
        id=task.id,
        audit_key=audit_key_of(load_secret(home)),
        data_url=config.data_url,
        patience_ms=round(60_000 * config.quiet_minutes),
        runs_untrusted=runs_untrusted,
        allow_partial_sandbox=config.allow_partial_sandbox,
        peers_in_container=config.peers_in_container,
    )
    async with _linked(home, config, task, progress) as (link, count):
        lanes = RemoteLanes(task, opening, link, count=count, say=say)
        async with opened_lanes(lanes, link, progress):
            yield lanes


def _named_anywhere(task: str) -> str:
    """Return the task's name, or its absolute folder, which must be the same on all machines."""
    folder = Path(task)
    return str(folder.absolute()) if folder.is_dir() else task


@asynccontextmanager
async def _linked(
    home: Home, config: Config, task: Task, progress: Progress
) -> AsyncIterator[tuple[LaneLink, int]]:
    """Yield the link to the lanes, and the number of lanes."""
    if config.ray is None:
        commands = list(_commands(config, task))
        yield CommandLink(commands), len(commands)
        return
    progress("connecting to Ray", 0.0)
    wanted = None if config.lanes == "auto" else config.lanes
    async with RayLink(cluster_of(home, config, config.ray), lanes=wanted) as link:
        on_cards = is_for_cards(task.manifest) and link.gpus > 0
        link.gpus_each = int(on_cards)
        count = wanted or (link.gpus if on_cards else link.cpus)
        if not count:
            raise ConfigurationError(
                "the Ray cluster has no CPU core", "add a machine: `arnode worker ray-join ADDRESS`"
            )
        yield link, count


def _commands(config: Config, task: Task) -> Iterator[list[str]]:
    """Yield the command of each lane. Each lane has its own card if the task needs cards."""
    for text in config.lane_hosts:
        named = lane_host(text)
        assert isinstance(named, LaneMachine)  # noqa: S101 -- the settings were validated by it
        for number in range(named.lanes):
            cards = [str(number)] if is_for_cards(task.manifest) else []
            if named.host == HERE:
                yield [*program_command(PROGRAM, flags=()), *cards]
                continue
            there = [*config.lane_command, *(["--gpus", *cards] if cards else [])]
            yield [*_SSH, named.host, "--", shlex.join(there)]  # a shell parses it there
