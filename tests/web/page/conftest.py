"""A real browser on the page of a real home with 1,000 experiments."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from node.home.home import Home
from node.store.store import Store
from tests.conftest import one_at_a_time
from tests.web.page.browser import chromium
from tests.web.page.full_store import Full, fill
from tests.web.page.served import ServedHome
from tests.web.page.visitor import Visitor


@pytest.fixture(scope="module", name="chromium")
def _chromium() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def full_home(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> tuple[Home, Full]:
    made, document = shared / "page", shared / "page.json"
    with one_at_a_time(made):
        if not document.exists():
            with Store.open(Home(made)) as store:
                document.write_text(json.dumps(asdict(fill(Home(made), store))))
    home = tmp_path_factory.mktemp("page") / "home"
    shutil.copytree(made, home)
    return Home(home), Full(**json.loads(document.read_text()))


@pytest.fixture(scope="session")
def full(full_home: tuple[Home, Full]) -> Full:
    return full_home[1]


@pytest.fixture(scope="session")
def served(full_home: tuple[Home, Full]) -> Iterator[ServedHome]:
    with ServedHome(full_home[0]) as served:
        yield served


@pytest.fixture(scope="module")
def tab(chromium: Any, served: ServedHome) -> Iterator[Visitor]:
    """The tab of somebody who has opened the page with a link that steers."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    with Visitor(context, served.link()) as visitor:
        yield visitor
    context.close()


@pytest.fixture
def visitor(tab: Visitor, served: ServedHome) -> Visitor:
    """Somebody who has just opened the page, which remembers nothing of an earlier test."""
    tab.start_again(served.link())
    return tab
