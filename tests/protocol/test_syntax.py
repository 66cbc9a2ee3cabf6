"""Syntax trees while other threads, and other code, build some as well."""

import ast
import gc
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from protocol.syntax import literal, syntax_tree

LONG = "x = [" + "[1], " * 3000 + "]\n"


@contextmanager
def at_each_collection(act: Callable[[], object]) -> Iterator[None]:
    """Act at each of many garbage collections."""
    threshold = gc.get_threshold()

    def on_phase(phase: str, _: object) -> None:
        if phase == "start":
            act()

    gc.callbacks.append(on_phase)
    gc.set_threshold(50)
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(on_phase)


def test_threads_may_build_trees_at_the_same_time() -> None:
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        # Any Python within a collection lets other threads go on.
        with at_each_collection(lambda: None), ThreadPoolExecutor(4) as threads:
            found = list(threads.map(syntax_tree, [LONG] * 40))
    finally:
        sys.setswitchinterval(interval_s)
    assert {ast.dump(tree) for tree in found} == {ast.dump(ast.parse(LONG))}


@pytest.mark.parametrize("read", [syntax_tree, lambda text: literal(text.partition("=")[2])])
def test_a_tree_that_other_code_disturbed_is_built_again(read: Callable[[str], object]) -> None:
    others = iter(range(10))  # as `traceback` does for an exception that is logged meanwhile
    with at_each_collection(lambda: ast.parse("a + b") if next(others, None) is not None else None):
        assert read(LONG) is not None
    assert next(others, None) is None  # so all ten came in between


@pytest.mark.parametrize("text", ["x = (", "x = 1\0", "(" * 9999])
def test_what_is_no_python_raises_what_ast_does(text: str) -> None:
    with pytest.raises((SyntaxError, ValueError, MemoryError, RecursionError)):
        syntax_tree(text)


@pytest.mark.parametrize("text", ["os.getcwd()", "[].append(1)", "{[]: 1}"])
def test_what_is_no_literal_raises_what_ast_does(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        literal(text)
