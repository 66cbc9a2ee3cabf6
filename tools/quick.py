"""`make quick`: the tests nearest to what was changed, as many as fit in three minutes.

A change reaches a test file if a changed module is among those that the file imports, directly or
not, itself or through the fixtures it uses, or if both changed in one commit before. First comes
the test named after what changed, then those that changed with it most often, then those with the
fewest imports in between. Tests marked `always` look at all of the code.
"""

import argparse
import ast
import json
import re
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Final, TypeAlias

import grimp

from tests.longest_first import DURATIONS
from tools.paths import ROOT

PACKAGES: Final = ("agent", "bootstrap", "node", "protocol", "trainer", "tests", "tools")
BUDGET_S: Final = 240.0  # of both workers together; they also need time to start
_UNKNOWN_S: Final = 10.0  # assumed for a file without a known duration
_COMMITS: Final = 100  # the last commits, which show what changes together
_MANY_FILES: Final = 100  # commits with more files are ignored

Rank: TypeAlias = tuple[bool, int, int]  # not named after it, minus joint changes, imports between


class Code:
    """All modules, by path: their text, and the modules that use them."""

    def __init__(self) -> None:
        self.graph = grimp.build_graph(*PACKAGES, cache_dir=str(ROOT / "build" / "grimp"))
        paths = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
        self.texts = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(paths)}

    @cached_property
    def always(self) -> list[str]:
        """The tests that are always run, as pytest names them."""
        return [
            f"{path}::{function.name}"
            for path in self.tests
            for function in _marked_always(self.texts[path])
        ]

    @cached_property
    def tests(self) -> list[str]:
        return [path for path in self.texts if Path(path).name.startswith("test_")]

    @cached_property
    def _users_of_fixtures(self) -> dict[str, set[str]]:
        """By conftest, the files below its folder that name one of its fixtures."""
        users: dict[str, set[str]] = {}
        for conftest in (path for path in self.texts if Path(path).name == "conftest.py"):
            names = "|".join(_fixtures(self.texts[conftest])) or "(?!)"
            uses = re.compile(rf"\b(?:{names})\b")
            below = f"{Path(conftest).parent}/"
            users[conftest] = {
                path
                for path, text in self.texts.items()
                if path.startswith(below) and path != conftest and uses.search(text)
            }
        return users

    def ranked(self, changed: Collection[str]) -> dict[str, Rank]:
        """Return the test files that changed files affect, each with its rank; lowest first."""
        away = self._imports_between(changed)
        together = _changed_together(changed)
        own = {f"test_{Path(path).stem}.py" for path in changed}
        return {
            path: (Path(path).name not in own, -together[path], away.get(path, 0))
            for path in self.tests
            if path in away or together[path]
        }

    def _imports_between(self, changed: Collection[str]) -> dict[str, int]:
        away = {path: 0 for path in changed if path in self.texts}
        waiting = deque(away)
        while waiting:
            path = waiting.popleft()
            for user in self._users_of(path) - away.keys():
                away[user] = away[path] + 1
                waiting.append(user)
        return {path: away[path] for path in self.tests if path in away}

    def _users_of(self, path: str) -> set[str]:
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        is_known = module in self.graph.modules  # tasks are not packages
        users = self.graph.find_modules_that_directly_import(module) if is_known else ()
        return {_path_of(user) for user in users} | self._users_of_fixtures.get(path, set())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.quick", description=__doc__)
    parser.add_argument("changed", nargs="*", metavar="PATH", help="what was changed")
    parser.add_argument("--since", help="a commit; else what is not committed, or the last commit")
    parser.add_argument("--list", action="store_true", help="name the test files, run none")
    asked = parser.parse_args()
    code = Code()
    changed = asked.changed or _changed_since(asked.since)
    ranks = code.ranked(changed)
    chosen = nearest(ranks, json.loads(DURATIONS.read_text()))
    print(
        f"{len(changed)} changed files reach {len(ranks)} test files. The nearest {len(chosen)} "
        "run here, all in `make test`.",
        flush=True,
    )
    if asked.list:
        print(*chosen, sep="\n")
        return
    words = ("-m", "pytest", "--numprocesses=2", "--dist=loadfile", "-q")
    sys.exit(subprocess.call([sys.executable, *words, *code.always, *chosen], cwd=ROOT))


def nearest(ranks: Mapping[str, Rank], durations: Mapping[str, float]) -> list[str]:
    """Return as many test files as fit into the time: the nearest first, then the fastest."""
    left_s = BUDGET_S
    chosen = []
    for path in sorted(ranks, key=lambda path: (ranks[path], durations.get(path, _UNKNOWN_S))):
        takes_s = durations.get(path, _UNKNOWN_S)
        if takes_s <= left_s:
            chosen.append(path)
            left_s -= takes_s
    return chosen


def _changed_since(commit: str | None) -> list[str]:
    new = _git("ls-files", "--others", "--exclude-standard")
    uncommitted = _git("diff", "--name-only", commit or "HEAD") + new
    return sorted({*uncommitted}) or _git("diff", "--name-only", "HEAD~1", "HEAD")


def _changed_together(paths: Collection[str]) -> Counter[str]:
    """Return how often each file changed in one commit with one of these."""
    marked = ("log", "--format=%x00", "--name-only", "--full-diff", f"--max-count={_COMMITS}")
    commits = "\n".join(_git(*marked, "--", *paths)).split("\0")
    files = [commit.split() for commit in commits]
    return Counter(path for named in files if len(named) <= _MANY_FILES for path in named)


def _git(*words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()


def _path_of(module: str) -> str:
    path = module.replace(".", "/")
    return f"{path}.py" if (ROOT / f"{path}.py").exists() else f"{path}/__init__.py"


def _fixtures(text: str) -> list[str]:
    return [one.name for one in _functions(text) if _has_decorator(one, "fixture")]


def _marked_always(text: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    if "mark.always" not in text:
        return []
    return [one for one in _functions(text) if _has_decorator(one, "always")]


def _functions(text: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    body = ast.parse(text).body
    return [one for one in body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]


def _has_decorator(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> bool:
    return any(
        isinstance(one, ast.Attribute) and one.attr == name
        for decorator in function.decorator_list
        for one in ast.walk(decorator)
    )


if __name__ == "__main__":
    main()
