"""Python's syntax trees, built by one thread at a time.

CPython 3.11 threads share one counter for the depth of the trees that they build. If a garbage
collection lets another thread start a tree, either fails with SystemError (python/cpython#106905).
A lock keeps our own threads apart. Other code also builds trees, such as `traceback` for each
exception that is logged, so a failed tree is built again.
"""

import ast
import contextlib
import threading
import warnings
from typing import Final, Literal

_ALONE = threading.RLock()
_TRIES: Final = 20


def syntax_tree(text: str) -> ast.Module:
    """Return the AST of a Python file. Raises what `ast.parse` does."""
    module = _built(text, "exec")
    assert isinstance(module, ast.Module)  # noqa: S101 (the mode says so)
    return module


def literal(text: str) -> object:
    """Return the value of a Python literal. Raises what `ast.literal_eval` does."""
    expression = _built(text.lstrip(" \t"), "eval")
    assert isinstance(expression, ast.Expression)  # noqa: S101 (the mode says so)
    return ast.literal_eval(expression)


def _built(text: str, mode: Literal["exec", "eval"]) -> ast.AST:
    for _ in range(_TRIES - 1):
        with contextlib.suppress(SystemError):
            return _built_once(text, mode)
    return _built_once(text, mode)


def _built_once(text: str, mode: Literal["exec", "eval"]) -> ast.AST:
    with _ALONE, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about invalid escape sequences
        return ast.parse(text, mode=mode)
