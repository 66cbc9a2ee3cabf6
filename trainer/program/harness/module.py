"""Imports a program as a module, and calls its functions for an imported evaluator.

The module is imported at the first message, so that the evaluator can handle a failure. Printed
output is a log. Everything that this process sends is untrusted.
"""

import importlib.util
import inspect
import io
import os
import random
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from trainer.program.harness.crossing import (
    CALLABLE,
    GET,
    LOAD,
    MISSING,
    MOST_WORDS,
    RAISED,
    REFUSED,
    VALUE,
    NotPlain,
    not_finite,
    packed,
    plain,
    unpacked,
)
from trainer.program.harness.tags import MESSAGE, REPLY
from trainer.sandbox.inside.channel import SERVING, Channel


def serve(channel: Channel, job: dict[str, Any]) -> None:
    """Answer messages until the node ends the sandbox."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the process is killed after the last call
    random.seed(job["seed"])
    np.random.seed(job["seed"])
    channel.send(SERVING)
    module: ModuleType | None = None
    while True:
        tag, payload, _ = channel.receive()
        if tag != MESSAGE:
            raise SystemExit(f"unknown request {tag!r}")
        what, name, arguments, named = unpacked(payload, is_finite=False)
        reply: tuple[str, Any]
        try:
            if what == LOAD or module is None:
                module = _imported(job["module"])
                reply = VALUE, _names(module)
            elif what == GET:
                reply = _got(module, name)
            else:
                reply = _called(module, name, arguments, named)
        except Exception as fault:  # noqa: BLE001 -- a candidate may raise anything
            traceback.print_exc()
            reply = RAISED, f"{type(fault).__name__}: {fault}"[:MOST_WORDS]
        channel.send(REPLY, packed(reply))


def _imported(path: str) -> ModuleType:
    """Import the program as an evaluator would: from the program's folder, by the file's name."""
    folder = str((Path.cwd() / path).parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
        # The program may import files next to the evaluator, so add their folders to the path.
        others = {str(one.parent) for one in Path.cwd().rglob("*.py")}
        sys.path.extend(sorted(others - set(sys.path)))
    name = Path(path).stem
    spec = importlib.util.spec_from_file_location(name, Path.cwd() / path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    os.chdir(folder)
    spec.loader.exec_module(module)
    return module


def _names(module: ModuleType) -> dict[str, list[Any]]:
    """Return the names of a module, with the parameters of those that are callable."""
    found = {}
    for name, value in vars(module).items():
        if name.startswith("__") or isinstance(value, ModuleType):
            continue
        if callable(value):
            found[name] = [CALLABLE, _parameters(value)]
        else:
            found[name] = [VALUE, None]
    return found


def _parameters(function: object) -> list[Any] | None:
    """Return a function's parameters: name, kind, and True if there is a default."""
    try:
        parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return [
        [one.name, int(one.kind), one.default is not inspect.Parameter.empty] for one in parameters
    ]


def _got(module: ModuleType, name: str) -> tuple[str, Any]:
    try:
        value = getattr(module, name)
    except AttributeError as fault:
        return MISSING, str(fault)[:MOST_WORDS]
    if isinstance(value, ModuleType):
        return MISSING, f"{name} is a module: pass only plain data"
    if callable(value):
        return CALLABLE, _parameters(value)
    return _valued(value, name)


def _called(
    module: ModuleType, name: str, arguments: list[Any], named: dict[str, Any]
) -> tuple[str, Any]:
    returned = getattr(module, name)(*arguments, **named)
    return _valued(returned, f"what {name}() returned")


def _valued(value: object, place: str) -> tuple[str, Any]:
    try:
        given = plain(value, place)
    except NotPlain as fault:
        return REFUSED, str(fault)[:MOST_WORDS]
    if (where := not_finite(given, place)) is not None:
        return RAISED, f"{where} is not a finite number"[:MOST_WORDS]
    return VALUE, given
