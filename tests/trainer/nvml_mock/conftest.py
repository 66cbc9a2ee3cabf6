"""A child process with the mock as its driver, in which tests call functions.

NVML's binding keeps a loaded library for ever, so no test may load one in this process.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar
from unittest import mock

import pytest

from tests.trainer.nvml_mock.machine import Machine, build

_PATIENCE_S = 60.0
P = ParamSpec("P")
T = TypeVar("T")


class Child:
    """A process that finds a library and a machine, and calls functions of modules."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def __call__(self, call: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Call a function there; return its result, or raise its error."""
        return self._pool.submit(call, *args, **named).result(timeout=_PATIENCE_S)


@contextmanager
def child_of(library: Path, machine: Machine) -> Iterator[Child]:
    """Yield a child that finds this library first, and this machine through it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with mock.patch.dict(os.environ, machine.environment(library)):
            pool.submit(os.getpid).result(timeout=_PATIENCE_S)  # it starts now
        yield Child(pool)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that contains the library."""
    return build(tmp_path_factory.mktemp("nvml") / "library")


@pytest.fixture(scope="session")
def mock_machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Return the machine of this session's child."""
    return Machine(tmp_path_factory.mktemp("nvml") / "machine")


@pytest.fixture(scope="session")
def child(library: Path, mock_machine: Machine) -> Iterator[Child]:
    with child_of(library, mock_machine) as child:
        yield child


@pytest.fixture
def machine(mock_machine: Machine) -> Machine:
    """Return the machine, still without a card."""
    mock_machine.has()
    return mock_machine
