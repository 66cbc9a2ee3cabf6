"""A program as a kind of task: implements the interface of `trainer.measuring.kind`."""

from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Final

from protocol.errors import ArnodeError, ConfigurationError
from protocol.manifest import TaskManifest
from protocol.program import ProgramSpec
from protocol.regions import Region
from protocol.source import Source
from trainer.cards.cards import GraphicsCard
from trainer.host.device import Device
from trainer.measuring.checks import Remark
from trainer.measuring.kind import Measuring, Prepared, Progress, TaskWords
from trainer.measuring.models import KeptModels
from trainer.program.data import LIMIT_S, MEMORY_BYTES, JudgeResources
from trainer.program.environments import make_environment, packages_of_lock, require_packages
from trainer.program.harness import HARNESS
from trainer.program.harness.files import File
from trainer.program.manifest import (
    SCRIPT,
    ProgramRecipe,
    check,
    is_timed,
    spec_of,
)
from trainer.program.task_file import read_manifest
from trainer.sandbox.compiled import CompiledCode
from trainer.sandbox.packages import NO_PACKAGES, Packages
from trainer.task_folder.fields import Fields
from trainer.task_folder.folder import TaskFolder
from trainer.task_folder.task import NotPreparedError, Task

_ID_DIGITS: Final = 12
_MEASURED: Final = """\
- Your version runs in a sandbox, in a new process for each instance: no network, no files but its \
own, no other processes, nothing installed.
- Another program, in another sandbox, makes the instances and checks each answer. What yours \
prints or claims about itself is ignored. A wrong answer, a crash or too much time on one instance \
fails the whole run."""


_CALLED: Final = """\
- An evaluator imports your version and calls its functions with plain data. Your version runs in \
a sandbox: no network, no files but its own, nothing installed.
- The evaluator runs in another sandbox and sees what the functions return: numbers, texts, lists, \
dicts and numpy arrays. Any other object fails the run. What your version prints or claims about \
itself is ignored."""
_HELD_OUT: Final = """\
- A version that is kept is judged again, with other data in place of the visible files. You never \
see that data. A version that gains only on the visible data is discarded as overfit."""


def _kept_to(region: Region) -> str:
    start, end = region.markers
    return (
        f"- In {region.path} change only the text between the line with {start} and the line with "
        f"{end}. Any other change, also of these two lines, is refused before it runs."
    )


def _kept_from(spec: ProgramSpec) -> list[str]:
    words = ", ".join(f"`{word}`" for word in spec.forbid or ())
    return [f"- A version that contains one of these words is refused: {words}."] if words else []


class InstanceSupply:
    """The data of a program task: instances, which the judge makes for each run."""

    floor_nano: int | None = None
    pool_bytes: int | None = None
    is_pool_public = False
    scored_bytes: int | None = None
    training_size = 0
    is_complete = True

    def __init__(self, manifest: TaskManifest) -> None:
        self.size = f"{manifest.budget.amount} instances a run"

    def load_rest(self, progress: Progress) -> None:
        """Do nothing: all data is there already."""


class ProgramKind:
    """Builds a candidate, runs it on instances and has a judge check its answers."""

    harness: Final = HARNESS

    check = staticmethod(check)

    def read(
        self, fields: Fields, folder: TaskFolder, source: Source, *, title: str, data_dir: Path
    ) -> tuple[TaskManifest, ProgramRecipe]:
        """Return a task's manifest and recipe."""
        return read_manifest(fields, folder, source, title=title)

    def settle(
        self,
        unsettled: NotPreparedError,
        *,
        data_dir: Path,
        data_url: str | None,
        progress: Progress,
    ) -> None:
        """Create the package environments that a task lacks."""
        if not isinstance(unsettled.unknown, tuple):
            raise TypeError("a program task can lack only packages")
        for unmet in unsettled.unknown:
            make_environment(unmet, progress)

    def has_first(self, task: Task, *, data_dir: Path) -> bool:
        """Return True: there is nothing to fetch."""
        return True

    def prepare(
        self,
        task: Task,
        *,
        data_dir: Path,
        progress: Progress,
        data_url: str | None = None,
        visible: Sequence[Path] | None = None,
    ) -> Prepared:
        """Return the supply of instances. They are made for each run, so nothing is prepared."""
        return InstanceSupply(task.manifest)

    def card_fault(self, card: GraphicsCard) -> ArnodeError | None:
        """Return None: a program brings its own code for using a card."""
        return None

    def examined(
        self,
        task: Task,
        *,
        progress: Progress,
        device: Device,
        models: KeptModels | None = None,
    ) -> AsyncGenerator[Remark, None]:
        """Check instances, baseline and noise, and attack the judge."""
        from trainer.program.checking import examine

        return examine(task, progress=progress, device=device, models=models)

    def assembled(
        self, manifest: TaskManifest, source: Source, read: Callable[[bytes], bytes]
    ) -> Task:
        """Return a peer's task, rebuilt from its manifest.

        Its instructions, hyperparameters and moves are not available. Raises ConfigurationError if
        the task needs data that only its author has.
        """
        spec = spec_of(manifest)
        has_data = spec.public_data is not None or spec.holdout is not None
        if has_data or any(name != SCRIPT for name, _ in spec.judge_data):
            raise ConfigurationError(
                f"task {manifest.name}: only its author has its data",
                "name the folder with the data",
            )
        title = f"{manifest.name}, by its id"
        packages, judges = require_packages(
            *(
                NO_PACKAGES if lock is None else packages_of_lock(read(lock))
                for lock in (spec.packages, spec.judge_packages)
            ),
            task=manifest.id.hex()[:_ID_DIGITS],
            title=title,
        )
        script = dict(spec.judge_data).get(SCRIPT)
        fixed, judge_files = (
            tuple(File(path=path, data=read(blob)) for path, blob in files)
            for files in (spec.fixed_files, spec.judge_files or ())
        )
        better = "lower" if manifest.metric.direction == "min" else "higher"
        program = (
            f"Improve `{manifest.metric.name}` ({manifest.metric.unit}): {better} is better.\n"
        )
        return Task(
            manifest=manifest,
            source=source,
            title=title,
            program=program,
            program_path=None,
            hyperparameters=(),
            moves=(),
            catalogue=None,
            recipe=ProgramRecipe(
                judge=read(spec.judge),
                fixed=fixed,
                judge_files=judge_files,
                script=None if script is None else read(script),
                packages=packages,
                judge_means=_judge_means(spec, judges),
            ),
            is_private=False,
        )

    def words(self, manifest: TaskManifest) -> TaskWords:
        """Describe how a program is run and judged."""
        spec, limits = spec_of(manifest), manifest.limits
        whats = "fixed instances" if spec.instances.fixed else "instances, new in each run"
        if spec.has_public_instances:
            whats = "evaluations, with new seeds in each run"
        return TaskWords(
            budget=f"{manifest.budget.amount} {whats}",
            limits=f"{limits.limit_s} s an instance, {limits.memory_mb / 1000:g} GB of memory.",
            measured="\n".join(
                [
                    _MEASURED if spec.module is None else _CALLED,
                    *([_HELD_OUT] if spec.holdout else []),
                    *map(_kept_to, spec.regions or ()),
                    *_kept_from(spec),
                ]
            ),
        )

    def may_run_alongside(self, manifest: TaskManifest) -> bool:
        """Return True if the metric is not seconds, so that other work may run meanwhile."""
        return not is_timed(manifest)

    def measuring(
        self,
        task: Task,
        data: Prepared,
        *,
        device: Device,
        compiled: CompiledCode | None,
        audit_key: bytes,
        models: KeptModels | None = None,
    ) -> Measuring:
        """Return the object that runs and judges sources of a task."""
        from trainer.program.stages import ProgramStages

        return ProgramStages(task, task_key=audit_key, device=device, models=models)


def _judge_means(spec: ProgramSpec, packages: Packages) -> JudgeResources:
    """Return the resources of the judge of a peer's task."""
    limits = spec.limits
    memory_mb = limits.judge_memory_mb
    return JudgeResources(
        packages=packages,
        scratch_bytes=(limits.scratch_mb or 0) * 1_000_000,
        limit_s=limits.judge_limit_s or LIMIT_S,
        memory_bytes=MEMORY_BYTES if memory_mb is None else memory_mb * 1_000_000,
    )
