"""A child process that has the mock for its driver: what a test asks of it, it calls there.

NVML's binding keeps the library that it loaded for good, so that no test may load one in here.
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
    """A process that finds a library and a machine, and calls functions of modules there."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def __call__(self, call: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Return what a call returns there, or raise what it raises."""
        return self._pool.submit(call, *args, **named).result(timeout=_PATIENCE_S)


@contextmanager
def child_of(library: Path, machine: Machine) -> Iterator[Child]:
    """Have a child that finds this library first, and this machine through it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with mock.patch.dict(os.environ, machine.environment(library)):
            pool.submit(os.getpid).result(timeout=_PATIENCE_S)  # it starts now
        yield Child(pool)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the library lies."""
    return build(tmp_path_factory.mktemp("nvml") / "library")


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """The machine of this session's child."""
    return Machine(tmp_path_factory.mktemp("nvml") / "machine")


@pytest.fixture(scope="session")
def child(library: Path, told: Machine) -> Iterator[Child]:
    with child_of(library, told) as child:
        yield child


@pytest.fixture
def machine(told: Machine) -> Machine:
    """The machine, with no card in it yet."""
    told.has()
    return told
