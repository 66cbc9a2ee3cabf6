"""Writes runs through the clients of wandb and trackio, where they are installed, and offline.

Nothing leaves this machine: wandb writes what `wandb sync` takes, trackio a database that its page
shows. What the clients print is for a terminal, and goes to stderr.
"""

import contextlib
import importlib
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from node.exports.folders import make_folder
from node.exports.tracked import TrackedLine, TrackedRun
from node.home.faults import explaining_faults
from protocol.errors import ConfigurationError

_WANDB: Final = {
    "WANDB_MODE": "offline",
    "WANDB_CONSOLE": "off",
    "WANDB_DISABLE_CODE": "true",
    "WANDB_DISABLE_GIT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
}
_TRACKIO: Final = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    # What the user may have set for their own runs would upload these, too.
    "TRACKIO_BUCKET_ID": None,
    "TRACKIO_DATASET_ID": None,
    "TRACKIO_SERVER_URL": None,
    "TRACKIO_SPACE_ID": None,
}


def write_wandb(folder: Path, line: TrackedLine, runs: Iterable[TrackedRun]) -> int:
    """Write an offline run of wandb for each that is not there yet; return how many were written.

    Raises ConfigurationError where its client is not installed, or is one that arnode does not
    know.
    """
    folder = make_folder(folder)
    known = {path.stem.removeprefix("run-") for path in folder.glob("wandb/*/run-*.wandb")}
    variables = {**_WANDB, "WANDB_DIR": str(folder)}
    count = 0
    with _client("wandb", "wandb", variables) as (wandb, version), explaining_faults(folder):
        for run in runs:
            if run.key in known:
                continue
            with _as_arnode_knows_it("wandb", version, "0.19"):
                _log_to_wandb(wandb, folder, line, run)
            count += 1
    return count


def _log_to_wandb(wandb: Any, folder: Path, line: TrackedLine, run: TrackedRun) -> None:
    settings = wandb.Settings(
        host="",  # whoever it is shared with need not know what this machine is called
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    written = wandb.init(
        dir=str(folder),
        mode="offline",
        project=line.key,
        id=run.key,
        name=run.name,
        notes="",
        tags=[run.tags["decision"], run.tags["stage"]],
        # Its own times are those of the export, whatever a client says.
        config={**_values(run), "arnode": {**run.tags, "ended": _iso(run.ended_ms)}},
        settings=settings,
    )
    written.log({**run.figures, "experiment": run.step})
    written.summary.update({"decision": run.tags["decision"]})
    written.finish(exit_code=1 if run.is_failure else 0)


def write_trackio(folder: Path, line: TrackedLine, runs: Iterable[TrackedRun]) -> int:
    """Write the runs that are not there yet into trackio's database of a project; return how many.

    Raises ConfigurationError where its client is not installed, or is one that arnode does not
    know, such as one that keeps its databases elsewhere.
    """
    folder = make_folder(folder)
    variables = {**_TRACKIO, "TRACKIO_DIR": str(folder)}
    count = 0
    with (
        _client("trackio", "trackio.sqlite_storage", variables) as (module, version),
        explaining_faults(folder),
    ):
        with _as_arnode_knows_it("trackio", version, "0.5"):
            storage = module.SQLiteStorage
            place = Path(storage.get_project_db_path(line.key))
            if place.parent.resolve() != folder.resolve():
                raise ValueError(f"it writes to {place.parent}")
            known = set(storage.get_runs(line.key))
        for run in runs:
            if run.name in known:
                continue
            with _as_arnode_knows_it("trackio", version, "0.5"):
                storage.bulk_log(
                    project=line.key,
                    run=run.name,
                    metrics_list=[dict(run.figures)],
                    steps=[run.step],
                    timestamps=[_iso(run.ended_ms)],
                    config={**_values(run), **run.tags},
                )
            count += 1
    return count


@contextlib.contextmanager
def _as_arnode_knows_it(package: str, version: str, since: str) -> Iterator[None]:
    """Say of a client that takes other calls which versions of it are known."""
    try:
        yield
    except (AttributeError, TypeError, ValueError) as fault:
        raise ConfigurationError(
            f"{package} {version} is not as arnode knows it: {str(fault).splitlines()[0]}",
            f"install another version of it beside arnode: pip install '{package}>={since}'",
        ) from fault


def _values(run: TrackedRun) -> dict[str, float | str]:
    """Return what its constants became, numbers as such: trackers draw axes of them."""
    return {name: _number(text) for name, text in run.knobs.items()}


def _number(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


@contextlib.contextmanager
def _client(
    package: str, module: str, variables: Mapping[str, str | None]
) -> Iterator[tuple[Any, str]]:
    """Yield a client's module and version, loaded with these variables, its output on stderr.

    A variable that is None is not there meanwhile.
    """
    former = {name: os.environ.get(name) for name in variables}
    try:
        _set(variables)
        with contextlib.redirect_stdout(sys.stderr):
            yield _loaded(package, module)
    finally:
        _set(former)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _loaded(package: str, module: str) -> tuple[ModuleType, str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return importlib.import_module(module), version(package)
    except (ImportError, PackageNotFoundError) as fault:
        raise ConfigurationError(
            f"the client `{package}` is not installed beside arnode",
            f"install it there: pip install {package}; `arnode export mlflow` needs no client",
        ) from fault
