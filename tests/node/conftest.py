"""A fresh home, an open store and a notebook to write in."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.source.inspector import Inspected, InspectionRequest, answer
from node.home.home import Home
from node.line.line_writer import LineWriter
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.errors import Rejected
from protocol.hardware import HardwareClass
from tests.node.examples import HARDWARE_CLASS, Notebook
from tests.node.line_writers import with_baseline
from tests.node.night import Night, copied, whole_night
from tests.workers import LIGHT
from trainer.host.device import Device


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with Store.open(home) as store:
        yield store


@pytest.fixture
def blobs(home: Home) -> Blobs:
    return Blobs(home.blobs)


@pytest.fixture
def line_writer(home: Home, store: Store) -> LineWriter:
    """The books of a line whose baseline was measured."""
    return with_baseline(home, store)


@pytest.fixture(scope="session")
def written_night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A night whose store is closed, to be copied."""
    home = Home(tmp_path_factory.mktemp("night") / "home")
    with Store.open(home) as store:
        return whole_night(home, store)


@pytest.fixture
def night(home: Home, written_night: Night) -> Iterator[Night]:
    """A night in which everything happened."""
    shutil.copytree(written_night.home.root, home.root)
    with Store.open(home) as store:
        yield copied(written_night, home, store)


@pytest.fixture
def here(home: Home, monkeypatch: pytest.MonkeyPatch) -> Device:
    """Commands work on this home, on a machine of the examples' class."""
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    device = Device(hardware_class=HardwareClass(HARDWARE_CLASS, "cuda-other"))
    monkeypatch.setattr("node.running.line_resources.probe_devices", lambda *_: (device,))
    return device


@pytest.fixture
def notebook(home: Home, store: Store) -> Notebook:
    return Notebook(home, store)


@pytest.fixture
def inspected_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources of others, which these tests wrote themselves, are inspected in this process."""

    def ask(request: InspectionRequest) -> Inspected | Rejected:
        read = InspectionRequest.from_value(request.to_value())
        assert isinstance(read, InspectionRequest)
        return Inspected.from_value(answer(read).to_value())

    monkeypatch.setattr("node.source_review.inspection._ask", ask)


@pytest.fixture
def light_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are asked by a worker that does not import litellm."""
    monkeypatch.setattr("node.proposing.worker.PROGRAM", LIGHT)
