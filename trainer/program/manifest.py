"""A program task's recipe, and checks and properties of its manifest.

The manifest is public. It contains everything that a score depends on: limits, and hashes of the
judge and of fixed files. The first word of a command decides its toolchain. `toolchains` names
those that the task's scripts call.
"""

from dataclasses import dataclass, field
from typing import Final

from protocol.errors import ConfigurationError
from protocol.manifest import TaskManifest
from protocol.program import Instances, ProgramSpec
from trainer.program.data import DataFolder, JudgeResources
from trainer.program.harness.files import File
from trainer.program.harness.handing import FOLDERS, IN, OUT, is_asked
from trainer.program.holdout import Holdout
from trainer.program.metric import (
    AGGREGATES,
    INSTRUCTIONS,
    MEASURED,
    OF_BASELINE,
    SCALE,
    TIMED,
)
from trainer.sandbox.packages import NO_PACKAGES, Packages
from trainer.sandbox.toolchains import TOOLCHAINS, toolchain_of
from trainer.task_folder.task import Download, Task

KIND: Final = "program"
# 2: if costs are compared with the baseline's, each run has its own instances.
EVALUATOR: Final = "program/2"
JUDGE: Final = "judge.py"  # the file name in the sandbox
SCRIPT: Final = "scripted.py"  # likewise
SCRIPTED: Final = "scripted"  # the name of the model that it replaces
ENCODINGS: Final = ("bytes", "json", "arrays", FOLDERS)
FRESH: Final = "fresh"  # one process per instance
BATCH: Final = "batch"  # one process for all instances of a split, in sequence
ISOLATIONS: Final = (FRESH, BATCH)
DEVICES: Final = ("cpu", "any", "cuda")
SCORINGS: Final = ("judged", "self", "model")
FOLDERS_HINT: Final = f"name both in the command, as in `run = ['./work', '{IN}', '{OUT}']`"
VARIED: Final = ("argument", "variable", "folder")  # the parts of an evaluator that a seed may set
MODULE_HINT: Final = (
    "module is an editable .py file; [judge] vary is like 'argument seed', 'variable SEED' or"
    " 'folder cases'"
)
BATCH_HINT: Final = f'only functions (`entry`) can use a batch: omit isolation, or use "{FRESH}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRecipe:
    """The files of a task that no candidate may edit: its judge and the fixed files.

    `fixed` files are next to the sources. `judge_files` are next to the judge only, such as those
    of an imported evaluator. `script` replaces a language model; like the judge, it is hidden from
    candidates. `holdout` has files that replace fixed ones on secret instances. `packages` are
    those that candidates may import in addition to the standard ones. `data` is the folder that
    candidates may read. `judge_means` are the judge's packages, data (that folder included) and
    limits.
    """

    judge: bytes
    fixed: tuple[File, ...]
    judge_files: tuple[File, ...] = ()
    script: bytes | None = None
    holdout: Holdout | None = None
    packages: Packages = NO_PACKAGES
    data: DataFolder | None = None
    judge_means: JudgeResources = field(default_factory=JudgeResources)
    name: str = KIND
    download: Download | None = None

    @property
    def named_blobs(self) -> tuple[bytes, ...]:
        """The contents that peers fetch, in addition to the baseline, to run the task."""
        scripts = () if self.script is None else (self.script,)
        listings = (folder.listing for folder in self.judge_means.data)
        locks = (one.lock for one in (self.packages, self.judge_means.packages) if one.lock)
        files = (one.data for one in (*self.fixed, *self.judge_files))
        return (self.judge, *scripts, *files, *listings, *locks)


def recipe_of(task: Task) -> ProgramRecipe:
    """Return a program's recipe. Raises TypeError for a task of another kind."""
    if not isinstance(task.recipe, ProgramRecipe):
        raise TypeError(f"task {task.name} is not a program task")
    return task.recipe


def spec_of(manifest: TaskManifest) -> ProgramSpec:
    """Return a manifest's program section. Raises TypeError for another kind of task."""
    if manifest.program is None:
        raise TypeError(f"task {manifest.name} is not a program task")
    return manifest.program


def tools_of(command: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the toolchains that a command needs, by its first word."""
    found = toolchain_of(command[0]) if command else None
    return (found,) if found else ()


def is_timed(manifest: TaskManifest) -> bool:
    """Return True if a task's metric is seconds, so that nothing else may run meanwhile."""
    return manifest.metric.name in TIMED


def is_of_baseline(manifest: TaskManifest) -> bool:
    """Return True if a task's metric is divided by the baseline's cost in the same run."""
    return manifest.metric.name in OF_BASELINE


def counts_instructions(manifest: TaskManifest) -> bool:
    """Return True if a task counts instructions, in its metric or in a guard."""
    guards = spec_of(manifest).guards
    return INSTRUCTIONS in {manifest.metric.name, *(guard.name for guard in guards)}


def is_exact(manifest: TaskManifest) -> bool:
    """Return True if instances are fixed, no model is asked, and the metric is a judge's figure."""
    spec = spec_of(manifest)
    is_measured = manifest.metric.name in MEASURED or bool(spec.model_budgets)
    return bool(spec.instances.fixed) and not is_measured


def most_of_a_split(instances: Instances) -> int:
    """Return the number of instances in the larger split of a run."""
    return max(instances.public, instances.secret, len(instances.fixed))


def batch_fault(spec: ProgramSpec) -> str | None:
    """Return why a task's instances cannot run in a batch; None if they can, or use no batch."""
    if spec.isolation != BATCH:
        return None
    if spec.entry is None:
        return "a command ends after one instance"
    if spec.interactive:
        return "each interactive instance is a separate conversation"
    if spec.llm is not None:
        return "questions to models are counted for each instance"
    return None


def module_fault(manifest: TaskManifest) -> str | None:
    """Return why a task's evaluator cannot call its module; None if it can, or there is none."""
    spec = spec_of(manifest)
    if spec.module is None:
        return None
    if spec.module not in dict(manifest.files):
        return f"{spec.module!r} is not among the editable files"
    if not spec.module.endswith(".py"):
        return f"{spec.module!r} is not a Python module"
    if manifest.metric.name in MEASURED:
        return f"the evaluator does not compute {manifest.metric.name}"
    if spec.vary is not None and spec.vary.partition(" ")[0] not in VARIED:
        return f"vary is {spec.vary!r}, not one of {', '.join(VARIED)}"
    return None


def folders_fault(spec: ProgramSpec) -> str | None:
    """Return why a task cannot use the encoding `files`; None if it can or does not."""
    if spec.encoding != FOLDERS or spec.run is None:
        return None
    lacking = [what for what in (IN, OUT) if not is_asked(spec.run, what)]
    return f"run does not contain {lacking[0]}" if lacking else None


def check(manifest: TaskManifest) -> None:
    """Raise ConfigurationError for a task that uses a value unknown to this version."""
    spec = spec_of(manifest)
    for name, word, known in (
        ("evaluator", manifest.evaluator, (EVALUATOR,)),
        ("encoding", spec.encoding, ENCODINGS),
        ("isolation", spec.isolation, ISOLATIONS),
        ("device", spec.device, DEVICES),
        ("scoring", spec.scoring, SCORINGS),
        ("aggregate", spec.aggregate, AGGREGATES),
        *(("toolchain", name, TOOLCHAINS) for name in spec.toolchains or ()),
        ("budget", manifest.budget.unit, ("instances",)),
        ("scale", str(manifest.metric.scale), (str(SCALE),)),
    ):
        if word not in known:
            raise ConfigurationError(
                f"task {manifest.name}: its {name} is {word!r}, which is not known here",
                f"possible: {', '.join(known)}; or install the arnode version that made the task",
            )
    if (problem := batch_fault(spec)) is not None:
        raise ConfigurationError(
            f"task {manifest.name}: its isolation is {BATCH!r}, but {problem}", BATCH_HINT
        )
    if (problem := folders_fault(spec)) is not None:
        raise ConfigurationError(
            f"task {manifest.name}: its encoding is {FOLDERS!r}, but {problem}", FOLDERS_HINT
        )
    asked = {model for one in spec.model_budgets for model in one.models}
    if SCRIPTED in asked and SCRIPT not in dict(spec.judge_data):
        raise ConfigurationError(
            f"task {manifest.name}: it asks the model {SCRIPTED!r}, but has no script",
            f"add {SCRIPT} to its judge's data",
        )
    if (problem := module_fault(manifest)) is not None:
        raise ConfigurationError(f"task {manifest.name}: its module: {problem}", MODULE_HINT)
