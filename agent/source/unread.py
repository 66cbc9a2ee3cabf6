"""Which files of a source no lint reads: whatever is not Python, by the language that it is in.

Nobody here parses them, so that what they do is not known, and of their text not which part is
prose. Each that is not as the task's baseline has it is marked, whoever wrote it.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from agent.source.capabilities import CapabilityMark
from protocol.source import Source

_LANGUAGES: Final = {
    ".c": "C", ".h": "C", ".cc": "C++", ".cpp": "C++", ".cxx": "C++", ".hpp": "C++",
    ".cu": "CUDA", ".go": "Go", ".java": "Java", ".js": "JavaScript", ".mjs": "JavaScript",
    ".cjs": "JavaScript", ".ts": "TypeScript", ".rs": "Rust", ".sh": "shell", ".sql": "SQL",
    ".json": "JSON", ".toml": "TOML", ".md": "prose", ".txt": "prose",
}  # fmt: skip


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


def _language(path: str) -> str:
    name = PurePosixPath(path)
    return _LANGUAGES.get(name.suffix.lower(), name.suffix or name.name)
