"""The capability lint: what a source does beyond arithmetic, found by reading its AST.

An allow-list, one for each kind of task (`agent.source.allow_lists`), says what a source may use.
Of modules these are the names that training needs (`agent.source.allowed`), or a program that
answers instances (`agent.source.programs`); of values the attributes that arithmetic needs
(`agent.source.public_names`) or that the script itself defines; of builtins the harmless ones.
No string becomes code, no name is computed but one of `self` whose beginning is written there, and
no dunder passes. All else is flagged (`agent.source.lint`). No lint reads a
file that is not Python: it is flagged if it differs from the task's baseline.

It is hygiene for code that may one day leave the sandbox, never the boundary: what it does not flag
may still be hostile. Pure. It parses, so untrusted source is read in the inspector's process only.
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
from protocol.codecs import line
from protocol.fields import Mapped, Positive
from protocol.source import Source

_LANGUAGES: Final = {
    ".c": "C", ".h": "C", ".cc": "C++", ".cpp": "C++", ".cxx": "C++", ".hpp": "C++",
    ".cu": "CUDA", ".go": "Go", ".java": "Java", ".js": "JavaScript", ".mjs": "JavaScript",
    ".cjs": "JavaScript", ".ts": "TypeScript", ".rs": "Rust", ".sh": "shell", ".sql": "SQL",
    ".json": "JSON", ".toml": "TOML", ".md": "prose", ".txt": "prose",
}  # fmt: skip
MAX_PATH: Final = 256  # characters, of a finding told to another process
MAX_TEXT: Final = 200
_KINDS: tuple[What, ...] = get_args(What)  # of several reasons for one mark the first is named


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityMark(Mapped):
    """One thing beyond arithmetic: where (lines count from 1), which kind, the code in question."""

    path: Annotated[str, line(1, MAX_PATH)]
    line: Positive
    what: What
    text: Annotated[str, line(0, MAX_TEXT)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is known of a source before it runs: either a `fingerprint`, or why it may not.

    `marks` are what it does beyond arithmetic and the task's baseline does not.
    """

    fingerprint: bytes | None
    fault: str = ""
    marks: tuple[CapabilityMark, ...] = ()


# Nobody's core process parses a model's text: whoever checks it does so in a child.
Check: TypeAlias = Callable[[Source], Awaitable[Checked]]


def findings(source: Source, allowed: AllowList = TRAINING) -> tuple[CapabilityMark, ...]:
    """Return everything in the Python files of a source that is marked, in the order of lines."""
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
    found: Sequence[CapabilityMark], baseline: Sequence[CapabilityMark]
) -> tuple[CapabilityMark, ...]:
    """Return what is marked in a tree and not already, as often, in the task's baseline."""
    known = Counter((finding.what, finding.text) for finding in baseline)
    new: list[CapabilityMark] = []
    for finding in found:
        if known[finding.what, finding.text] > 0:
            known[finding.what, finding.text] -= 1
        else:
            new.append(finding)
    return tuple(new)


def unread(tree: Source, baseline: Source) -> tuple[CapabilityMark, ...]:
    """Return a mark for each file of a tree that no lint reads and the baseline does not have."""
    known = dict(baseline.files)
    return tuple(
        CapabilityMark(path=path, line=1, what="unread", text=f"unread: {_language(path)}")
        for path, data in tree.files
        if not path.endswith(".py") and known.get(path) != data
    )


def languages(marks: Sequence[CapabilityMark]) -> tuple[str, ...]:
    """Return in which languages nobody reads what is marked, each once."""
    return tuple(sorted({_language(mark.path) for mark in marks if mark.what == "unread"}))


def _unparsed(path: str, data: bytes) -> CapabilityMark:
    line, why = syntax_fault(data)
    text = f"not Python that can be parsed: {why}"
    return CapabilityMark(path=path, line=line, what="uninspectable", text=text)


def _findings_in(path: str, module: ast.Module, names: Names, own: Own) -> list[CapabilityMark]:
    kinds: dict[tuple[int, str], set[What]] = {}
    for what, node in Lint(module, names, own).run():
        kinds.setdefault((getattr(node, "lineno", 1), _text(node)), set()).add(what)
    return [
        CapabilityMark(path=path, line=line, what=min(whats, key=_KINDS.index), text=text)
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
