"""A run's instances, as the task's judge makes them: kept while the runs of a pair meet them."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from protocol.program import ProgramSpec
from protocol.runs import ON_SECRET
from trainer.program.judge import Judge
from trainer.program.manifest import BATCH, spec_of
from trainer.program.seeds import PUBLIC, SECRET, WARM_UP, InstanceName, drawn, fixed
from trainer.task_folder.task import Task

_KEPT: Final = 2  # runs': a pair's, and those of the one before


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInstance:
    """An instance of a run, by its name and its bytes."""

    name: InstanceName
    data: bytes
    run_seed: int

    @property
    def is_secret(self) -> bool:
        return self.name.split == SECRET

    @property
    def words(self) -> str:
        """What it is called to people; of a secret one not even its number."""
        if self.is_secret:
            return ON_SECRET
        if self.name.split == PUBLIC:
            return f"instance {self.name.index + 1}"
        return f"instance {self.name.split}"


class MadeInstances:
    """Those of one task, made by one lane's judge."""

    def __init__(self, task: Task, judge: Judge) -> None:
        self._task = task.id
        self._spec = spec_of(task.manifest)
        self._judge = judge
        self._kept: OrderedDict[tuple[bytes, int], list[RunInstance]] = OrderedDict()
        self._warm_ups: tuple[bytes, ...] | None = None

    async def of_run(self, seed: int, key: bytes) -> list[RunInstance]:
        """Return a run's instances; those of its secret split hang on `key`."""
        at = (key, 0 if self._spec.instances.fixed else seed)
        if at not in self._kept:
            names = self.names(seed, key)
            both = zip(names, await self._made(names), strict=True)
            self._kept[at] = [
                RunInstance(name=name, data=data, run_seed=seed) for name, data in both
            ]
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(at)
        return [replace(one, run_seed=seed) for one in self._kept[at]]

    def names(self, seed: int, key: bytes) -> list[InstanceName]:
        """Return what a run's instances are made from."""
        counts, task = self._spec.instances, self._task
        if counts.fixed:
            return [fixed(task, name, index) for index, name in enumerate(counts.fixed)]
        return [
            drawn(task, seed, split=split, index=index, key=key)
            for split, count in ((PUBLIC, counts.public), (SECRET, counts.secret))
            for index in range(count)
        ]

    async def warm_ups(self) -> tuple[bytes, ...]:
        """Return what every candidate is warmed up with, the same for every run."""
        if self._warm_ups is None:
            task, count = self._task, self._spec.limits.warmup
            names = [drawn(task, 0, split=WARM_UP, index=index, key=b"") for index in range(count)]
            self._warm_ups = tuple(await self._made(names) if names else [])
        return self._warm_ups

    async def _made(self, names: Sequence[InstanceName]) -> list[bytes]:
        most_bytes = self._spec.limits.instance_mb * 1_000_000
        return await self._judge.make(names, most_bytes=most_bytes)


def batches(spec: ProgramSpec, asked: Sequence[RunInstance]) -> list[list[RunInstance]]:
    """Return the instances by the process that meets them; a secret one is never with a public."""
    if spec.isolation != BATCH:
        return [[one] for one in asked]
    splits = ([one for one in asked if one.is_secret == is_secret] for is_secret in (False, True))
    return [batch for batch in splits if batch]
