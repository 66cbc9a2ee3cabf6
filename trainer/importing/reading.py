"""Reads another system's folder: texts, YAML, Python, and the files next to them.

All these files are untrusted. They are read through `trainer.host.folder_files`, parsed within
limits and never executed. Importers read files only through this module
(`tests/plugins/test_outside.py`).
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from protocol.codecs import path_fault
from protocol.errors import ConfigurationError
from protocol.syntax import syntax_tree
from trainer.host.folder_files import FolderFile, files_below, find_file
from trainer.task_folder.fields import read_toml
from trainer.task_folder.folder import TASK_FILE, refuse_harbor

_MAX_TEXT_BYTES: Final = 4 << 20
_MAX_FILES: Final = 60  # a task may have 64, including those that arnode adds
MAX_TOTAL_BYTES: Final = 16 << 20
_SKIPPED_FOLDERS: Final = frozenset(
    {"__pycache__", "build", "dist", "env", "node_modules", "openevolve_output", "target", "venv"}
)
_SKIPPED_SUFFIXES: Final = frozenset(
    {".gif", ".ipynb", ".jpeg", ".jpg", ".log", ".md", ".pdf", ".png", ".pyc", ".svg", ".webp"}
)


@dataclass(frozen=True, slots=True)
class System:
    """A system to import from: its name, and a hint what its folders must contain."""

    name: str
    needs: str

    def missing(self, folder: Path, what: str) -> ConfigurationError:
        """Return the error that a folder is not one of this system; `what` is the reason."""
        return ConfigurationError(f"{folder}: not a folder of {self.name}: {what}", self.needs)

    def check(self, folder: Path) -> None:
        """Raise ConfigurationError if a folder is missing or is already a task folder."""
        if not folder.is_dir():
            raise self.missing(folder, "there is no such folder")
        if find_file(folder, TASK_FILE) is not None:
            refuse_harbor(folder, read_toml(folder / TASK_FILE))
            raise ConfigurationError(
                f"{folder}: already a task folder, since it has a {TASK_FILE}",
                "nothing to import: pass the folder to a command with --task",
            )


def read_text(file: FolderFile) -> str:
    """Return a file's text. Raises ConfigurationError if it is not text, or too long."""
    try:
        with explaining_reads(file):
            data = file.read(limit_bytes=_MAX_TEXT_BYTES)
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}: not UTF-8", "save it as UTF-8") from error


@contextmanager
def explaining_reads(place: FolderFile | Path) -> Iterator[None]:
    """Turn an OSError in the `with` body into a ConfigurationError that names `place`."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {place}: {error.strerror}",
            "make it readable, then import the folder again",
        ) from error


def read_python(path: FolderFile) -> ast.Module:
    """Return a parsed module. Raises ConfigurationError if it is not valid Python."""
    try:
        return syntax_tree(read_text(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigurationError(f"{path}: not valid Python: {error}", "fix the file") from error


def read_yaml(path: FolderFile) -> Mapping[str, object]:
    """Return the table of a YAML file. Raises ConfigurationError if it is not a table."""
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigurationError(
            f"{path}: a YAML file, but PyYAML is not installed",
            "install it next to arnode: pip install pyyaml",
        ) from error
    try:
        value = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{path}: not valid YAML: {reason}", "fix the file") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path}: has no fields", "write lines of text `name: value`")
    return {str(name): item for name, item in value.items()}


def table_in(table: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Return the table of this name within a table; empty if there is no such table."""
    value = table.get(name)
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def text_in(table: Mapping[str, object], name: str) -> str:
    """Return the text of this name within a table; empty if there is no such text."""
    value = table.get(name)
    return value.strip() if isinstance(value, str) else ""


def number_in(table: Mapping[str, object], name: str) -> float | None:
    """Return the number of this name within a table; None if there is no such number."""
    value = table.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def constant_texts(tree: ast.Module) -> Mapping[str, str]:
    """Return a module's top-level string constants by name."""
    found = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
            for target in statement.targets:
                if isinstance(target, ast.Name) and isinstance(statement.value.value, str):
                    found[target.id] = statement.value.value
    return found


def functions_in(tree: ast.Module) -> Mapping[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return a module's top-level functions by name."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return {one.name: one for one in tree.body if isinstance(one, functions)}


def is_path(path: str) -> bool:
    """Return True if a task may have a file of this name."""
    return path_fault(path) is None


def other_files(
    folder: Path, *, without: Iterable[str] = (), within: str = ""
) -> dict[str, FolderFile]:
    """Return the files of a folder that its evaluator may need, by their paths in it.

    `within` limits the search to one subfolder. Skips images, notes, caches and every name that
    starts with a dot.

    Raises ConfigurationError if a file links out of the folder, or if there are too many files or
    they are too large.
    """
    skipped = set(without)
    found: dict[str, FolderFile] = {}
    total_bytes = 0
    with explaining_reads(folder):
        for file in files_below(
            folder,
            is_wanted=lambda inside, is_folder: (
                _is_wanted(inside, is_folder)
                and (not within or inside == within or inside.startswith(f"{within}/"))
            ),
        ):
            if file.inside in skipped:
                continue
            found[file.inside] = file
            total_bytes += file.size_bytes()
            if len(found) > _MAX_FILES or total_bytes > MAX_TOTAL_BYTES:
                raise ConfigurationError(
                    f"{folder}: more than {_MAX_FILES} files or {MAX_TOTAL_BYTES >> 20} MiB",
                    "copy the files that the evaluator needs to another folder, and import that",
                )
    return found


def _is_wanted(inside: str, is_folder: bool) -> bool:
    path = PurePosixPath(inside)
    if is_folder:
        return is_path(inside) and path.name not in _SKIPPED_FOLDERS
    return is_path(inside) and path.suffix.lower() not in _SKIPPED_SUFFIXES
