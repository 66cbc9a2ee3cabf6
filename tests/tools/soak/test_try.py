"""`arnode try`: a stand-in for a coding agent follows a program.md in autoresearch's manner.

`make soak PART=try` lets it make twenty edits.
"""

from pathlib import Path

import pytest

from agent.source.edits import reapply
from node.home.home import Home
from node.store.store import Store
from tests.integration.nodes import TASK_FLAGS, arnode, arnode_json, fault_of, running_node
from tools.soak.try_ import Edit, StandIn, crash, figures
from trainer.task_folder.task import Task

DOCUMENTED = {"v", "task", "tree", "class", "runs", "metric", "sd", "decision"}


def good(task: Task) -> str:
    """Five standard deviations better: two of the task's own moves."""
    source = task.source
    for move in task.moves:
        if move.name in {"muon", "small-embeddings"}:
            changed = reapply(move.edits, source)
            assert changed is not None
            source = changed
    return source["train.py"].decode()


def slow(text: str) -> str:
    """Far worse: it hardly learns."""
    assert "\nLEARNING_RATE = 1e-2\n" in text
    return text.replace("\nLEARNING_RATE = 1e-2\n", "\nLEARNING_RATE = 1e-5\n")


@pytest.mark.soak
def test_an_agent_advances_goes_back_and_sees_its_crash(
    home: Path, tmp_path: Path, short_task: Task
) -> None:
    agent = StandIn(home=home, folder=tmp_path / "agent" / "work")
    agent.begins()
    before = agent.text

    kept = agent.experiments(Edit(title="muon and small embeddings", text=good(short_task)))
    assert (kept.decision, kept.exit_code) == ("keep", 0)
    assert arnode(home, "head", "--working").stdout == agent.text != before

    discarded = agent.experiments(Edit(title="slower", text=slow(agent.text)))
    assert (discarded.decision, discarded.exit_code) == ("discard", 0)

    crashed = agent.experiments(Edit(title="a slip", text=crash(agent.text)))
    assert (crashed.decision, crashed.exit_code, crashed.metric) == ("crash", 1, None)
    assert "NameError" in agent.does("look").stdout
    assert agent.text == good(short_task)

    # A second seed is no second chance: the first result answers, and nothing runs.
    runs = len(arnode_json(home, "log")["experiments"])
    agent.write(slow(agent.text) + "# once more\n")
    again = agent.runs("slower")
    assert (again.decision, again.metric) == ("discard", discarded.metric)
    assert len(arnode_json(home, "log")["experiments"]) == runs

    found = figures(agent)
    assert found["problems"] == []
    assert found["holds"]


@pytest.mark.soak
def test_a_running_node_takes_the_source_before_its_own_ideas(
    home: Path, tmp_path: Path, short_task: Task
) -> None:
    (tmp_path / "train.py").write_text(slow(short_task.source["train.py"].decode()))
    with running_node(home, task=TASK_FLAGS) as node:
        node.wait_for("baseline measured")
        document = arnode_json(home, "try", "-m", "slower\n\nto see", "--folder", str(tmp_path))
        assert set(document) >= DOCUMENTED
        assert document["decision"] == "discard"
        assert document["runs"][-1]["metric"] == document["metric"]
        (entry,) = (e for e in arnode_json(home, "log")["experiments"] if e["title"] == "slower")
        assert (entry["id"], entry["origin"]) == (document["result"], "try")
        refused = fault_of(home, "try", "--task", "tiny", "--folder", str(tmp_path), code=2)
        assert "works on a task other than tiny" in refused
        (tmp_path / "train.py").write_text("def\n")
        assert "not Python" in fault_of(home, "try", "--folder", str(tmp_path), code=2)
        assert node.process.poll() is None
    with Store.open_read_only(Home(home)) as store:
        patch = store.records.get(bytes.fromhex(entry["id"])).body.to_value()["patch"]  # type: ignore[index,call-overload]
        assert isinstance(patch, bytes)
        body = store.records.patch(patch)
    assert body is not None
    assert body.why == "slower\n\nto see"


def test_what_cannot_be_tried_is_said_before_anything_runs(
    home: Path, tmp_path: Path, short_task: Task
) -> None:
    folder = tmp_path / "folder"
    words = ("try", *TASK_FLAGS, "--folder", str(folder))
    assert "no train.py" in fault_of(home, *words, code=2)
    folder.mkdir()
    path = folder / "train.py"
    path.mkdir()
    assert "cannot be read" in fault_of(home, *words, code=2)
    path.rmdir()
    path.write_bytes(short_task.source["train.py"] + "\u202e".encode())
    assert "hidden character" in fault_of(home, *words, code=2)
    path.write_bytes(short_task.source["train.py"] + b"#" + bytes(range(33, 127)) * 400)
    assert "tinny" in fault_of(home, "try", "--task", "tinny", code=2)
    assert not Home(home).store.exists() or arnode_json(home, "log")["experiments"] == []
