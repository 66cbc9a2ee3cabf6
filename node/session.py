"""A task opened on this machine: its data, this node's secret split, and the runner.

Opening is the slow part of every command that measures something, so it reports its progress.
What the baseline tree costs here is measured anew in every session.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from node.home import Home
from node.keyfile import load_secret
from protocol.kinds import Env
from protocol.manifest import TaskManifest
from protocol.source import Source
from trainer.data import TaskData, prepare
from trainer.device import probe_class, probe_environment
from trainer.runner import Runner
from trainer.task import OWN_TASKS, Task, load_task
from trainer.text_task import refuse_visible_text, text_task
from trainer.visible import visible_tree

Progress = Callable[[str, float], None]

CONFIRMATIONS_PER_SECRET_SPLIT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What records are about: a task on this machine's hardware class, in this environment.

    `source` is the task's baseline. Its folder and data are not needed to write records.
    """

    manifest: TaskManifest
    source: Source
    hardware_class: str
    env: Env

    @classmethod
    def here(cls, manifest: TaskManifest, source: Source) -> "Subject":
        """A task on this machine."""
        return cls(
            manifest=manifest,
            source=source,
            hardware_class=probe_class().slug,
            env=Env.of(probe_environment()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Everything that stays the same while a node works on one task on one device."""

    task: Task
    subject: Subject
    data: TaskData
    runner: Runner
    rotation: int

    async def close(self) -> None:
        """End the sandboxes that wait."""
        await self.runner.close()


def find_task(home: Home, *, name: str, text: Path | None, progress: Progress) -> Task:
    """Return the task of that name or folder, or the own-text task of a path.

    Raises SafetyError for text that every sandbox could read: its secret split would be none.
    """
    if text is None:
        return load_task(name, data_dir=home.data)
    progress("reading the text", 0.0)
    task = text_task(text, data_dir=home.data)
    _refuse_visible(home, task, text, progress)
    return task


def _refuse_visible(home: Home, task: Task, text: Path, progress: Progress) -> None:
    """Look for the text in what sandboxes show, once for each text and installation."""
    installed = hashlib.sha256(repr(visible_tree()).encode() + version("torch").encode())
    mark = home.data / OWN_TASKS / task.name / f"unseen-{installed.hexdigest()[:12]}"
    if mark.exists():
        return
    progress("looking for the text in what sandboxes can read", 0.1)
    refuse_visible_text(text, visible_tree().host_files(), progress=progress)
    mark.touch()


def open_session(home: Home, task: Task, *, rotation: int, progress: Progress) -> Session:
    """Prepare a task's data and a runner for it.

    `rotation` numbers the secret split: it changes every `CONFIRMATIONS_PER_SECRET_SPLIT`.
    """
    data = prepare(task, data_dir=home.data, progress=progress)
    progress("drawing this node's secret split", 0.9)
    runner = Runner(
        task,
        data,
        secret_rows=data.secret_rows(load_secret(home), rotation),
        random_seed=lambda: secrets.randbits(64),
    )
    progress("ready", 1.0)
    return Session(
        task=task,
        subject=Subject.here(task.manifest, task.source),
        data=data,
        runner=runner,
        rotation=rotation,
    )
