"""The fingerprint of a source's canonical AST, which depends on its meaning and not its layout.

Two sources with the same fingerprint differ at most in comments, docstrings, unused strings, idle
`pass` and layout, so trying the second would repeat the first. This module parses in the current
process. Use it only for sources that this node wrote. Untrusted code goes through
`agent.source.inspector`, in a child process.
"""

import ast
import hashlib
from collections.abc import Iterator

from protocol.source import Source
from protocol.syntax import syntax_tree


def parse(data: bytes) -> ast.Module | None:
    """Return the AST of a Python file in UTF-8, or None if it does not parse."""
    try:
        return _tree(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def syntax_fault(data: bytes) -> tuple[int, str]:
    """Return the line (from 1) and the reason of a file's first syntax error."""
    try:
        _tree(data)
    except SyntaxError as fault:
        return max(1, fault.lineno or 1), fault.msg
    except (ValueError, RecursionError, MemoryError) as fault:
        return 1, type(fault).__name__
    return 1, "nothing is wrong with it"


def _tree(data: bytes) -> ast.Module:
    return syntax_tree(data.decode("utf-8"))


def fingerprint(source: Source) -> bytes:
    """Return sha256 over every file's canonical AST, or over its bytes if it does not parse."""
    digest = hashlib.sha256()
    for path, data in source.files:
        for part in (path.encode(), _canonical(path, data)):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def same_meaning(one: bytes, other: bytes) -> bool:
    """Return whether two Python files have the same canonical AST; False if either has none."""
    canonical = _canonical_ast(one)
    return canonical is not None and canonical == _canonical_ast(other)


def blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """Yield the statement lists directly under a node; only a module's may be empty."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list) and (block or isinstance(node, ast.Module)):
            yield block


def is_unused_text(statement: ast.stmt) -> bool:
    """Return whether a statement is only text: a docstring, or an unused string."""
    if not isinstance(statement, ast.Expr):
        return False
    value = statement.value
    if isinstance(value, ast.JoinedStr):
        return all(isinstance(part, ast.Constant) for part in value.values)
    return isinstance(value, ast.Constant) and isinstance(value.value, str | bytes)


def _canonical(path: str, data: bytes) -> bytes:
    canonical = _canonical_ast(data) if path.endswith(".py") else None
    return b"bytes\0" + data if canonical is None else b"ast\0" + canonical


def _canonical_ast(data: bytes) -> bytes | None:
    """Return the dump of a simplified AST; None if the file does not parse or is too deep."""
    module = parse(data)
    if module is None:
        return None
    _simplify(module)
    try:
        # The dump omits positions, and the tree never contained comments.
        return ast.dump(module).encode("utf-8", "surrogatepass")
    except RecursionError:
        return None


def _simplify(module: ast.Module) -> None:
    """Remove what has no effect at run time: unused strings, `pass`, and the u of u''."""
    for node in ast.walk(module):
        if isinstance(node, ast.Constant):
            node.kind = None
        for block in blocks(node):
            block[:] = [
                one for one in block if not isinstance(one, ast.Pass) and not is_unused_text(one)
            ] or [ast.Pass()]
