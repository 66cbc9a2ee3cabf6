"""The judge of an MLE-bench competition: its own `prepare` and `grade`, with random split seeds.

The fixed random seeds in `prepare` are replaced by numbers drawn from an instance's seed. Code that
`prepare` and `grade` import from neighbouring modules, or from the MLE-bench checkout around them,
is copied as text. Tables are read with pandas if this code imports it, else as columns by name.
"""

import ast
import json
import os
from pathlib import Path
from typing import Final

from arnode_plugins.extraction import CodeExtract, heading
from protocol.errors import ConfigurationError
from trainer.host.folder_files import FolderFile, find_file
from trainer.importing.reading import read_python, read_text

_PACKAGE: Final = "mlebench"
_SEEDING: Final = frozenset({"RandomState", "Random", "default_rng", "manual_seed", "seed"})
_SEEDED: Final = frozenset({"random_state", "seed"})
_DRAWN: Final = "drawn_seed"
# The names that competitions import most often from MLE-bench. The judge provides them, so they
# need no checkout.
_GIVEN: Final = frozenset({"InvalidSubmissionError", "extract", "get_logger", "read_csv"})
# Names that the judge defines. A competition that defines one differently is rejected.
_IMPORTED: Final = (
    "csv", "hashlib", "hmac", "io", "json", "logging", "math", "numpy", "os", "pandas", "random",
    "shutil", "tempfile", "zipfile",
)  # fmt: skip
_OWN: Final = (
    "ANSWERS_FILE", "DATA_KEY", "as_numbers", "METRIC_NAME", "RAW_FOLDER", "SPLIT_SEED", "Wrong",
    "check", "digest_of", _DRAWN, "instance", "opened", "sealed", "split_by", *_GIVEN,
)  # fmt: skip
_MEANINGS: Final = {
    **{name: f"import {name}" for name in _IMPORTED},
    **dict.fromkeys(_OWN, "of the judge"),
    "Path": "from pathlib import Path",
    "contextmanager": "from contextlib import contextmanager",
}
_HEAD: Final = '''"""Splits a competition's data for each instance, and grades what is submitted."""

{future}import csv
import hashlib
import hmac
import io
import json
import logging
import math
import os
import random
import shutil
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy
{pandas}from judging import Wrong

METRIC_NAME = {metric}
ANSWERS_FILE = {answers}
RAW_FOLDER = Path(__file__).with_name({data})
SPLIT_SEED = [b""]  # the seed of the split that is being made
# A judge's sandbox forbids changes of file modes, which copying makes; no split needs them.
shutil.copymode = shutil.copystat = lambda *_given, **_options: None


class InvalidSubmissionError(Wrong):
    """The error that a grader raises for a submission that it cannot grade."""


def drawn_seed(number=0):
    """Return the replacement of a fixed seed in `prepare`, different for each split."""
    said = hmac.new(SPLIT_SEED[0], str(number).encode(), "sha256").digest()
    return int.from_bytes(said[:4], "big") >> 1


def extract(compressed, dst, *_options, **_more):
    """Unpack a ZIP archive."""
    with zipfile.ZipFile(compressed) as archive:
        archive.extractall(dst)


def get_logger(name, *_options):
    """Return a logger."""
    return logging.getLogger(name)


{reading}'''
_WITH_PANDAS: Final = '''def read_csv(*given, **options):
    """Read a table, with numbers at full precision."""
    return pandas.read_csv(*given, **{"float_precision": "round_trip", **options})
'''
_WITHOUT_PANDAS: Final = '''def read_csv(given, **_options):
    """Read a table as a dict of columns; a column becomes numbers if all its cells are numbers."""
    text = given.read().decode() if hasattr(given, "read") else Path(given).read_text()
    rows = list(csv.DictReader(io.StringIO(text), strict=True))
    if not rows:
        raise ValueError("the table has no rows")
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("the table's rows differ in length")
    return {name: as_numbers([row[name] for row in rows]) for name in rows[0]}


def as_numbers(cells):
    for number in (int, lambda cell: float(cell or "nan")):
        try:
            return [number(cell) for cell in cells]
        except ValueError:
            continue
    return cells
'''
_TAIL: Final = '''
def instance(seed, split, index):
    """The public files of a split, in an archive with a comment that only the judge understands."""
    with split_by(seed) as (public, _):
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(path for path in public.rglob("*") if path.is_file()):
                name = zipfile.ZipInfo(path.relative_to(public).as_posix())
                name.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(name, path.read_bytes())
            archive.comment = sealed(seed)
        return held.getvalue()


def check(instance, answer):
    """Make the split again, and grade the submission against its answers."""
    with zipfile.ZipFile(io.BytesIO(instance)) as archive:
        seed = opened(archive.comment)
    with split_by(seed) as (_, private):
        path = private / ANSWERS_FILE
        if path.suffix == ".jsonl":
            answers = [json.loads(line) for line in path.read_text().splitlines() if line]
        else:
            answers = read_csv(path)
    try:
        submission = read_csv(io.BytesIO(answer))
    except Exception as fault:
        raise Wrong(f"the submission is not CSV: {fault}") from fault
    score = float(grade(submission, answers))
    if not math.isfinite(score):
        raise Wrong(f"the grader returned {score}")
    return {METRIC_NAME: score}


@contextmanager
def split_by(seed):
    """Make a split in a temporary folder, and delete it at the end."""
    SPLIT_SEED[0] = seed
    random.seed(drawn_seed())
    numpy.random.seed(drawn_seed())
    with tempfile.TemporaryDirectory() as folder:
        raw, public, private = (Path(folder, name) for name in ("raw", "public", "private"))
        for one in (raw, public, private):
            one.mkdir()
        for path in sorted(RAW_FOLDER.iterdir()):  # `prepare` may unpack archives beside themselves
            try:
                os.symlink(path, raw / path.name)
            except OSError:
                (shutil.copytree if path.is_dir() else shutil.copyfile)(path, raw / path.name)
        prepare(raw, public, private)
        yield public, private


def sealed(seed):
    """Return the seed, encrypted so that only holders of the data can read it."""
    tag = hmac.new(DATA_KEY, b"tag" + seed, "sha256").digest()[:16]
    pad = hmac.new(DATA_KEY, b"pad" + tag, "sha256").digest()
    return (tag + bytes(one ^ other for one, other in zip(seed, pad, strict=True))).hex().encode()


def opened(token):
    """Return the seed that `sealed` encrypted."""
    kept = bytes.fromhex(token.decode())
    pad = hmac.new(DATA_KEY, b"pad" + kept[:16], "sha256").digest()
    return bytes(one ^ other for one, other in zip(kept[16:], pad, strict=True))


def digest_of(folder):
    said = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        said.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            said.update(hashlib.file_digest(file, "sha256").digest())
    return said.digest()


DATA_KEY = digest_of(RAW_FOLDER)  # unknown to anyone without all of the data
'''
_BASELINE: Final = '''"""Reads a competition's public files, and prints a submission."""

import io
import sys
import zipfile

SAMPLE = {sample}


def submission(files: zipfile.ZipFile) -> bytes:
    """Return the sample submission unchanged: it is valid but predicts nothing."""
    return files.read(SAMPLE)


def main() -> None:
    with zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read())) as files:
        sys.stdout.buffer.write(submission(files))


if __name__ == "__main__":
    main()
'''


def baseline_text(sample: str) -> str:
    """Return the baseline program, which submits the competition's sample submission."""
    return _BASELINE.format(sample=json.dumps(sample))


def judge_text(folder: Path, *, answers: str, metric: str, data: str) -> str:
    """Return the judge of a competition's folder.

    Raises ConfigurationError if its split has no fixed seed, or if a module that it imports is
    missing.
    """
    extract = CodeExtract(resolve=_resolve, given=_GIVEN, rewrite=_drawn, meanings=dict(_MEANINGS))
    prepare, grade = (_module(folder, name) for name in ("prepare.py", "grade.py"))
    extract.take(prepare, ["prepare"])
    if not any(f"{_DRAWN}(" in text for text in extract.statements.values()):
        raise ConfigurationError(
            f"{prepare}: it splits the data without a seed (such as"
            " random_state=0), so every split would be the same",
            "give its split a random_state, then import it again",
        )
    extract.take(grade, ["grade"])
    future = f"from __future__ import {', '.join(sorted(extract.future))}\n\n"
    has_pandas = any("pandas" in one for one in extract.imports)
    head = _HEAD.format(
        future=future if extract.future else "",
        metric=json.dumps(metric),
        answers=json.dumps(answers),
        data=json.dumps(data),
        pandas="import pandas\n" if has_pandas else "",
        reading=_WITH_PANDAS if has_pandas else _WITHOUT_PANDAS,
    )
    top = heading(read_text(prepare))
    return "\n\n".join(part for part in (top, head, extract.text(), _TAIL) if part)


def _module(folder: Path, name: str) -> FolderFile:
    """Return a module of a competition's folder.

    Imports are resolved inside the file's `root`: the MLE-bench checkout around the folder, if
    there is one, else the folder.
    """
    folder = folder.resolve()
    root = next((one for one in folder.parents if one.name == _PACKAGE), folder)
    found = find_file(root, (folder / name).relative_to(root))
    if found is None:
        raise ConfigurationError(f"{folder}: there is no {name}", "add it")
    return found


def _resolve(path: FolderFile, statement: ast.ImportFrom) -> FolderFile | None:
    """Return the module of an import from the folder or the checkout around it; None otherwise.

    Raises ConfigurationError if it is missing.
    """
    module = statement.module or ""
    if statement.level:
        base = path.path.parents[min(statement.level, len(path.path.parents)) - 1]
        wanted = base.joinpath(*module.split(".")).with_suffix(".py")
    elif module.split(".")[0] == _PACKAGE:
        package = path.root if path.root.name == _PACKAGE else path.path.parent / _PACKAGE
        wanted = package.joinpath(*module.split(".")[1:]).with_suffix(".py")
    else:
        return None
    found = find_file(path.root, os.path.relpath(wanted, path.root))
    if found is None:
        raise ConfigurationError(
            f"{path}: the module of `{ast.unparse(statement)}` is missing",
            "import the competition from its folder in a checkout of MLE-bench",
        )
    return found


def _drawn(path: FolderFile, source: str) -> str:
    """Return a module's source with its fixed random seeds replaced by calls of `drawn_seed`."""
    if path.name != "prepare.py":
        return source
    lines = source.encode().split(b"\n")
    numbers = [one for node in ast.walk(read_python(path)) for one in _seeds_in(node)]
    for one in sorted(numbers, key=lambda one: (-one.lineno, -one.col_offset)):
        line = lines[one.lineno - 1]  # bytes, since ast counts columns in bytes
        end = one.end_col_offset or one.col_offset
        call = f"{_DRAWN}({one.value!r})".encode()
        lines[one.lineno - 1] = line[: one.col_offset] + call + line[end:]
    return b"\n".join(lines).decode()


def _seeds_in(node: ast.AST) -> list[ast.Constant]:
    if not isinstance(node, ast.Call):
        return []
    given = [one.value for one in node.keywords if one.arg in _SEEDED]
    called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    called = node.func.id if isinstance(node.func, ast.Name) else called
    if called in _SEEDING:
        given += node.args[:1]
    return [one for one in given if isinstance(one, ast.Constant) and type(one.value) is int]
