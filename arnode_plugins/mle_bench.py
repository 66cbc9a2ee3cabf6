"""An importer of MLE-bench's competitions: `config.yaml`, `prepare.py`, `grade.py`, a description.

They become trusted tasks. The user provides the competition's data, which only the judge holds. For
each instance the judge splits the data again from a secret seed, shows the public part and keeps
the answers. The candidate reads the public files and prints a submission.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from arnode_plugins.splitting import baseline_text, judge_text
from node.exchange.importers import Importer, Option, TaskReader
from protocol.errors import ConfigurationError
from trainer.host.folder_files import FolderFile, files_below, find_file
from trainer.importing.dependencies import packages_of
from trainer.importing.draft import (
    JUDGE_FILE,
    MAX_SOURCE_GROWTH,
    PROGRAM_FILE,
    UNKNOWN_NOISE,
    WIDEST_STEP,
    TaskDraft,
    noise_comment,
    one_line,
    safe_figure,
    safe_name,
    safe_unit,
)
from trainer.importing.reading import (
    System,
    explaining_reads,
    functions_in,
    read_python,
    read_text,
    read_yaml,
    table_in,
    text_in,
)
from trainer.importing.toml_text import Value

SYSTEM: Final = System(
    "MLE-bench",
    "name a competition's folder: it holds config.yaml, prepare.py with prepare(raw, public,"
    " private), grade.py with grade(submission, answers), and description.md",
)
DATA: Final = "raw"
_SOLVE_FILE: Final = "solve.py"
_PREPARED: Final = re.compile(r"prepared/(?:public|private)/(.+)")
_TRUST: Final = "the data are split again for each instance, and only the judge sees the answers"
_PRIVATE: Final = "anyone with these data knows all answers, so the results go on no leaderboard"
_PLAIN: Final = (
    "neither prepare nor grade imports pandas, so tables are dicts of columns; if the grader needs"
    " a DataFrame, import pandas in grade.py and import the competition again"
)
_LARGEST_ROOM_MB: Final = 256
_NUMBER: Final = re.compile(r"[-+]?\d*\.?\d+([eE][-+]?\d+)?")
_MB: Final = 1 << 20
# Words in a grader's name that give the direction, for a competition without a leaderboard.
_LESS_IS_BETTER: Final = re.compile(
    r"log-?loss|error|rmsle|rmse|mae\b|distance|divergence|deviation|perplexity"
)
_MORE_IS_BETTER: Final = re.compile(
    r"auc|auroc|accuracy|f1|f0|f-?score|precision|map\b|kappa|jaccard|dice|correlation|spearman"
    r"|pearson|recall|ndcg|likelihood|tau"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Competition:
    name: str
    title: str
    grader: str
    answers: str
    sample: str
    description: str


def read_task(
    folder: Path, *, data: Path | None = None, direction: Literal["min", "max"] | None = None
) -> TaskDraft:
    """Return the task of a competition.

    `data` is the folder of its raw files, by default `raw` in the competition's folder. `direction`
    is needed if neither the leaderboard nor the grader's name shows it.

    Raises ConfigurationError if the folder is not a competition, or its split cannot be drawn from
    another seed.
    """
    SYSTEM.check(folder)
    found = _competition(folder)
    better = direction or _direction(folder, found.grader)
    if data is None:
        find_file(folder, DATA)  # raises for a link that leads out of the folder
    raw = _raw(data or folder / DATA)
    judge = judge_text(folder, answers=found.answers, metric=safe_figure(found.grader), data=DATA)
    candidate = baseline_text(found.sample)
    size_mb = sum(file.size_bytes() for file in raw.values()) // _MB + 1
    requires = packages_of([ast.parse(judge)])
    notes = [f"trusted: {_TRUST}", f"private: {_PRIVATE}", *([] if requires else [_PLAIN])]
    return TaskDraft(
        table=_table(found, better, size_mb, requires),
        comments={
            "noise_floor": noise_comment(UNKNOWN_NOISE),
            "metric.max_step": "the largest plausible gain is unknown",
            "data.judge": "only the judge can read these",
            "judge.scratch_mb": "space to split the data; emptied after each split",
        },
        files={
            _SOLVE_FILE: candidate.encode(),
            JUDGE_FILE: judge.encode(),
            PROGRAM_FILE: _program(found, better).encode(),
            **{f"{DATA}/{name}": file for name, file in raw.items()},
        },
        is_trusted=True,
        notes=tuple(notes),
    )


def _competition(folder: Path) -> _Competition:
    for name, function in (("prepare.py", "prepare"), ("grade.py", "grade")):
        file = find_file(folder, name)
        if file is None:
            raise SYSTEM.missing(folder, f"there is no {name}")
        if function not in functions_in(read_python(file)):
            raise SYSTEM.missing(folder, f"{name} has no function {function}")
    path = find_file(folder, "config.yaml")
    if path is None:
        raise SYSTEM.missing(folder, "there is no config.yaml")
    config = read_yaml(path)
    dataset = table_in(config, "dataset")
    answers = _PREPARED.search(text_in(dataset, "answers"))
    sample = _PREPARED.search(text_in(dataset, "sample_submission"))
    grader = text_in(table_in(config, "grader"), "name")
    if answers is None or sample is None or not grader:
        raise SYSTEM.missing(
            folder, "config.yaml lacks dataset.answers, dataset.sample_submission or grader.name"
        )
    if not answers[1].endswith((".csv", ".jsonl")):
        raise ConfigurationError(
            f"{path}: the answers are {answers[1]}", "only answers in .csv or .jsonl are graded"
        )
    about = find_file(folder, "description.md")
    return _Competition(
        name=text_in(config, "id") or folder.resolve().name,
        title=text_in(config, "name") or folder.resolve().name,
        grader=grader,
        answers=answers[1],
        sample=sample[1],
        description=read_text(about).strip() if about else "",
    )


def _direction(folder: Path, grader: str) -> Literal["min", "max"]:
    """Return the metric's direction from the leaderboard's order, else from the grader's name.

    Raises ConfigurationError if neither shows it.
    """
    board = find_file(folder, "leaderboard.csv")
    rows = read_text(board).split("\n") if board else []
    columns = rows[0].split(",") if rows else []
    if "score" in columns:
        at = columns.index("score") - len(columns)  # from the end: team names may contain commas
        labels = [fields[at] for row in rows[1:] if len(fields := row.split(",")) >= -at]
        scores = [
            float(one) for one in labels if re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", one.strip())
        ]
        if scores and scores[0] != scores[-1]:
            return "min" if scores[0] < scores[-1] else "max"
    called = grader.lower()
    is_less, is_more = _LESS_IS_BETTER.search(called), _MORE_IS_BETTER.search(called)
    if bool(is_less) != bool(is_more):
        return "min" if is_less else "max"
    raise ConfigurationError(
        f"{folder}: neither leaderboard.csv nor the grader's name {grader!r} shows whether lower or"
        " higher is better",
        "give --direction min or --direction max",
    )


def _raw(folder: Path) -> Mapping[str, FolderFile]:
    found: dict[str, FolderFile] = {}
    if folder.is_dir():
        with explaining_reads(folder):
            found = {file.inside: file for file in files_below(folder)}
    if not found:
        raise ConfigurationError(
            f"{folder}: the competition's data are missing",
            "download them from the competition's site, and name their folder with --data",
        )
    return found


def _table(found: _Competition, better: str, size_mb: int, requires: list[str]) -> dict[str, Value]:
    room_mb = min(max(16, 2 * size_mb), _LARGEST_ROOM_MB)
    return {
        "name": safe_name(found.name),
        "version": 1,
        "kind": "program",
        "title": one_line(f"{found.title}: {found.grader} on rows that are held back"),
        "editable": [_SOLVE_FILE],
        "program": PROGRAM_FILE,
        "private": True,
        "run": ["python", _SOLVE_FILE],
        "encoding": "bytes",
        "limit_s": 600,
        "memory_gb": 8.0,
        "instance_mb": room_mb,
        "answer_mb": room_mb,
        "max_source_growth": MAX_SOURCE_GROWTH,
        "noise_floor": UNKNOWN_NOISE,
        "device": "cpu",
        **({"requires": requires} if requires else {}),
        "judge": {
            "file": JUDGE_FILE,
            "scratch_mb": 8 * room_mb,
            **({"requires": requires} if requires else {}),
        },
        "data": {"judge": DATA},
        "metric": {
            "name": safe_figure(found.grader),
            "unit": safe_unit(found.grader),
            "direction": better,
            "aggregate": "mean",
            "max_step": WIDEST_STEP,
        },
        "instances": {"public": 2, "secret": 2},
    }


def _program(found: _Competition, better: str) -> str:
    aim = (
        f"`{_SOLVE_FILE}` reads a ZIP archive from standard input, the competition's public files,"
        f" and prints a submission like `{found.sample}` in it. The metric is {found.grader},"
        f" {'lower' if better == 'min' else 'higher'} is better. Rows are split again for each run."
    )
    whose = (
        "## How it is measured\n\nThe judge grades the submission against answers that this program"
        " cannot access, so the task is trusted."
    )
    competition = f"## The competition\n\n{found.description}" if found.description else ""
    parts = [f"# {found.title}", aim, competition, whose]
    return "\n\n".join(part for part in parts if part) + "\n"


IMPORTER: Final = Importer(
    task=TaskReader(
        summary="Import a competition. Only its judge has the data, and splits them for each run.",
        read=read_task,
        options=(
            Option(name="data", help="The competition's raw files [FOLDER/raw].", kind=Path),
            Option(
                name="direction", help="The better direction of the metric.", choices=("min", "max")
            ),
        ),
    )
)
