"""Only the journal and the sandboxed reader use git."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("agent", "bootstrap", "node", "protocol", "trainer")
ALLOWED = {
    "node/store/git_repository.py": "the journal is ours",
    "trainer/sandbox/untrusted_git.py": "the sandboxed reader",
    "node/running/program.py": "looks whether git is installed",
    "node/maintenance/doctor.py": "asks for its version",
}


def uses_git(tree: ast.AST) -> bool:
    """Return True if a module imports GitPython, or contains the bare word `git` like a command."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                if any(alias.name.partition(".")[0] == "git" for alias in names):
                    return True
            case ast.ImportFrom(module=str() as module, level=0):
                if module.partition(".")[0] == "git":
                    return True
            case ast.Constant(value=str() as text):
                if re.match(r"git($| -)", text):
                    return True
    return False


@pytest.mark.always
def test_git_is_used_in_these_places_only() -> None:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    found = {
        path.relative_to(ROOT).as_posix()
        for path in paths
        if uses_git(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == ALLOWED.keys()
