"""`arnode head --weights`: the model of a head, which plain torch loads and samples from."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from node.home.home import Home
from node.on_demand.head_model import with_budget
from node.store.store import Store
from tests.integration.nodes import TASK_FLAGS, answered, arnode, arnode_json, running_node
from tests.traps import Traps
from trainer.task_folder.task import Task


@pytest.fixture(scope="module")
def home(make_home: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose head is the baseline."""
    place = make_home(tmp_path_factory.mktemp("node") / "home")
    with running_node(place, "--agent", "none", task=TASK_FLAGS) as node:
        node.wait_for("out of ideas")
        node.interrupt()
        node.end()
    return place


@pytest.mark.soak
def test_a_model_loads_into_its_script_and_continues_a_text_without_arnode(
    home: Path, tmp_path: Path
) -> None:
    """The head and the baseline are trained with another budget than the task's."""
    folder, here = tmp_path / "model", tmp_path / "here"
    here.mkdir()
    traps = Traps(here, without=("node", "site", "sitecustomize", "typing", "pathlib"))
    words = (*TASK_FLAGS, "--weights", str(folder), "--budget", "8192", "--json")
    document = json.loads(arnode(home, "head", *words, cwd=here).stdout)
    assert traps.imported == ""
    assert sorted(document["files"]) == sorted(path.name for path in folder.iterdir())
    assert document["untrusted_lines"] == 0
    assert document["metric"] > 0
    assert document["baseline"] > 0
    assert (folder / "train.py").read_text() == answered(home, "head").stdout
    state = torch.load(folder / "model.pt", weights_only=True)
    described = json.loads((folder / "model.json").read_text())
    assert described["budget_tokens"] == 8192
    assert state["embedding.weight"].shape[0] == described["vocabulary_size"]
    done = subprocess.run(
        [sys.executable, "model/sample.py", "Ada gave", "12"],  # as the README runs it
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Ada gave")
    assert len(done.stdout) > len("Ada gave\n")
    with Store.open_read_only(Home(home)) as store:  # outside competition: nothing is recorded
        assert [entry.stage for entry in store.experiments.listed()] == ["baseline"]


def test_without_another_budget_a_task_keeps_its_own(short_task: Task) -> None:
    assert with_budget(short_task, None) is short_task


@pytest.mark.soak
def test_a_replay_of_its_training_measures_the_same_public_figure(
    home: Path, tmp_path: Path
) -> None:
    (entry,) = arnode_json(home, "log")["experiments"]
    recorded, *_ = arnode_json(home, "show", entry["id"])["body"]["runs"]
    arnode_json(home, "export", "experiment", entry["id"], str(tmp_path / "replay"))
    words = (*TASK_FLAGS, "--source", str(tmp_path / "replay" / "train.py"))
    # In this process, whose zygotes have imported torch.
    said = answered(home, "run", *words, "--seed", str(recorded["seed"]), "--json").stdout
    document = json.loads(said)
    (run,) = document["runs"]
    assert document["tree"] == entry["tree"]
    assert round(run["metric"] * 1e9) == recorded["metric"]
    assert set(run["audit"]) == {"k", "mean", "se", "max"}


@pytest.mark.soak
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--weights", "full"), "is not an empty folder"),
        (("--budget", "5"), "--budget needs --weights"),
        (("--weights", "new", "--provenance"), "exclude each other"),
        (("--json",), "cannot be printed as JSON"),
    ],
)
def test_what_cannot_be_asked_is_said(
    home: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    given = [str(tmp_path / word) if word in ("full", "new") else word for word in words]
    assert said in answered(home, "head", *given, code=2).stderr
