"""Helpers to load the clients of other tools, if installed, and to convert values for them.

The output of a client is meant for a terminal, and is sent to stderr.
"""

import contextlib
import importlib
import math
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from node.exports.tracked import TrackedRun
from protocol.errors import ConfigurationError


@contextlib.contextmanager
def client(
    package: str, module: str, variables: Mapping[str, str | None]
) -> Iterator[tuple[Any, str]]:
    """Yield a client's module and version, loaded with these environment variables.

    A variable that is None is unset while the block lasts. Output goes to stderr. Raises
    ConfigurationError if the client is not installed.
    """
    former = {name: os.environ.get(name) for name in variables}
    try:
        _set(variables)
        with contextlib.redirect_stdout(sys.stderr):
            yield _loaded(package, module)
    finally:
        _set(former)


@contextlib.contextmanager
def as_arnode_knows_it(package: str, version: str, since: str) -> Iterator[None]:
    """Raise a ConfigurationError with a hint if this version of a client has another interface."""
    try:
        yield
    except (AttributeError, TypeError, ValueError) as fault:
        raise ConfigurationError(
            f"{package} {version} does not work with arnode: {str(fault).splitlines()[0]}",
            f"install another version in arnode's environment: pip install '{package}>={since}'",
        ) from fault


def constants(run: TrackedRun) -> dict[str, float | str]:
    """Return a run's hyperparameters, with numbers as floats, so that trackers can plot them."""
    return {name: _number(text) for name, text in run.hyperparameters.items()}


def _number(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def iso_time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _loaded(package: str, module: str) -> tuple[ModuleType, str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return importlib.import_module(module), version(package)
    except (ImportError, PackageNotFoundError) as fault:
        raise ConfigurationError(
            f"the client `{package}` is not installed in arnode's environment",
            f"install it there: pip install {package}; `arnode export mlflow` needs no client",
        ) from fault
