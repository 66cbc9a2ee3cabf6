"""Writes runs through the clients of wandb and trackio, where they are installed, and offline.

Nothing leaves this machine: wandb writes what `wandb sync` takes, trackio a database that its page
shows. What the clients print is for a terminal, and goes to stderr.
"""

import contextlib
import importlib
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
    """Write an offline run of wandb for each; return how many.

    Raises ConfigurationError where its client is not installed.
    """
    folder = make_folder(folder)
    variables = {**_WANDB, "WANDB_DIR": str(folder)}
    count = 0
    with _client("wandb", "wandb", variables) as (wandb, _), explaining_faults(folder):
        for run in runs:
            with wandb.init(
                dir=str(folder),
                mode="offline",
                project=line.key,
                id=run.key,
                name=run.name,
                notes="",
                tags=[run.tags["decision"], run.tags["stage"]],
                config={**run.knobs, "arnode": dict(run.tags)},
                settings=wandb.Settings(x_disable_stats=True, x_disable_meta=True),
            ) as written:
                written.log({**run.figures, "experiment": run.step})
                written.summary.update({"decision": run.tags["decision"]})
            count += 1
    return count


def write_trackio(folder: Path, line: TrackedLine, runs: Iterable[TrackedRun]) -> int:
    """Write the runs that are not there yet into trackio's database of a project; return how many.

    Raises ConfigurationError where its client is not installed, or is one that has no such way in.
    """
    folder = make_folder(folder)
    variables = {**_TRACKIO, "TRACKIO_DIR": str(folder)}
    count = 0
    with (
        _client("trackio", "trackio.sqlite_storage", variables) as (module, version),
        explaining_faults(folder),
    ):
        try:
            storage = module.SQLiteStorage
            known = set(storage.get_runs(line.key))
            for run in runs:
                if run.name in known:
                    continue
                storage.bulk_log(
                    project=line.key,
                    run=run.name,
                    metrics_list=[dict(run.figures)],
                    steps=[run.step],
                    timestamps=[_iso(run.ended_ms)],
                    config={**run.knobs, **run.tags},
                )
                count += 1
        except (AttributeError, TypeError) as fault:
            raise ConfigurationError(
                f"trackio {version} has no way in that arnode knows: {fault}",
                "install another version of it beside arnode: pip install 'trackio>=0.2'",
            ) from fault
    return count


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
