"""Drafts of self-scored tasks: somebody's evaluator runs in the candidate's own sandbox.

`measure.py`, a copy of a script, runs it and prints one line of figures;
the judge reads that line and recomputes nothing. So such a task says `scoring = "self"`, and what
would make it a trusted one is told with it.
"""

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from protocol.errors import ConfigurationError, Rejected
from protocol.regions import Region, outside
from trainer.host.folder_files import FolderFile
from trainer.importing import scripts
from trainer.importing.dependencies import packages_of
from trainer.importing.draft import (
    JUDGE_FILE,
    LARGEST_FIGURE,
    MAX_SOURCE_GROWTH,
    PROGRAM_FILE,
    UNKNOWN_NOISE,
    WIDEST_STEP,
    TaskDraft,
    one_line,
    safe_figure,
    safe_name,
    safe_unit,
)
from trainer.importing.reading import (
    MAX_TOTAL_BYTES,
    explaining_reads,
    is_path,
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
# Figures of which less is better go up by half at most; of others nobody said which way is better.
_COSTS: Final = re.compile(
    r"(^|_)(bytes|duration|elapsed|latency|mb|memory|ms|ns|runtime|sec|seconds|size|time|us)($|_)"
)
_CEILING: Final = 1.5
_REGION: Final = "EVOLVE-BLOCK"  # what OpenEvolve and ShinkaEvolve call what may change
_MEMORY_OF_JAX_GB: Final = 4.0  # its compiler alone takes one
# JAX wakes its threads by calls that are refused to a single process.
_STARTING: Final = ("subprocess", "multiprocessing", "ProcessPoolExecutor", "os.system", "jax")
_MOST_GUARDS: Final = 12
_DAY_S: Final = 86_400  # some configurations say "for ever"
_JUDGE: Final = '''"""Reads the line that the candidate's own measuring printed: a claim."""

from judging import Wrong, random_of

METRIC = {metric}
GUARDS = {guards}
LARGEST = {largest}  # a larger figure has no place in a record


def instance(seed, split, index):
    """The seed that the evaluator is given, where it asks for one."""
    return {{"seed": random_of(seed).randrange(1 << 31)}}


def check(instance, answer):
    """Return the figures as they were told."""
    if not isinstance(answer, dict):
        raise Wrong("the answer is no table of figures")
    figures = {{}}
    for name in [METRIC, *GUARDS]:
        number = answer.get(name)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise Wrong(f"{{name}} is not told as a number")
        if not abs(number) < LARGEST:
            raise Wrong(f"{{name}} is not below {{LARGEST:g}}: set DIVISOR in measure.py")
        figures[name] = float(number)
    return figures
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfScored:
    """What an importer found out. `script` is the file that becomes `measure.py`, `settings` its
    constants; `files` lie beside the editable ones; `told` is for a proposer; `trust` says what
    would make the task a trusted one, `why` in one line why it is none.
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
    memory_gb: float = 2.0
    device: str = "cpu"
    packages_without: frozenset[str] = frozenset()
    toolchains: tuple[str, ...] = ()
    told: str
    trust: str
    why: str = ""
    notes: tuple[str, ...] = ()

    def draft(self) -> TaskDraft:
        """Return the task folder. Raises ConfigurationError if its files do not fit."""
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
                "scoring": "the figures are the candidate's own claim: measured, never verified",
                "threads": "more than one, so that it may start processes of its own",
                "toolchains": "whose commands its scripts may call",
                "noise_floor": "not measured yet: `arnode task check` says what it is",
                "metric.max_step": "nobody said what is implausible",
            },
            files={
                **self.editable,
                **fixed,
                JUDGE_FILE: judge.encode(),
                PROGRAM_FILE: self.program_text(self._what(), self._whose()).encode(),
            },
            is_trusted=False,
            notes=(*self.notes, f"self-scored: {self.why or self.trust}"),
        )

    def own_files(self) -> dict[str, bytes]:
        """Return the script that measures, with its settings, and what it imports of ours."""
        settings = {**self.settings, "METRIC": self.metric, "GUARDS": tuple(self.guards)}
        return {
            MEASURE_FILE: script_text(self.script, settings).encode(),
            REPORTING_FILE: script_text(_SCRIPTS / "reporting.py", {}).encode(),
        }

    def table(self, files: list[str]) -> dict[str, Value]:
        """Return what task.toml says, with these files next to the edited ones."""
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
            "noise_floor": UNKNOWN_NOISE,
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
        table["instances"] = {"public": 1, "secret": 1}
        if self.guards:
            table["guards"] = {name: dict(limit) for name, limit in self.guards.items()}
        return table

    def starts_processes(self, files: Mapping[str, FolderFile | bytes]) -> bool:
        """Return True if a sandbox for a single process would not do for these files."""
        modules = _modules(files.values())
        texts = [self.script.read_text(encoding="utf-8"), *map(read_text, modules)]
        return any(word in text for text in texts for word in _STARTING)

    def requires(self, files: Mapping[str, FolderFile | bytes]) -> list[str]:
        """Return the packages that these files import."""
        modules = _modules(files.values())
        local = {name.split("/")[0].removesuffix(".py") for name in [*self.editable, *self.files]}
        theirs = _modules([*self.editable.values(), *self.files.values()])
        own = {path.stem for path in theirs} | local | self.packages_without
        return packages_of((read_python(path) for path in modules), without=own)

    def check_files(self) -> None:
        """Raise ConfigurationError if the files are none that a task may have."""
        own = {MEASURE_FILE, REPORTING_FILE, JUDGE_FILE, PROGRAM_FILE}
        for name in (*self.editable, *self.files):
            if name in own:
                raise ConfigurationError(
                    f"{name} is a name that the task's own file takes", "rename that file first"
                )
        if not 1 <= len(self.editable) <= MOST_EDITABLE:
            raise ConfigurationError(
                f"{len(self.editable)} files are to be edited", f"name 1 to {MOST_EDITABLE} of them"
            )
        strange = [name for name in self.editable if not is_path(name)]
        if strange:
            raise ConfigurationError(
                f"{strange[0]!r} cannot be the name of an edited file",
                "letters, digits, dots, hyphens and underscores, nothing hidden",
            )

    def program_text(self, what: str, whose: str) -> str:
        """Return what a proposer is told: what is to be edited, and whose word the figure is."""
        better = "lower" if self.direction == "min" else "higher"
        edited = ", ".join(f"`{name}`" for name in self.editable)
        guarded = [_limit_told(name, limit) for name, limit in self.guards.items()]
        aim = f"Edit {edited}. {what} `{self.metric}` ({self.unit}): {better} is better."
        besides = f"Besides, {'; '.join(guarded)}." if guarded else ""
        whose = f"## Who says so\n\n{whose}"
        parts = [f"# {one_line(self.title)}", aim, besides, self.told.strip(), whose]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _what(self) -> str:
        return f"`python {MEASURE_FILE}` runs the evaluator and prints the score."

    def _whose(self) -> str:
        return (
            f"This task was brought over from {self.system}. Its evaluator runs"
            " in the same sandbox as the program that it measures, so its figures are that"
            f" program's own claim. {self.trust}"
        )


def _modules(files: Iterable[FolderFile | bytes]) -> list[FolderFile]:
    return [one for one in files if isinstance(one, FolderFile) and one.suffix == ".py"]


def _with_region(name: str, content: FolderFile | bytes) -> str:
    """Return what a file's task calls it: with its region, where it has one as these systems do."""
    if isinstance(content, FolderFile):
        with explaining_reads(content):
            content = content.read(limit_bytes=MAX_TOTAL_BYTES)
    found = outside(content, Region(path=name, name=_REGION))
    return name if isinstance(found, Rejected) else f"{name}#{_REGION}"


def _limit_told(name: str, limit: Mapping[str, float]) -> str:
    if "times" in limit:
        return f"`{name}` must stay within {limit['times']:g} times the baseline's"
    return f"`{name}` must be {limit['most']:g} at most"


def cost_guards(names: Iterable[str], *, metric: str) -> dict[str, dict[str, float]]:
    """Return guards on those of an evaluator's further figures that are plainly costs."""
    costs = [
        name
        for name in dict.fromkeys(names)
        if name != metric and name == safe_figure(name) and _COSTS.search(name)
    ]
    return {name: {"times": _CEILING} for name in costs[:_MOST_GUARDS]}


def script_text(script: Path, settings: Mapping[str, Setting]) -> str:
    """Return a script as it stands in a task folder, with its constants set."""
    text = script.read_text(encoding="utf-8")
    text = text.replace("from trainer.importing.scripts.", "from ")
    for constant, value in settings.items():
        line = re.compile(rf"^({constant}(?:: [^=]+)?) = [^#\n]*?(\s+#.*)?$", re.MULTILINE)
        found = line.search(text)
        if found is None:
            raise KeyError(f"{script} has no constant {constant}")
        told = f"{found[1]} = {_literal(value)}{found[2] or ''}"
        text = text[: found.start()] + told + text[found.end() :]
    return text


def _literal(value: Setting) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool | float | int):
        return repr(value)
    items = [_literal(item) for item in value]
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


def told_figures(trees: Iterable[ast.AST], *, metric: str) -> list[str]:
    """Return the figures that an evaluator tells whenever it tells `metric`, read off its code.

    Tables that say what went wrong are left out: a score of nothing, or an error.
    """
    tables = [
        names
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict) and metric in (names := _told_keys(node))
        if "error" not in names and not _is_nothing(node, metric)
    ]
    first = tables[0] if tables else []
    return [name for name in first if name != metric and all(name in table for table in tables)]


def _is_nothing(table: ast.Dict, metric: str) -> bool:
    for key, value in zip(table.keys, table.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == metric:
            return isinstance(value, ast.Constant) and not value.value
    return False


def _told_keys(node: ast.Dict) -> list[str]:
    names = []
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            is_inner = isinstance(value, ast.Dict) and key.value == "public"
            names += _told_keys(value) if is_inner and isinstance(value, ast.Dict) else [key.value]
    return names
