"""Homes whose data is there already, so that a test's first run starts at once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from node.home.home import Home
from node.store.store import Store
from tests.conftest import one_at_a_time
from tests.integration.nodes import UNHURRIED_FLAGS, arnode
from trainer.language_model.data import TaskData

# With this seed the keyless proposer soon comes upon moves that gain on the short task.
PROPOSALS = 1_732_226_569


@pytest.fixture(scope="session")
def make_home(data_dir: Path, short_data: TaskData) -> Callable[[Path], Path]:
    """Make a home that knows the short task's data and has done nothing yet."""

    def make(root: Path) -> Path:
        home = Home(root)
        home.prepare()
        shutil.copytree(data_dir, home.data, dirs_exist_ok=True)
        with Store.open(home) as store:
            store.set_meta("proposal-seed", PROPOSALS.to_bytes(4, "big"))
        return root

    return make


@pytest.fixture
def home(tmp_path: Path, make_home: Callable[[Path], Path]) -> Path:
    return make_home(tmp_path / "home")


@pytest.fixture(scope="session")
def worked(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a session of three experiments has ended by itself. Only to be read."""
    ended = shared / "worked"
    with one_at_a_time(ended):
        if not ended.exists():
            begun = tmp_path_factory.mktemp("worked") / "begun"
            arnode(begun, "start", *UNHURRIED_FLAGS, "--max-experiments", "3")
            begun.rename(ended)
    own = tmp_path_factory.mktemp("worked") / "home"  # readers, too, open its database and lock it
    shutil.copytree(ended, own, symlinks=True)
    return own


@pytest.fixture
def copied(worked: Path, tmp_path: Path) -> Path:
    """A copy of that home, to be worked on and spoilt."""
    shutil.copytree(worked, tmp_path / "home", symlinks=True)
    return tmp_path / "home"
