"""An importer of KernelBot's problems: `task.yml` with the files, tests and benchmarks it names.

The submission runs in one process with the checker and the clock, and its tensors are made on the
device. So the task is self-scored.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from node.exchange.importers import Importer, TaskReader
from protocol.errors import ConfigurationError
from trainer.host.folder_files import FolderFile, find_file, outside
from trainer.importing.draft import TaskDraft
from trainer.importing.reading import (
    System,
    is_path,
    number_in,
    read_text,
    read_yaml,
    table_in,
    text_in,
)
from trainer.importing.self_scored import SelfScored

_SCRIPT: Final = Path(__file__).parent / "scripts" / "kernelbot.py"
SYSTEM: Final = System(
    "KernelBot",
    "name a problem's folder: it holds task.yml, which names submission.py, reference.py, eval.py"
    " and utils.py, the latter two often one folder above",
)
_TASK: Final = "task.yml"
_SUBMISSION: Final = "@SUBMISSION@"
_SHARED: Final = re.compile(r"\.\./((?:eval|utils)(?:_\w+)?\.py)")
_METRIC: Final = "microseconds"
_TIMEOUT_S: Final = 180  # upstream's limit for each of its stages
_RANKINGS: Final = ("last", "mean", "geom")
_ON_CARD: Final = (
    'its files name cuda, so it needs an NVIDIA card (`device = "cuda"`) and is rejected on'
    " machines without one"
)
_ON_PROCESSOR: Final = "none of its files names cuda: it runs on the processor, without a card"
_TRUST: Final = (
    "To make it a trusted task, let the judge make the inputs from its seed and compare the outputs"
    " with the reference's, and take the node's own wall_s as the metric. This is not possible yet"
    " if the tensors are made on the submission's card."
)


def read_task(folder: Path) -> TaskDraft:
    """Return the task of a folder. Raises ConfigurationError if it is no folder of KernelBot."""
    SYSTEM.check(folder)
    path = folder / _TASK
    task = find_file(folder, _TASK)
    if task is None:
        raise SYSTEM.missing(folder, f"there is no {_TASK}")
    table = read_yaml(task)
    _check_language(path, table)
    files = _files(path, table)
    submission = next((name for name, source in files.items() if source is None), None)
    if submission is None:
        raise SYSTEM.missing(folder, f"{_TASK} names no file whose source is {_SUBMISSION}")
    main = text_in(table_in(table, "config"), "main") or "eval.py"
    if files.get(main) is None:
        raise SYSTEM.missing(folder, f"{_TASK} does not list {main}, the file to run")
    fixed = {name: source for name, source in files.items() if source is not None}
    is_on_card = any("cuda" in read_text(one) for one in fixed.values() if one.suffix == ".py")
    ranking = text_in(table, "ranking_by") or "last"
    if ranking not in _RANKINGS:
        raise ConfigurationError(
            f"{path}: ranking_by is {ranking!r}, which this importer does not support",
            f"set ranking_by to one of {', '.join(_RANKINGS)}",
        )
    return SelfScored(
        system=SYSTEM.name,
        name=folder.resolve().name,
        title=f"KernelBot's {folder.resolve().name}: the time of a kernel",
        script=_SCRIPT,
        settings={
            "MAIN": main,
            "TESTS": _cases(path, table, "tests"),
            "BENCHMARKS": _cases(path, table, "benchmarks"),
            "RANKING": ranking,
        },
        editable={submission: _baseline(folder, table, submission)},
        files=fixed,
        metric=_METRIC,
        unit="microseconds",
        direction="min",
        limit_s=_limit_s(table),
        memory_gb=8.0,
        device="cuda" if is_on_card else "cpu",
        description=_description(text_in(table, "description"), ranking),
        trust=_TRUST,
        notes=(_ON_CARD if is_on_card else _ON_PROCESSOR,),
    ).draft()


def _check_language(path: Path, table: Mapping[str, object]) -> None:
    language = text_in(table, "lang") or "py"
    if language != "py":
        raise ConfigurationError(
            f"{path}: lang is {language!r}; only problems in Python can be imported",
            "wrap the kernel in a submission.py, as upstream's Python problems do",
        )
    if table.get("multi_gpu") is True:
        raise ConfigurationError(
            f"{path}: the problem needs several cards", "a task here has one card at most"
        )


def _files(path: Path, table: Mapping[str, object]) -> dict[str, FolderFile | None]:
    """Return the problem's files by name; the value for the submission is None."""
    listed = table.get("files")
    if not isinstance(listed, list) or not listed:
        raise SYSTEM.missing(path.parent, f"{_TASK} lists no files")
    files: dict[str, FolderFile | None] = {}
    for one in listed:
        item = {str(key): value for key, value in one.items()} if isinstance(one, dict) else {}
        name, source = text_in(item, "name"), text_in(item, "source")
        if not is_path(name) or not source:
            raise SYSTEM.missing(path.parent, f"{_TASK} lists a file without a name or a source")
        files[name] = None if source == _SUBMISSION else _source(path.parent, source)
    return files


def _source(folder: Path, name: str) -> FolderFile:
    """Return a file that the problem names.

    Upstream keeps `eval.py` and `utils.py` one folder above its problems. These two may be read
    from there, unless they are links. No other file outside the problem's folder is read.
    """
    shared = _SHARED.fullmatch(name)
    root, inside = (folder.resolve().parent, shared[1]) if shared else (folder, name)
    if ".." in Path(name).parts and not (folder / name).exists():
        raise SYSTEM.missing(folder, f"there is no {name}, which {_TASK} names")
    if shared and (root / inside).is_symlink():
        raise outside(folder, name, (root / inside).resolve())
    found = find_file(root, inside)
    if found is None:
        raise SYSTEM.missing(folder, f"there is no {name}, which {_TASK} names")
    return found


def _baseline(folder: Path, table: Mapping[str, object], submission: str) -> FolderFile:
    """Return the baseline: the existing submission, else the template."""
    template = text_in(table_in(table, "templates"), "Python")
    for name in (submission, template):
        if name and (found := find_file(folder, name)) is not None:
            return found
    raise SYSTEM.missing(folder, f"there is no {submission}, nor a template for Python")


def _cases(path: Path, table: Mapping[str, object], name: str) -> tuple[str, ...]:
    """Return test cases in the evaluator's format, such as `size: 127; seed: 4242`."""
    listed = table.get(name)
    if not isinstance(listed, list) or not all(isinstance(one, dict) and one for one in listed):
        raise SYSTEM.missing(path.parent, f"{_TASK} lists no {name}")
    if not listed:
        raise SYSTEM.missing(path.parent, f"{_TASK} lists no {name}")
    return tuple("; ".join(f"{key}: {value}" for key, value in one.items()) for one in listed)


def _limit_s(table: Mapping[str, object]) -> int:
    stages = [number_in(table, f"{one}_timeout") or _TIMEOUT_S for one in ("test", "ranked")]
    return int(sum(stages))


def _description(description: str, ranking: str) -> str:
    ranked = {
        "last": "The last benchmark's mean counts.",
        "mean": "The mean over the benchmarks counts.",
        "geom": "The geometric mean over the benchmarks counts.",
    }[ranking]
    return f"{ranked}\n\n## What KernelBot says of it\n\n{description}" if description else ranked


IMPORTER: Final = Importer(
    task=TaskReader(
        summary="Import a problem's task.yml and the files that it names as a self-scored task.",
        read=read_task,
    )
)
