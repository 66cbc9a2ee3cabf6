"""One block of a comparison of instructions: a session of `arnode start` in a new home.

It is a normal session, so that a proposer is measured together with everything else that a node
does. The home is new, so results of other blocks are unknown in it.
"""

import os
import shutil
import time
from asyncio import subprocess, wait_for
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from node.home.clock import clock_ms
from node.home.home import PRIVATE_FOLDER, Home
from node.home.setting import VARIABLES
from node.line.experiment import ExperimentStep
from node.on_demand.kept_lines import hexadecimal
from node.processes.lifeline import Lifeline
from node.proposing.budget import limit_reached, spent_today
from node.store.blobs import Blobs
from node.store.model_calls import LimitName, ModelCostLimits, costs_between
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.fields import Mapped, Natural
from protocol.source import Source
from protocol.units import NANO
from trainer.host.interpreter import program_command
from trainer.task_folder.task import Task

_LOOKED_S: Final = 1.0
_WORDS: Final = "arnode:"  # begins the line of text that reports an error


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A contender in a comparison: its proposers and their instructions.

    `agents` are entries of the setting `agent`. `texts` are the files of instructions in a home, by
    name. `spends` is True if a proposer may cost money, `visits` if a proposer is a coding agent.
    """

    name: str
    agents: tuple[str, ...]
    texts: tuple[tuple[str, bytes], ...] = ()
    spends: bool = False
    visits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockEnd(Mapped):
    """The result of a block: its final tree, its experiments, and the cost of models.

    `own` is the number of `experiments` that the contender's proposers suggested. The built-in
    search suggests the rest while a slow proposer is busy.
    """

    tree: Annotated[bytes, hexadecimal(32)]
    experiments: Natural
    own: Natural
    usd_nano: Natural


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonBlock:
    """A block: its contender, its task, its home and its length.

    `folder` is the task's name in commands. `limits` are the limits on the costs of models.
    """

    home: Home
    side: Contender
    task: Task
    folder: str
    seconds: float
    limits: ModelCostLimits

    async def play(self, owner: Home, *, on_look: Callable[[float], None]) -> None:
        """Run the block from its start; call `on_look` repeatedly with the elapsed seconds.

        The block gets the settings and data of the home `owner`. It ends together with this
        process. Raises ArnodeError if the node ends by itself.
        """
        self._prepare(owner)
        lifeline, process = Lifeline(), None
        try:
            with self._said.open("wb") as said:
                process = await lifeline.start(
                    self._command(), env=self._environment(), stdout=said, stderr=said
                )
            await _until_ended(process, on_look)
        finally:
            lifeline.cut()
            if process is not None:
                await process.wait()
        if process.returncode:
            said_lines = self._said.read_text(errors="replace").splitlines()
            faults = [line for line in said_lines if line.startswith(_WORDS)] or ["it was ended"]
            raise ArnodeError(
                f"{self.side.name} could not work: {faults[-1].removeprefix(_WORDS).strip()}",
                f"{self._said} has its output",
            )

    def end(self) -> BlockEnd:
        """Return the block's result."""
        with Store.open_read_only(self.home) as store:
            line = next((one for one in store.jobs.lines() if one.task == self.task.id), None)
            if line is None:
                raise ArnodeError(
                    f"a block of {self.side.name} ended before its first experiment",
                    "make blocks longer with --block",
                )
            steps = [job.step for job in store.jobs.closed_jobs(line.key, ExperimentStep)]
            return BlockEnd(
                tree=line.working,
                experiments=len(steps),
                own=sum(step.idea.arm in self.side.agents for step in steps),
                usd_nano=costs_between(store.database, 0, clock_ms()).usd_nano,
            )

    def met_limit(self) -> LimitName | None:
        """Return the daily limit that prevented calls of models, or None."""
        with Store.open_read_only(self.home) as store:
            return limit_reached(store, self.limits, clock_ms())

    def source(self, tree: bytes) -> Source:
        """Return the source with the given tree, from the block's home."""
        return Blobs(self.home.blobs).get_source(tree)

    def _prepare(self, owner: Home) -> None:
        shutil.rmtree(self.home.root, ignore_errors=True)  # left over from a kill
        self.home.root.mkdir(mode=PRIVATE_FOLDER, parents=True)
        self.home.data.symlink_to(owner.data)
        if owner.config.exists():
            shutil.copyfile(owner.config, self.home.config)
        self.home.programs.mkdir(mode=PRIVATE_FOLDER)
        for name, text in self.side.texts:
            (self.home.programs / name).write_bytes(text)

    @property
    def _said(self) -> Path:
        return self.home.root / "said"

    def _command(self) -> list[str]:
        command = program_command("node.commands.cli", flags=())
        command += ["start", "--task", self.folder]
        command += ["--for", f"{round(self.seconds)}s", "--network", "none", "--web", "none"]
        for entry in self.side.agents:
            command += ["--agent", entry]
        return command

    def _environment(self) -> dict[str, str]:
        limits = {
            "USD_PER_DAY": None if self.limits.usd_nano is None else self.limits.usd_nano / NANO,
            "TOKENS_PER_DAY": self.limits.tokens,
            "CALLS_PER_DAY": self.limits.calls,
            "VISITS_PER_DAY": self.limits.visits if self.side.visits else None,
        }
        own = {name: str(most) for name, most in limits.items() if most is not None}
        # Send no alert when a block ends. Nobody sees this home, so nobody could approve anything.
        own |= {"HOME": str(self.home.root), "NOTIFY": "", "APPROVE": "off"}
        return os.environ | {VARIABLES + name: value for name, value in own.items()}


def left_of(limits: ModelCostLimits, homes: Iterable[Home]) -> ModelCostLimits:
    """Return the rest of today's limits on model costs, which several homes share."""
    for home in homes:
        with Store.open_read_only(home) as store:
            limits = limits.after(spent_today(store, clock_ms()))
    return limits


async def _until_ended(process: subprocess.Process, on_look: Callable[[float], None]) -> None:
    began_s = time.monotonic()
    while process.returncode is None:
        on_look(time.monotonic() - began_s)
        try:
            await wait_for(process.wait(), _LOOKED_S)
        except TimeoutError:
            continue
