"""What a program task is made of: its manifest, which others know, and the files behind it.

Everything that a number depends on is in the manifest, by hash: the judge, fixed files, limits.
Which toolchain a command needs follows from its first word; what a script calls, `toolchains` name.
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
# 2: where costs are compared with the baseline's, each run has instances of its own.
EVALUATOR: Final = "program/2"
JUDGE: Final = "judge.py"  # what it is called where it runs
SCRIPT: Final = "scripted.py"  # likewise
SCRIPTED: Final = "scripted"  # the model that it is
ENCODINGS: Final = ("bytes", "json", "arrays", FOLDERS)
FRESH: Final = "fresh"  # a process an instance
BATCH: Final = "batch"  # one for all instances of a split, one after the other
ISOLATIONS: Final = (FRESH, BATCH)
DEVICES: Final = ("cpu", "any", "cuda")
SCORINGS: Final = ("judged", "self", "model")
FOLDERS_MEND: Final = f"name both in the command, as in `run = ['./work', '{IN}', '{OUT}']`"
VARIED: Final = ("argument", "variable", "folder")  # what of an evaluator a seed may decide
MODULE_HINT: Final = "see docs/writing-a-task.md, An imported evaluator"
BATCH_MEND: Final = f'a batch is for functions that are called (`entry`): omit it, or "{FRESH}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRecipe:
    """The files of a task that no candidate may edit: its judge, and what lies beside sources.

    `judge_files` lie next to the judge alone, as those of an imported evaluator.

    `script` stands in for a language model and is hidden from candidates as the judge is;
    `holdout` are files that replace fixed ones on secret instances;
    `packages` are those that these may import beside everybody's, `data` is the folder that
    they may read; `judge_means` is what its judge has beside itself, that folder among it.
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
    def beside(self) -> tuple[bytes, ...]:
        """What others who run the task fetch beside its baseline."""
        scripts = () if self.script is None else (self.script,)
        listings = (folder.listing for folder in self.judge_means.data)
        locks = (one.lock for one in (self.packages, self.judge_means.packages) if one.lock)
        files = (one.data for one in (*self.fixed, *self.judge_files))
        return (self.judge, *scripts, *files, *listings, *locks)


def recipe_of(task: Task) -> ProgramRecipe:
    """Return a program's recipe. Raises TypeError for a task of another kind."""
    if not isinstance(task.recipe, ProgramRecipe):
        raise TypeError(f"task {task.name} is no program")
    return task.recipe


def spec_of(manifest: TaskManifest) -> ProgramSpec:
    """Return how a program is built, run and judged. Raises TypeError for another kind's."""
    if manifest.program is None:
        raise TypeError(f"task {manifest.name} is no program")
    return manifest.program


def tools_of(command: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the toolchains that a command needs by its first word."""
    found = toolchain_of(command[0]) if command else None
    return (found,) if found else ()


def is_timed(manifest: TaskManifest) -> bool:
    """Say whether a task's metric is seconds, so that nothing may run beside."""
    return manifest.metric.name in TIMED


def is_of_baseline(manifest: TaskManifest) -> bool:
    """Say whether a task's metric is a share of what the baseline takes beside it."""
    return manifest.metric.name in OF_BASELINE


def counts_instructions(manifest: TaskManifest) -> bool:
    """Say whether a task asks for instructions, as its metric or in a guard."""
    guards = spec_of(manifest).guards
    return INSTRUCTIONS in {manifest.metric.name, *(guard.name for guard in guards)}


def is_exact(manifest: TaskManifest) -> bool:
    """Say whether a task's instances never change and its metric is no measurement."""
    spec = spec_of(manifest)
    is_measured = manifest.metric.name in MEASURED or bool(spec.model_budgets)
    return bool(spec.instances.fixed) and not is_measured


def most_of_a_split(instances: Instances) -> int:
    """Return how many instances a split of a run has, where these differ the larger number."""
    return max(instances.public, instances.secret, len(instances.fixed))


def batch_fault(spec: ProgramSpec) -> str | None:
    """Return why a task's instances cannot be met in a batch, None if they can or are not to."""
    if spec.isolation != BATCH:
        return None
    if spec.entry is None:
        return "a command meets one instance and ends"
    if spec.interactive:
        return "an interactive instance is a conversation of its own"
    if spec.llm is not None:
        return "what models are asked is counted by instance"
    return None


def module_fault(manifest: TaskManifest) -> str | None:
    """Return why a task's evaluator cannot call its module; None if it can, or there is none."""
    spec = spec_of(manifest)
    if spec.module is None:
        return None
    if spec.module not in dict(manifest.files):
        return f"{spec.module!r} is not among the editable files"
    if not spec.module.endswith(".py"):
        return f"{spec.module!r} is no module of Python"
    if manifest.metric.name in MEASURED:
        return f"{manifest.metric.name} is not the evaluator's figure"
    if spec.vary is not None and spec.vary.partition(" ")[0] not in VARIED:
        return f"vary is {spec.vary!r}, which is none of {', '.join(VARIED)}"
    return None


def folders_fault(spec: ProgramSpec) -> str | None:
    """Return why a task cannot have folders of files for instances and answers, if it says so."""
    if spec.encoding != FOLDERS or spec.run is None:
        return None
    lacking = [what for what in (IN, OUT) if not is_asked(spec.run, what)]
    return f"run does not ask for {lacking[0]}" if lacking else None


def check(manifest: TaskManifest) -> None:
    """Raise ConfigurationError for a task with a word that this version does not know."""
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
                f"possible: {', '.join(known)}; or install the version that the task comes from",
            )
    if (problem := batch_fault(spec)) is not None:
        raise ConfigurationError(
            f"task {manifest.name}: its isolation is {BATCH!r}, but {problem}", BATCH_MEND
        )
    if (problem := folders_fault(spec)) is not None:
        raise ConfigurationError(
            f"task {manifest.name}: its encoding is {FOLDERS!r}, but {problem}", FOLDERS_MEND
        )
    asked = {model for one in spec.model_budgets for model in one.models}
    if SCRIPTED in asked and SCRIPT not in dict(spec.judge_data):
        raise ConfigurationError(
            f"task {manifest.name}: a model that is a script, and no script",
            f"{SCRIPT} belongs to its judge's data",
        )
    if (problem := module_fault(manifest)) is not None:
        raise ConfigurationError(f"task {manifest.name}: its module: {problem}", MODULE_HINT)
