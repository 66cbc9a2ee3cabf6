"""What a source means, apart from how it is written: the fingerprint of its canonical AST.

Two sources with one fingerprint differ in comments, docstrings and layout at most, so trying
the second would repeat the first. Parses in this process: for sources that this node wrote, or
whose hygiene was checked; a stranger's unseen code is parsed in a child process first.
"""

import ast
import hashlib
import warnings

from protocol.source import Source


def parse(data: bytes) -> ast.Module | None:
    """Return the AST of a Python file in UTF-8, or None where it has none."""
    with warnings.catch_warnings():
        # A candidate's odd escape sequences are its own business.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(data.decode("utf-8"))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def fingerprint(source: Source) -> bytes:
    """Return sha256 over every file's canonical AST; what does not parse counts by its bytes."""
    digest = hashlib.sha256()
    for path, data in source.files:
        for part in (path.encode(), _canonical(path, data)):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def _canonical(path: str, data: bytes) -> bytes:
    module = parse(data) if path.endswith(".py") else None
    if module is None:
        return b"bytes\0" + data
    _simplify(module)
    try:
        # Positions are attributes, which a dump leaves out; a comment was never in the tree.
        return b"ast\0" + ast.dump(module).encode("utf-8", "surrogatepass")
    except RecursionError:
        return b"bytes\0" + data


def _simplify(module: ast.Module) -> None:
    """Remove what Python would run alike without: docstrings, and the u of u''."""
    for node in ast.walk(module):
        if isinstance(node, ast.Constant):
            node.kind = None
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if ast.get_docstring(node, clean=False) is not None:
                del node.body[0]
            if not node.body:
                node.body.append(ast.Pass())
