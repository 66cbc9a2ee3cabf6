"""Rules for powerful calls: `torch.compile`, `getattr`, string annotations, and others."""

import ast
import re
import string
from collections.abc import Iterator

from agent.source import allowed
from agent.source.allowed import Use
from agent.source.canonical import parse
from agent.source.names import Names
from agent.source.options import Options

_CAPITALS = re.compile("[A-Z][A-Z0-9_]{0,30}")


def is_within(call: ast.Call, use: Use, options: Options) -> bool:
    """Return whether a call obeys a `Use` and hides no arguments behind a star."""
    if len(call.args) > use.positional or any(isinstance(one, ast.Starred) for one in call.args):
        return False
    first = next(iter(use.words.values()), None) if len(use.words) == 1 else None
    if first is not None and not all(_is_word(one, first) for one in call.args):
        return False
    for keyword in call.keywords:
        if keyword.arg is None:
            entries = options.entries(keyword.value)
        else:
            entries = [(keyword.arg, keyword.value)]
        if entries is None or not all(_fits(name, value, use) for name, value in entries):
            return False
    return True


def is_plain(node: ast.expr) -> bool:
    """Return whether a node is a number, truth value, None, name in capitals, or dict of these."""
    match node:
        case ast.Constant(value=value):
            is_name = isinstance(value, str) and _CAPITALS.fullmatch(value) is not None
            return value is None or isinstance(value, int | float) or is_name
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return is_plain(operand)
        case ast.Dict(keys=keys, values=values):
            return all(isinstance(key, ast.Constant) for key in keys) and all(map(is_plain, values))
    return False


def named(call: ast.Call) -> str | None:
    """Return the attribute name in `getattr(x, "name")` and similar calls; None if unknown."""
    match call.args:
        case [_, ast.Constant(value=str() as name), *rest] if not call.keywords:
            return None if any(isinstance(one, ast.Starred) for one in rest) else name
    return None


def prefix(call: ast.Call) -> str:
    """Return the constant beginning of the name in `getattr(x, f"prefix_{n}")`, or ""."""
    match call.args:
        case [_, ast.JoinedStr(values=[ast.Constant(value=str() as text), *_]), *rest] if (
            len(rest) < 2 and not call.keywords
        ):
            return "" if any(isinstance(one, ast.Starred) for one in rest) else text
    return ""


def is_plain_format(call: ast.AST | None, text: ast.expr) -> bool:
    """Return whether `text.format(…)` formats a literal whose fields access no attributes."""
    if not isinstance(call, ast.Call) or not isinstance(text, ast.Constant):
        return False
    if not isinstance(text.value, str):
        return False
    try:
        fields = [(name, spec) for _, name, spec, _ in string.Formatter().parse(text.value)]
    except ValueError:
        return True  # `format` raises the same error at run time
    return not any({".", "["} & {*(name or "")} or "{" in (spec or "") for name, spec in fields)


def unlisted_kernels(call: ast.Call, names: Names) -> Iterator[ast.AST]:
    """Yield the code by which `get_kernel` may load kernels of owners that are not allowed."""
    if len(call.args) != 1 or call.keywords:
        yield call
        return
    waiting, left = [call.args[0]], 16
    while waiting:
        node, left = waiting.pop(), left - 1
        match node:
            case _ if left < 0:
                yield call
                return
            case ast.Constant(value=str() as text):
                if text.split("/")[0] not in allowed.KERNELS:
                    yield node
            case ast.IfExp(body=body, orelse=other):
                waiting += [body, other]
            case ast.Name() if (values := names.values(node)) is not None:
                waiting += values
            case _:
                yield call
                return


def annotations(node: ast.AST) -> Iterator[ast.Constant]:
    """Yield the strings that are used as types, because they may be evaluated."""
    match node:
        case (
            ast.AnnAssign(annotation=found)
            | ast.arg(annotation=ast.expr() as found)
            | ast.FunctionDef(returns=ast.expr() as found)
            | ast.AsyncFunctionDef(returns=ast.expr() as found)
        ):
            for part in ast.walk(found):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part


def is_type(text: ast.Constant) -> bool:
    """Return whether a string is just a type, without anything that runs."""
    module = parse(str(text.value).encode("utf-8", "replace"))
    kinds = (
        *(ast.Module, ast.Expr, ast.Name, ast.Attribute, ast.Subscript, ast.Tuple, ast.List),
        *(ast.Constant, ast.BinOp, ast.BitOr, ast.Load),
    )
    return module is not None and all(isinstance(part, kinds) for part in ast.walk(module))


def is_called(node: ast.AST | None, parent: ast.AST | None) -> bool:
    """Return whether `parent` calls this node."""
    return isinstance(parent, ast.Call) and parent.func is node


def is_call_of(node: ast.AST, name: str) -> bool:
    """Return whether a node is a call of this name, such as `type(x)`."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def is_of_one(call: ast.Call) -> bool:
    """Return whether a call certainly has exactly one argument."""
    return len(call.args) == 1 and not call.keywords and not isinstance(call.args[0], ast.Starred)


def is_setting(name: ast.expr, value: ast.expr) -> bool:
    """Return whether an environment variable may be set to a value."""
    match name, value:
        case ast.Constant(value=str() as setting), ast.Constant(value=str() as word):
            return setting in allowed.SETTINGS and bool(allowed.SETTING.fullmatch(word))
    return False


def place(node: ast.AST, parent: ast.AST, names: Names) -> str:
    """Return how an uncalled name is used: "decorator", "base", "wrapped" (see `Use`), or ""."""
    if isinstance(parent, ast.FunctionDef | ast.ClassDef) and node in parent.decorator_list:
        return "decorator"
    if isinstance(parent, ast.ClassDef) and node in parent.bases:
        return "base"
    if isinstance(parent, ast.Call) and node in parent.args:
        is_open = any(keyword.arg is None for keyword in parent.keywords)
        if not is_open and names.paths(parent.func) & {"torch.compile", "functools.partial"}:
            return "wrapped"
    return ""


def _fits(name: str, value: ast.expr, use: Use) -> bool:
    if name in use.words:
        return _is_word(value, use.words[name])
    return is_plain(value) if name in use.plain else name in use.keywords


def _is_word(node: ast.expr, words: frozenset[str]) -> bool:
    return isinstance(node, ast.Constant) and (node.value is None or node.value in words)
