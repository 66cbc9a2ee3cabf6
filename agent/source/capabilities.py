"""The capability lint: it finds in a source's AST what it does beyond plain computation.

Each kind of task has an allow-list (`agent.source.allow_lists`) of what a source may use:

- names in modules: those that training needs (`agent.source.allowed`), or that a program which
  answers instances needs (`agent.source.programs`);
- attributes of values: those that arithmetic needs (`agent.source.public_names`), or that the
  script itself defines;
- builtins: the harmless ones.

Everything else is flagged (`agent.source.lint`), including strings that become code, dunder names,
and computed names, except attributes of `self` that begin with a literal prefix. The lint reads
Python only: any other file is flagged if it differs from the task's baseline.

This is hygiene for code that may later leave the sandbox, not a security boundary. Code without
findings may still be hostile. Pure. The lint parses code, so untrusted sources are read only in the
inspector's process.
"""

import ast
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Final, TypeAlias, get_args

from agent.source.allow_lists import TRAINING, AllowList
from agent.source.canonical import parse, syntax_fault
from agent.source.imported_reach import Own, What, defined_in, reached_in
from agent.source.lint import Lint
from agent.source.names import Names
from protocol.codecs import single_line
from protocol.fields import Mapped, Positive
from protocol.source import Source

_LANGUAGES: Final = {
    ".c": "C", ".h": "C", ".cc": "C++", ".cpp": "C++", ".cxx": "C++", ".hpp": "C++",
    ".cu": "CUDA", ".go": "Go", ".java": "Java", ".js": "JavaScript", ".mjs": "JavaScript",
    ".cjs": "JavaScript", ".ts": "TypeScript", ".rs": "Rust", ".sh": "shell", ".sql": "SQL",
    ".json": "JSON", ".toml": "TOML", ".md": "prose", ".txt": "prose",
}  # fmt: skip
MAX_PATH: Final = 256  # characters, in a finding that is sent to another process
MAX_TEXT: Final = 200
_KINDS: tuple[What, ...] = get_args(What)  # if a finding has several kinds, the first one counts


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityFinding(Mapped):
    """A finding of the lint: the file, the line (from 1), the kind, and the code."""

    path: Annotated[str, single_line(1, MAX_PATH)]
    line: Positive
    what: What
    text: Annotated[str, single_line(0, MAX_TEXT)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The result of checking a source before it runs: a `fingerprint`, or a `fault`.

    `marks` are the findings that the task's baseline does not have. Proposers reject a source that
    has any.
    """

    fingerprint: bytes | None
    fault: str = ""
    marks: tuple[CapabilityFinding, ...] = ()


# The core process never parses a model's text: implementations of `Check` do it in a child.
Check: TypeAlias = Callable[[Source], Awaitable[Checked]]


def findings(source: Source, allowed: AllowList = TRAINING) -> tuple[CapabilityFinding, ...]:
    """Return all findings in the Python files of a source, ordered by line within each file."""
    files = [(path, data) for path, data in source.files if path.endswith(".py")]
    read = {
        path: (module, Names(module)) for path, data in files if (module := parse(data)) is not None
    }
    modules: dict[str, list[Names]] = {}
    for path, (_, names) in read.items():
        modules.setdefault(path.removesuffix(".py").split("/")[0], []).append(names)
    own = Own(
        modules=modules,
        attributes=frozenset(name for module, _ in read.values() for name in defined_in(module)),
        reached=frozenset(name for module, _ in read.values() for name in reached_in(module)),
        allowed=allowed,
    )
    return tuple(
        finding
        for path, data in files
        for finding in (
            _findings_in(path, *read[path], own) if path in read else [_unparsed(path, data)]
        )
    )


def beyond(
    found: Sequence[CapabilityFinding], baseline: Sequence[CapabilityFinding]
) -> tuple[CapabilityFinding, ...]:
    """Return the findings that do not occur, or occur less often, in the task's baseline."""
    known = Counter((finding.what, finding.text) for finding in baseline)
    new: list[CapabilityFinding] = []
    for finding in found:
        if known[finding.what, finding.text] > 0:
            known[finding.what, finding.text] -= 1
        else:
            new.append(finding)
    return tuple(new)


def unread(tree: Source, baseline: Source) -> tuple[CapabilityFinding, ...]:
    """Return a finding for each non-Python file of a tree that differs from the baseline."""
    known = dict(baseline.files)
    return tuple(
        CapabilityFinding(path=path, line=1, what="unread", text=f"unread: {_language(path)}")
        for path, data in tree.files
        if not path.endswith(".py") and known.get(path) != data
    )


def languages(marks: Sequence[CapabilityFinding]) -> tuple[str, ...]:
    """Return the languages of the files that no lint reads, each once."""
    return tuple(sorted({_language(finding.path) for finding in marks if finding.what == "unread"}))


def _unparsed(path: str, data: bytes) -> CapabilityFinding:
    line, why = syntax_fault(data)
    text = f"not Python that can be parsed: {why}"
    return CapabilityFinding(path=path, line=line, what="uninspectable", text=text)


def _findings_in(path: str, module: ast.Module, names: Names, own: Own) -> list[CapabilityFinding]:
    kinds: dict[tuple[int, str], set[What]] = {}
    for what, node in Lint(module, names, own).run():
        kinds.setdefault((getattr(node, "lineno", 1), _text(node)), set()).add(what)
    return [
        CapabilityFinding(path=path, line=line, what=min(whats, key=_KINDS.index), text=text)
        for (line, text), whats in sorted(kinds.items())
    ]


def _text(node: ast.AST) -> str:
    try:
        return ast.unparse(node)
    except (RecursionError, ValueError):
        return f"{type(node).__name__} too deep to show"


def _language(path: str) -> str:
    name = PurePosixPath(path)
    return _LANGUAGES.get(name.suffix.lower(), name.suffix or name.name)
