"""A fresh home, an open store and a notebook to write in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.home.home import Home
from node.store.store import Store
from tests.node.examples import Notebook


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with Store.open(home) as store:
        yield store


@pytest.fixture
def notebook(home: Home, store: Store) -> Notebook:
    return Notebook(home, store)
