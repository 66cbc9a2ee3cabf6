"""Drafts of self-scored tasks: an imported evaluator runs in the candidate's own sandbox.

`measure.py`, a copy of a script, runs the evaluator and prints one line of text with the figures.
The judge reads that text and recomputes nothing, so such a task has `scoring = "self"`. A note for
the user says how to make the task trusted.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from protocol.codecs import path_fault
from protocol.errors import ConfigurationError, Rejected
from protocol.regions import Region, outside
from trainer.host.folder_files import FolderFile
from trainer.importing import scripts
from trainer.importing.dependencies import lacking, packages_of
from trainer.importing.draft import (
    JUDGE_FILE,
    LARGEST_FIGURE,
    MAX_SOURCE_GROWTH,
    PROGRAM_FILE,
    UNKNOWN_NOISE,
    WIDEST_STEP,
    TaskDraft,
    noise_comment,
    one_line,
    safe_name,
    safe_unit,
)
from trainer.importing.holdout import HOLDOUT_FOLDER, holdout_files
from trainer.importing.reading import (
    MAX_TOTAL_BYTES,
    explaining_reads,
    read_python,
    read_text,
)
from trainer.importing.toml_text import Value

Direction: TypeAlias = Literal["min", "max"]
Setting: TypeAlias = str | bool | float | Sequence[str] | Sequence[float]

MEASURE_FILE: Final = "measure.py"
REPORTING_FILE: Final = "reporting.py"
MOST_EDITABLE: Final = 8
_SCRIPTS: Final = Path(scripts.__file__).parent
COMMAND_SCRIPT: Final = _SCRIPTS / "command.py"
TRIAL_SCRIPT: Final = _SCRIPTS / "trial.py"
_REGION: Final = "EVOLVE-BLOCK"  # the name of editable regions in OpenEvolve and ShinkaEvolve
_MEMORY_OF_JAX_GB: Final = 4.0  # its compiler alone uses 1 GB
# Signs of code that starts processes. JAX is one: a sandbox for a single process refuses the system
# calls with which it wakes its threads.
_STARTING: Final = ("subprocess", "multiprocessing", "ProcessPoolExecutor", "os.system", "jax")
_DAY_S: Final = 86_400  # the limit for configurations that set none
_JUDGE: Final = '''"""Reads the figures that the candidate printed. They are not verified."""

from judging import Wrong, random_of

METRIC = {metric}
GUARDS = {guards}
LARGEST = {largest}  # records cannot contain larger figures


def instance(seed, split, index):
    """Return an instance: the seed for the evaluator, if it takes one."""
    return {{"seed": random_of(seed).randrange(1 << 31)}}


def check(instance, answer):
    """Return the figures as they were reported."""
    if not isinstance(answer, dict):
        raise Wrong("the answer is not a table of figures")
    figures = {{}}
    for name in [METRIC, *GUARDS]:
        number = answer.get(name)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise Wrong(f"{{name}} was not reported as a number")
        if not abs(number) < LARGEST:
            raise Wrong(f"{{name}} is not below {{LARGEST:g}}: set DIVISOR in measure.py")
        figures[name] = float(number)
    return figures
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfScored:
    """A task as an importer has read it: its files, its metric and its limits.

    - `script`: becomes `measure.py`, with `settings` as its constants.
    - `files`: placed next to the editable files.
    - `description`: for proposers.
    - `trust`: says how to make the task trusted.
    - `why`: a short reason why it is not trusted.
    - `holdout`: replaces those of `files` with the same names when a candidate is judged.
    - `repeats`: the number of times that a run calls the evaluator.
    - `noise_floor`: the standard deviation of the mean of these calls, `UNKNOWN_NOISE` if not
      measured.
    - `is_exact`: the evaluator's figure depends on no seed, so a run has one fixed instance.
    - `guards`: limits that the evaluator itself enforces.
    """

    system: str
    name: str
    title: str
    script: Path
    settings: Mapping[str, Setting]
    editable: Mapping[str, FolderFile | bytes]
    files: Mapping[str, FolderFile | bytes]
    metric: str
    unit: str
    direction: Direction
    guards: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    limit_s: int
    repeats: int = 1
    noise_floor: float = UNKNOWN_NOISE
    is_exact: bool = False
    memory_gb: float = 2.0
    device: str = "cpu"
    packages_without: frozenset[str] = frozenset()
    toolchains: tuple[str, ...] = ()
    description: str
    trust: str
    why: str = ""
    holdout: Mapping[str, FolderFile] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def draft(self) -> TaskDraft:
        """Return the draft. Raises ConfigurationError if a task may not have these files."""
        self.check_files()
        fixed = {**self.own_files(), **self.files}
        judge = _JUDGE.format(
            metric=json.dumps(self.metric),
            guards=json.dumps(list(self.guards)),
            largest=LARGEST_FIGURE,
        )
        return TaskDraft(
            table=self.table(list(fixed)),
            comments={
                "scoring": "the candidate reports its own figures; nothing verifies them",
                "threads": "more than one, so that the program may start processes",
                "toolchains": "its scripts may call their commands",
                "noise_floor": "none" if self.is_exact else noise_comment(self.noise_floor),
                "metric.max_step": "the largest plausible gain is unknown",
            },
            files={
                **self.editable,
                **fixed,
                JUDGE_FILE: judge.encode(),
                PROGRAM_FILE: self.program_text(self._what(), self._whose()).encode(),
                **holdout_files(self.holdout),
            },
            is_trusted=False,
            notes=(
                *self.notes,
                *lacking(self.toolchains),
                f"self-scored: {self.why or self.trust}",
            ),
        )

    def own_files(self) -> dict[str, bytes]:
        """Return the measuring script with its settings, and the arnode module that it imports."""
        settings = {**self.settings, "METRIC": self.metric, "GUARDS": tuple(self.guards)}
        return {
            MEASURE_FILE: script_text(self.script, settings).encode(),
            REPORTING_FILE: script_text(_SCRIPTS / "reporting.py", {}).encode(),
        }

    def table(self, files: list[str]) -> dict[str, Value]:
        """Return the content of task.toml; `files` are the files that may not be edited."""
        table: dict[str, Value] = {
            "name": safe_name(self.name),
            "version": 1,
            "kind": "program",
            "title": one_line(self.title),
            "editable": [_with_region(name, content) for name, content in self.editable.items()],
            "program": PROGRAM_FILE,
            "files": files,
            "run": ["python", MEASURE_FILE],
            "encoding": "json",
            "scoring": "self",
            "limit_s": min(max(1, self.limit_s), _DAY_S),
            "memory_gb": self.memory_gb,
            "max_source_growth": MAX_SOURCE_GROWTH,
            "noise_floor": self.noise_floor,
            "device": self.device,
        }
        if self.starts_processes({**self.editable, **self.files}):
            table["threads"] = 2
        if self.toolchains:
            table["toolchains"] = list(self.toolchains)
        if requires := self.requires({**self.editable, **self.files}):
            table["requires"] = requires
        if "jax" in requires:
            table["memory_gb"] = max(self.memory_gb, _MEMORY_OF_JAX_GB)
        table["judge"] = {"file": JUDGE_FILE}
        table["metric"] = {
            "name": self.metric,
            "unit": safe_unit(self.unit),
            "direction": self.direction,
            "aggregate": "mean",
            "max_step": WIDEST_STEP,
        }
        drawn: dict[str, Value] = {"public": self.repeats, "secret": self.repeats}
        table["instances"] = {"fixed": ["the command"]} if self.is_exact else drawn
        if self.holdout:
            table["private"] = True
            table["data"] = {"holdout": HOLDOUT_FOLDER}
        if self.guards:
            table["guards"] = {name: dict(limit) for name, limit in self.guards.items()}
        return table

    def starts_processes(self, files: Mapping[str, FolderFile | bytes]) -> bool:
        """Return True if these files need a sandbox that allows more than one process."""
        modules = _modules(files.values())
        texts = [self.script.read_text(encoding="utf-8"), *map(read_text, modules)]
        return any(word in text for text in texts for word in _STARTING)

    def requires(self, files: Mapping[str, FolderFile | bytes]) -> list[str]:
        """Return the packages that these files import and the task does not contain."""
        modules = _modules(files.values())
        local = {name.split("/")[0].removesuffix(".py") for name in [*self.editable, *self.files]}
        theirs = _modules([*self.editable.values(), *self.files.values()])
        own = {path.stem for path in theirs} | local | self.packages_without
        return packages_of((read_python(path) for path in modules), without=own)

    def check_files(self) -> None:
        """Raise ConfigurationError if a task may not have these files."""
        own = {MEASURE_FILE, REPORTING_FILE, JUDGE_FILE, PROGRAM_FILE}
        for name in (*self.editable, *self.files):
            if name in own:
                raise ConfigurationError(
                    f"{name} has the name of a file that arnode adds to the task", "rename it first"
                )
            if self.holdout and name.startswith(f"{HOLDOUT_FOLDER}/"):
                raise ConfigurationError(
                    f"{name} is in {HOLDOUT_FOLDER}/, the name of the task's holdout folder",
                    "rename that folder first",
                )
        if not 1 <= len(self.editable) <= MOST_EDITABLE:
            raise ConfigurationError(
                f"{len(self.editable)} files to edit", f"name 1 to {MOST_EDITABLE} files to edit"
            )
        for name in self.editable:
            if (fault := path_fault(name)) is not None:
                raise ConfigurationError(
                    f"{name!r} cannot be the name of an edited file: {fault}", "rename it"
                )

    def program_text(self, what: str, whose: str) -> str:
        """Return the text for proposers: the files to edit, the metric, and who measures it."""
        better = "lower" if self.direction == "min" else "higher"
        edited = ", ".join(f"`{name}`" for name in self.editable)
        guarded = [_limit_text(name, limit) for name, limit in self.guards.items()]
        aim = f"Edit {edited}. {what} `{self.metric}` ({self.unit}): {better} is better."
        besides = f"Also, {'; '.join(guarded)}." if guarded else ""
        whose = f"## Who measures\n\n{whose}"
        parts = [f"# {one_line(self.title)}", aim, besides, self.description.strip(), whose]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _what(self) -> str:
        return f"`python {MEASURE_FILE}` runs the evaluator and prints the score."

    def _whose(self) -> str:
        return (
            f"This task was imported from {self.system}. Its evaluator runs"
            " in the same sandbox as the program that it measures, so nothing verifies its"
            f" figures. {self.trust}"
        )


def _modules(files: Iterable[FolderFile | bytes]) -> list[FolderFile]:
    return [one for one in files if isinstance(one, FolderFile) and one.suffix == ".py"]


def _with_region(name: str, content: FolderFile | bytes) -> str:
    """Return a file's name in its task, with the name of its editable region if it marks one."""
    if isinstance(content, FolderFile):
        with explaining_reads(content):
            content = content.read(limit_bytes=MAX_TOTAL_BYTES)
    found = outside(content, Region(path=name, name=_REGION))
    return name if isinstance(found, Rejected) else f"{name}#{_REGION}"


def _limit_text(name: str, limit: Mapping[str, float]) -> str:
    if "times" in limit:
        return f"`{name}` must stay within {limit['times']:g} times the baseline's"
    return f"`{name}` must be {limit['most']:g} at most"


def script_text(script: Path, settings: Mapping[str, Setting]) -> str:
    """Return a script with its constants set, as it is written into a task folder."""
    text = script.read_text(encoding="utf-8")
    text = text.replace("from trainer.importing.scripts.", "from ")
    for constant, value in settings.items():
        line = re.compile(rf"^({constant}(?:: [^=]+)?) = [^#\n]*?(\s+#.*)?$", re.MULTILINE)
        found = line.search(text)
        if found is None:
            raise KeyError(f"{script} has no constant {constant}")
        assignment = f"{found[1]} = {_literal(value)}{found[2] or ''}"
        text = text[: found.start()] + assignment + text[found.end() :]
    return text


def _literal(value: Setting) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool | float | int):
        return repr(value)
    items = [_literal(item) for item in value]
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
