"""`export mlflow|wandb|trackio`: a line's experiments in the formats of experiment trackers."""

import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from arnode_plugins.mlflow import experiment_id_of, write_mlflow
from arnode_plugins.trackio import write_trackio
from arnode_plugins.wandb import write_wandb
from node.exports.tracked import TrackedLine, TrackedRun, tracked_line, tracked_runs
from node.home.home import Home
from node.store.blobs import Blobs
from protocol.codecs import plain
from protocol.errors import ConfigurationError
from tests.node.examples import HARDWARE_CLASS, TASK
from tests.node.night import HOSTILE, Night
from tests.node.test_commands import arnode

# https://mlflow.org/docs/latest/tracking: what MLflow's own store writes.
EXPERIMENT = {
    "artifact_location", "creation_time", "experiment_id", "last_update_time", "lifecycle_stage",
    "name",
}  # fmt: skip
RUN = {
    "artifact_uri", "end_time", "entry_point_name", "experiment_id", "lifecycle_stage", "run_id",
    "run_name", "run_uuid", "source_name", "source_type", "source_version", "start_time", "status",
    "tags", "user_id",
}  # fmt: skip


def runs_of(night: Night) -> tuple[TrackedLine, list[TrackedRun]]:
    line = night.line_writer.known_line
    found = tracked_runs(night.store, Blobs(night.home.blobs), line)
    return tracked_line(night.store, line), list(found)


# The exported fields of an experiment


def test_every_experiment_is_a_run_with_what_was_measured_and_decided(night: Night) -> None:
    about, runs = runs_of(night)
    entries = night.store.experiments.listed()
    assert (about.task, about.hardware_class, about.metric) == ("tiny", HARDWARE_CLASS, "val_bpb")
    assert [run.id for run in runs] == [entry.id for entry in entries]
    assert [run.step for run in runs] == list(range(len(entries)))
    assert len({run.name for run in runs}) == len({run.key for run in runs}) == len(runs)
    baseline, screened = runs[:2]
    assert baseline.title == "baseline"
    assert (baseline.figures["val_bpb"], baseline.hyperparameters) == (1.5, {})
    assert (screened.tags["decision"], screened.tags["was.LEARNING_RATE"]) == ("discarded", "0.1")
    assert screened.hyperparameters == {"LEARNING_RATE": "0.200"}
    assert screened.figures["device_seconds"] > 0
    assert screened.ended_ms - screened.began_ms == 1000 * screened.figures["device_seconds"]


def test_failures_are_runs_too_with_their_reason(night: Night) -> None:
    _, runs = runs_of(night)
    failed = [run for run in runs if run.is_failure]
    assert [run.tags["status"] for run in failed] == ["crash", "rejected"]
    assert "val_bpb" not in failed[0].figures
    assert failed[0].tags["reason"] == plain(HOSTILE)


def test_the_same_task_and_class_have_one_name_and_no_other_has() -> None:
    one = TrackedLine(task="a", task_id=bytes(32), hardware_class="cpu", metric="m")
    other = TrackedLine(task="a", task_id=bytes([1] * 32), hardware_class="cpu", metric="m")
    assert one.name == "a (00000000) on cpu"
    assert one.key == "arnode-a-00000000-cpu"
    assert {one.name, one.key}.isdisjoint({other.name, other.key})
    assert experiment_id_of(one) != experiment_id_of(other)


# MLflow


def test_mlflow_finds_its_own_layout(night: Night, tmp_path: Path) -> None:
    about, runs = runs_of(night)
    assert write_mlflow(tmp_path / "mlruns", about, runs) == len(runs)
    (place,) = (tmp_path / "mlruns").iterdir()
    meta = yaml.safe_load((place / "meta.yaml").read_text())
    assert set(meta) == EXPERIMENT
    assert (meta["name"], meta["experiment_id"]) == (about.name, place.name)
    assert place.name.isdigit()
    homes = [path for path in place.iterdir() if path.is_dir()]
    assert {home.name for home in homes} == {run.key for run in runs}
    for run in runs:
        home = place / run.key
        kept = yaml.safe_load((home / "meta.yaml").read_text())
        assert set(kept) == RUN
        assert kept["run_id"] == kept["run_uuid"] == run.key
        assert kept["run_name"] == run.name
        assert kept["status"] == (4 if run.is_failure else 3)
        assert kept["artifact_uri"] == (home / "artifacts").as_uri()
        assert kept["start_time"] <= kept["end_time"]
        for name, value in run.figures.items():
            when, figure, step = (home / "metrics" / name).read_text().split()
            assert (int(when), float(figure), int(step)) == (run.ended_ms, value, run.step)
        params = {path.name: path.read_text() for path in (home / "params").iterdir()}
        assert params == run.hyperparameters
        assert (home / "tags" / "decision").read_text() == run.tags["decision"]
        assert (home / "tags" / "mlflow.runName").read_text() == run.name


def test_again_into_the_same_folder_replaces_its_own_and_nothing_else(
    night: Night, tmp_path: Path
) -> None:
    about, runs = runs_of(night)
    other = tmp_path / "0" / "meta.yaml"
    other.parent.mkdir()
    other.write_text("name: Default\n")
    write_mlflow(tmp_path, about, runs[:3])

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    write_mlflow(tmp_path, about, runs)
    first = files()
    write_mlflow(tmp_path, about, runs)
    assert files() == first
    assert first[other] == b"name: Default\n"


def test_the_command_says_what_it_wrote(
    night: Night,
    home: Home,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    count = len(night.store.experiments.listed())
    said = json.loads(arnode(capsys, "export", "mlflow", str(tmp_path / "a"), "--json"))
    assert (said["format"], said["runs"]) == ("mlflow", count)
    assert said["task"] == {"id": TASK.hex(), "name": "tiny"}
    text = arnode(capsys, "export", "mlflow", str(tmp_path / "b"), "--task", "tiny")
    assert f"{count} runs of tiny" in text


def test_where_no_folder_can_be_is_one_clear_error(
    night: Night,
    home: Home,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    (tmp_path / "file").touch()
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "is not a folder" in arnode(capsys, "export", "mlflow", str(target), code=2)


# Clients


@pytest.mark.parametrize("client", ["wandb", "trackio"])
def test_a_client_that_is_missing_is_named_with_its_fix(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    monkeypatch.setitem(sys.modules, client, None)
    monkeypatch.setitem(sys.modules, "trackio.sqlite_storage", None)
    write = {"wandb": write_wandb, "trackio": write_trackio}[client]
    before = dict(os.environ)
    with pytest.raises(ConfigurationError, match=f"`{client}` is not installed") as caught:
        write(tmp_path, *runs_of(night))
    assert f"pip install {client}" in caught.value.hint
    assert dict(os.environ) == before


def test_mlflow_reads_it(night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    entities = pytest.importorskip("mlflow.entities")
    file_store = pytest.importorskip("mlflow.store.tracking.file_store")
    about, runs = runs_of(night)
    write_mlflow(tmp_path, about, runs)
    kept = file_store.FileStore(str(tmp_path))
    experiment = kept.get_experiment_by_name(about.name)
    found = kept.search_runs([experiment.experiment_id], "", entities.ViewType.ACTIVE_ONLY)
    assert {one.info.run_id for one in found} == {run.key for run in runs}
    by_id = {one.info.run_id: one for one in found}
    for run in runs:
        one = by_id[run.key]
        assert one.data.metrics == pytest.approx(dict(run.figures))
        assert one.data.params == run.hyperparameters
        assert one.data.tags["decision"] == run.tags["decision"]
        assert one.info.run_name == run.name


def test_wandb_writes_offline_runs(night: Night, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    about, runs = runs_of(night)
    assert write_wandb(tmp_path, about, runs[:2]) == 2
    assert write_wandb(tmp_path, about, runs[:3]) == 1
    folders = [path.name for path in (tmp_path / "wandb").glob("offline-run-*")]
    assert {name.rsplit("-", 1)[1] for name in folders} == {run.key for run in runs[:3]}
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert "requirements.txt" not in {path.name for path in written}


def test_trackio_keeps_each_run_once(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))  # which it reads when it is loaded
    pytest.importorskip("trackio")
    about, runs = runs_of(night)
    assert write_trackio(tmp_path, about, runs[:3]) == 3
    assert write_trackio(tmp_path, about, runs) == len(runs) - 3
    storage = sys.modules["trackio.sqlite_storage"].SQLiteStorage
    assert set(storage.get_runs(about.key)) == {run.name for run in runs}
    assert [path.name for path in tmp_path.glob("*.db")] == [f"{about.key}.db"]


# The clients are other people's; these stand where they do, at the calls that arnode makes.


class Wandb(ModuleType):
    """A client that keeps what it is given, and a file for each run as wandb has one."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.runs: list[WandbRun] = []

    def Settings(self, **given: object) -> dict[str, object]:  # noqa: N802 (wandb's name)
        return given

    def init(self, **given: Any) -> "WandbRun":
        place = Path(given["dir"]) / "wandb" / f"offline-run-{given['id']}"
        place.mkdir(parents=True)
        (place / f"run-{given['id']}.wandb").touch()
        self.runs.append(WandbRun(given))
        return self.runs[-1]


class WandbRun:
    """A run of that client."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.logged: list[dict[str, float]] = []
        self.summary: dict[str, str] = {}
        self.exit_code: int | None = None

    def log(self, figures: dict[str, float]) -> None:
        self.logged.append(figures)

    def finish(self, *, exit_code: int) -> None:
        self.exit_code = exit_code


class Storage:
    """trackio's storage, in memory; `folder` is where it says that its database is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: dict[str, dict[str, Any]] = {}

    def get_project_db_path(self, project: str) -> Path:
        return self.folder / f"{project}.db"

    def get_runs(self, project: str) -> list[str]:
        return list(self.runs)

    def bulk_log(self, *, run: str, **given: Any) -> None:
        assert run not in self.runs
        self.runs[run] = given


def install(monkeypatch: pytest.MonkeyPatch, name: str, module: ModuleType) -> None:
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("importlib.metadata.version", lambda _: "1.2.3")


def test_wandb_is_given_each_run_once_and_nothing_of_the_machine(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Wandb()
    install(monkeypatch, "wandb", client)
    about, runs = runs_of(night)
    before = dict(os.environ)
    assert write_wandb(tmp_path, about, runs[:3]) == 3
    assert write_wandb(tmp_path, about, runs) == len(runs) - 3
    assert dict(os.environ) == before
    assert [one.given["id"] for one in client.runs] == [run.key for run in runs]
    for one, run in zip(client.runs, runs, strict=True):
        assert one.given["mode"] == "offline"
        assert one.given["settings"]["host"] == ""
        assert one.given["settings"]["x_save_requirements"] is False
        assert one.logged == [{**run.figures, "experiment": run.step}]
        assert one.exit_code == run.is_failure
    assert client.runs[1].given["config"]["LEARNING_RATE"] == 0.2


def test_trackio_is_given_each_run_once(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(tmp_path)
    module = ModuleType("trackio.sqlite_storage")
    module.SQLiteStorage = storage  # type: ignore[attr-defined]
    install(monkeypatch, module.__name__, module)
    monkeypatch.setitem(sys.modules, "trackio", ModuleType("trackio"))
    about, runs = runs_of(night)
    assert write_trackio(tmp_path, about, runs[:3]) == 3
    assert write_trackio(tmp_path, about, runs) == len(runs) - 3
    assert list(storage.runs) == [run.name for run in runs]
    given = storage.runs[runs[1].name]
    assert (given["metrics_list"], given["steps"]) == ([dict(runs[1].figures)], [1])
    assert given["config"]["LEARNING_RATE"] == 0.2


def test_a_trackio_that_writes_elsewhere_or_has_other_calls_is_not_used(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("trackio.sqlite_storage")
    install(monkeypatch, module.__name__, module)
    monkeypatch.setitem(sys.modules, "trackio", ModuleType("trackio"))
    with pytest.raises(ConfigurationError, match=r"trackio 1\.2\.3 does not work with arnode"):
        write_trackio(tmp_path, *runs_of(night))
    elsewhere = Storage(tmp_path / "elsewhere")
    module.SQLiteStorage = elsewhere  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="it writes to"):
        write_trackio(tmp_path, *runs_of(night))
    assert elsewhere.runs == {}
