"""`arnode home gc` removes unreferenced blobs only."""

import json
from pathlib import Path

import pytest

from node.home.home import Home
from node.maintenance.fsck import examine
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.source import Source
from tests.node.examples import BASELINE, BETTER, BROKEN, LINE, Notebook
from tests.node.steps import FreeStep
from tests.node.test_commands import arnode


@pytest.fixture(autouse=True)
def at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))


def collect(capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    """Run it and return its figures."""
    figures: dict[str, int] = json.loads(arnode(capsys, "home", "gc", "--json"))
    return figures


def test_what_records_name_stays_and_a_leftover_goes(
    home: Home, notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.task_and_baseline()
    notebook.kept()
    notebook.crashed()
    blobs = Blobs(home.blobs)
    leftover = blobs.put_source(Source.of({"train.py": b"NEVER = 'recorded'\n"}))
    figures = collect(capsys)
    assert figures["blobs"] == 2
    assert figures["bytes"] > 0
    assert not blobs.has(leftover)
    assert [blobs.get_source(one.tree) for one in (BASELINE, BETTER, BROKEN)]
    assert [problem for problem in examine(home) if "journal" not in problem] == []
    assert collect(capsys)["blobs"] == 0


def test_what_a_job_or_a_planned_run_is_about_stays(
    home: Home, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    blobs = Blobs(home.blobs)
    planned, proposed = (
        blobs.put_source(Source.of({"train.py": text})) for text in (b"A = 1\n", b"B = 2\n")
    )
    job = store.jobs.open_job(LINE, FreeStep({"tree": proposed}), created_ms=1)
    store.jobs.plan_run(job.id, role="candidate", tree=planned, seed=1)
    assert collect(capsys)["blobs"] == 0
    assert blobs.get_source(planned)
    assert blobs.get_source(proposed)


def test_what_was_imported_stays(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.json"
    record = {"val_bpb": 1.0, "status": "keep", "train_py": "X = 1\n"}
    path.write_text(json.dumps(record))
    arnode(capsys, "import", "at-home", str(path))
    assert collect(capsys)["blobs"] == 0


def test_a_running_node_is_not_disturbed(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    with home.lock():
        assert "is running on the home" in arnode(capsys, "home", "gc", code=6)
