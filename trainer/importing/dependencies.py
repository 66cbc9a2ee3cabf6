"""Finds the packages that a task's code imports and the toolchains that it calls.

The code is untrusted. It is parsed and never executed.
"""

import ast
import re
import sys
from collections.abc import Iterable
from typing import Final

from protocol.errors import ConfigurationError
from trainer.host.folder_files import FolderFile
from trainer.importing.draft import safe_name
from trainer.importing.reading import read_text
from trainer.sandbox.toolchains import toolchain, toolchain_of

# Names of packages by the module that they provide, where the two names differ.
_CALLED: Final = {
    "Bio": "biopython",
    "Levenshtein": "levenshtein",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "bson": "pymongo",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "faiss": "faiss-cpu",
    "ot": "POT",
    "pysat": "python-sat",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
# arnode provides `judging` to judges and numpy to every program.
_THERE: Final = frozenset({"judging", "numpy"}) | sys.stdlib_module_names
_STARTERS: Final = frozenset(
    {"call", "check_call", "check_output", "Popen", "popen", "run", "system"}
)
_SHELL: Final = "sh"
_WORD: Final = re.compile(r"[\w+./-]+")


def packages_of(trees: Iterable[ast.AST], *, without: Iterable[str] = ()) -> list[str]:
    """Return the packages that code imports, except Python's own modules and those in `without`."""
    roots = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                roots.add(node.module.split(".")[0])
    others = roots - _THERE - set(without)
    return sorted(_CALLED.get(root, safe_name(root)) for root in others)


def toolchains_of(commands: Iterable[str], scripts: Iterable[FolderFile]) -> tuple[str, ...]:
    """Return the toolchains that shell scripts and commands name, and always the shell itself."""
    texts = [*commands, *(read_text(path) for path in scripts)]
    words = {word for text in texts for word in _WORD.findall(_without_comments(text))}
    named = {found for word in words if (found := toolchain_of(word)) is not None}
    return tuple(sorted({_SHELL, *named}))


def toolchains_called(trees: Iterable[ast.AST]) -> tuple[str, ...]:
    """Return the toolchains that Python code calls, as in `subprocess.run(["g++", …])`."""
    found = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args:
                found.add(toolchain_of(_called(node)))
    named = {one for one in found if one is not None}
    return tuple(sorted(named))


def _called(call: ast.Call) -> str:
    """Return the first word of the command that a call starts, empty if it starts no command."""
    first = call.args[0]
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if isinstance(first, ast.List | ast.Tuple) and first.elts:
        first = first.elts[0]
    elif name not in _STARTERS:
        return ""
    if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return ""
    return next(iter(first.value.split()), "")


def lacking(toolchains: Iterable[str]) -> tuple[str, ...]:
    """Return a sentence for each toolchain that is not installed here."""
    said = []
    for name in toolchains:
        try:
            toolchain(name)
        except ConfigurationError as error:
            said.append(f"{error.message}: {error.hint}")
    return tuple(said)


def _without_comments(text: str) -> str:
    return re.sub(r"(^|\s)#.*", "", text, flags=re.MULTILINE)
