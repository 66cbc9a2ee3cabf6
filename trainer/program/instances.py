"""A run's instances, made by the task's judge and cached while the runs of a pair need them.

If a metric is relative to the baseline's cost, a nonce gives each run new instances. No process
whose cost counts may run after a candidate's process on the same instance, because the candidate
could leave answers in the kernel's state for the next process.
"""

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from protocol.manifest import TaskManifest
from protocol.runs import ON_SECRET
from trainer.program.judge import Judge
from trainer.program.manifest import BATCH, is_of_baseline, is_timed, spec_of
from trainer.program.seeds import PUBLIC, SECRET, WARM_UP, InstanceName, drawn, fixed
from trainer.task_folder.task import Task

NO_NONCE: Final = b""
_NONCE_BYTES: Final = 16
_KEPT: Final = 2  # sets of instances: those of this pair and of the previous one


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnInstance:
    """An instance of a run, by its name and its bytes."""

    name: InstanceName
    data: bytes
    run_seed: int

    @property
    def is_secret(self) -> bool:
        return self.name.split == SECRET

    @property
    def words(self) -> str:
        """The instance's name in messages, which hides even the number of a secret instance."""
        if self.is_secret:
            return ON_SECRET
        if self.name.split == PUBLIC:
            return f"instance {self.name.index + 1}"
        return "the warm-up" if self.name.split == WARM_UP else f"instance {self.name.split}"


class MadeInstances:
    """The instances of one task, made by one lane's judge."""

    def __init__(self, task: Task, judge: Judge) -> None:
        self._task = task.id
        self._is_of_baseline = is_of_baseline(task.manifest)
        self._spec = spec_of(task.manifest)
        self._judge = judge
        self._kept: OrderedDict[tuple[bytes, int, bytes], list[DrawnInstance]] = OrderedDict()
        self._warm_ups: tuple[bytes, ...] | None = None
        self._first: DrawnInstance | None = None

    def fresh_nonce(self) -> bytes:
        """Return a nonce that gives a run new instances; `NO_NONCE` if runs may share them."""
        return secrets.token_bytes(_NONCE_BYTES) if self._is_of_baseline else NO_NONCE

    async def of_run(self, seed: int, key: bytes, nonce: bytes = NO_NONCE) -> list[DrawnInstance]:
        """Return a run's instances. The secret ones depend on `key`."""
        at = (key, 0 if self._spec.instances.fixed else seed, nonce)
        if at not in self._kept:
            names = self.names(seed, key, nonce)
            both = zip(names, await self._made(names), strict=True)
            self._kept[at] = [
                DrawnInstance(name=name, data=data, run_seed=seed) for name, data in both
            ]
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(at)
        return [replace(one, run_seed=seed) for one in self._kept[at]]

    def names(self, seed: int, key: bytes, nonce: bytes = NO_NONCE) -> list[InstanceName]:
        """Return the names from which a run's instances are made."""
        counts, task = self._spec.instances, self._task
        if counts.fixed:
            return [fixed(task, name, index) for index, name in enumerate(counts.fixed)]
        return [
            drawn(task, seed, split=split, index=index, key=key, nonce=nonce)
            for split, count in ((PUBLIC, counts.public), (SECRET, counts.secret))
            for index in range(count)
        ]

    async def warm_ups(self) -> tuple[bytes, ...]:
        """Return the warm-up instances of a process, the same for every run."""
        if self._warm_ups is None:
            names = [self._warm_up(index) for index in range(self._spec.limits.warmup)]
            self._warm_ups = tuple(await self._made(names) if names else [])
        return self._warm_ups

    async def first(self) -> DrawnInstance:
        """Return the instance for a run's first processes, whose cost does not count."""
        if self._first is None:
            name = self._warm_up(self._spec.limits.warmup)
            (data,) = await self._made([name])
            self._first = DrawnInstance(name=name, data=data, run_seed=0)
        return self._first

    def _warm_up(self, index: int) -> InstanceName:
        return drawn(self._task, 0, split=WARM_UP, index=index, key=b"")

    async def _made(self, names: Sequence[InstanceName]) -> list[bytes]:
        most_bytes = self._spec.limits.instance_mb * 1_000_000
        return await self._judge.make(names, most_bytes=most_bytes)


def batches(manifest: TaskManifest, asked: Sequence[DrawnInstance]) -> list[list[DrawnInstance]]:
    """Group instances into batches, one for each process; no batch mixes the splits.

    If the metric is seconds, a split has two batches: the candidate runs first on one of them, the
    baseline on the other.
    """
    if spec_of(manifest).isolation != BATCH:
        return [[one] for one in asked]
    splits = [[one for one in asked if one.is_secret == is_secret] for is_secret in (False, True)]
    if is_timed(manifest):
        splits = [half for split in splits for half in (split[::2], split[1::2])]
    return [batch for batch in splits if batch]
