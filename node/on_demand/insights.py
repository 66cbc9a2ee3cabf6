"""Lessons from this home's runs: important hyperparameters, and the kinds of patch that worked.

If a node runs, it returns the hyperparameters of its current line. Otherwise this process opens the
store itself. Nothing is run or recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from agent.proposal import NullProposer
from node.home.control_socket import Message, call, document, is_running
from node.home.home import Home
from node.ladder.kinds import KindOnTask, kinds_tried, rungs_here
from node.line.noise import RunNoise
from node.on_demand.session import find_command_session
from node.reporting.knowledge import importance_document
from node.running.line_resources import open_line
from node.running.loop_assembly import LoopAssembly
from node.store.jobs import LineKey
from node.store.named_tasks import labels, line_of_session
from node.store.store import Store
from node.terminal.progress import reporting
from protocol.errors import UsageError

PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """Lessons from earlier runs: main effects of hyperparameters, and kinds of patch by line.

    `importance` is the JSON document for scripts. `names` are the names of tasks, by id.
    """

    line: LineKey
    importance: Mapping[str, Message]
    kinds: tuple[KindOnTask, ...]
    names: Mapping[bytes, str]


def ask_for_insights(task: str | None) -> Learnt:
    """Return the lessons on the requested line. Raises ArnodeError."""
    home = Home.here()
    if is_running(home.socket) and not task:
        importance: Mapping[str, Message] = document(
            call(home.socket, "importance", timeout_s=PATIENCE_S)
        )
        with Store.open_read_only(home) as store:
            line = line_of_session(store)
    else:
        line, importance = _alone(task)
    with Store.open_read_only(home) as store:
        manifest = store.records.manifest(line.task) if line else None
        if line is None or manifest is None:
            raise UsageError("nothing has been tried here yet", "start the node: `arnode start`")
        lines = rungs_here(store, manifest)
        kinds = tuple(one for rung in lines for one in kinds_tried(store, rung))
        names = labels(store, {line.task, *(one.task for one in lines)})
    return Learnt(line=line, importance=importance, kinds=kinds, names=names)


def _alone(task: str | None) -> tuple[LineKey, Mapping[str, Message]]:
    """Open the store for a task and compute the main effects."""
    from agent.hyperparameters.importance import importance_of  # imports numpy

    command = find_command_session(task, None)
    home, config = command.home, command.config
    with open_line(home, config, command.task.manifest, command.task.source) as line_resources:
        line_writer = line_resources.line_writer
        loop_assembly = LoopAssembly.of(
            home,
            config,
            line_writer,
            command.task,
            noise=RunNoise(line_writer),
            peers=None,
            proposer=NullProposer(),
            say=lambda _: None,
        )
        with reporting() as progress:
            progress("computing main effects from earlier runs", 0.0)
            found = importance_document(importance_of(loop_assembly.ideas.context()))
            return line_writer.key, cast("Mapping[str, Message]", found)
