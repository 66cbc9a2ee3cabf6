"""An exporter of runs in the format of MLflow's file store, which does not need MLflow.

    DIR/EXPERIMENT/meta.yaml
    DIR/EXPERIMENT/RUN/meta.yaml, metrics/NAME, params/NAME, tags/NAME, artifacts/

A metric is a line of milliseconds, value and step. A parameter or a tag is a file with its value.
Ids are derived from records, so a second export into the same folder replaces its own runs and
leaves all others alone.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from node.exports.exporters import Exporter, make_folder
from node.exports.tracked import TrackedLine, TrackedRun
from node.home.faults import explaining_faults

_FINISHED, _FAILED = 3, 4  # of MLflow's RunStatus
_LOCAL: Final = 4  # of its SourceType
_USER: Final = "arnode"


def write_mlflow(folder: Path, line: TrackedLine, runs: Iterable[TrackedRun]) -> int:
    """Write an experiment with its runs into a file store; return the number of runs.

    Raises ArnodeError if the folder cannot be written.
    """
    experiment_id = experiment_id_of(line)
    place = make_folder(folder / experiment_id)
    count, first_ms, last_ms = 0, 0, 0
    with explaining_faults(place):
        for run in runs:
            _write_run(place, experiment_id, run)
            count += 1
            first_ms = first_ms or run.began_ms
            last_ms = max(last_ms, run.ended_ms)
        _write_yaml(
            place / "meta.yaml",
            {
                "artifact_location": place.as_uri(),
                "creation_time": first_ms,
                "experiment_id": experiment_id,
                "last_update_time": last_ms,
                "lifecycle_stage": "active",
                "name": line.name,
            },
        )
    return count


def experiment_id_of(line: TrackedLine) -> str:
    """Return the MLflow experiment id of a line, the same in every export."""
    digest = hashlib.sha256(line.task_id + line.hardware_class.encode()).digest()
    return str(10**17 + int.from_bytes(digest[:7], "big"))


def _write_run(place: Path, experiment_id: str, run: TrackedRun) -> None:
    home = place / run.key
    for name in ("artifacts", "metrics", "params", "tags"):
        (home / name).mkdir(parents=True, exist_ok=True)
    for name, figure in run.figures.items():
        _write(home / "metrics" / name, f"{run.ended_ms} {figure!r} {run.step}\n")
    tags = {**run.tags, "mlflow.runName": run.name, "mlflow.user": _USER}
    for kind, values in (("params", run.hyperparameters), ("tags", tags)):
        for name, value in values.items():
            _write(home / kind / name, value)
    _write_yaml(
        home / "meta.yaml",
        {
            "artifact_uri": (home / "artifacts").as_uri(),
            "end_time": run.ended_ms,
            "entry_point_name": "",
            "experiment_id": experiment_id,
            "lifecycle_stage": "active",
            "run_id": run.key,
            "run_name": run.name,
            "run_uuid": run.key,
            "source_name": "",
            "source_type": _LOCAL,
            "source_version": "",
            "start_time": run.began_ms,
            "status": _FAILED if run.is_failure else _FINISHED,
            "tags": [],
            "user_id": _USER,
        },
    )


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_yaml(path: Path, document: Mapping[str, object]) -> None:
    """Write a mapping of plain values as YAML, each value in JSON, which YAML can read."""
    lines = (f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in document.items())
    _write(path, "".join(lines))


EXPORTER: Final = Exporter(
    summary="""Write the experiments into DIR as MLflow's file store.

    MLflow need not be installed. `mlflow ui --backend-store-uri DIR` shows them; since 3.13 this
    needs MLFLOW_ALLOW_FILE_STORE=true, or `mlflow migrate-filestore` first. A second export into
    the same folder replaces the first.""",
    write=write_mlflow,
)
