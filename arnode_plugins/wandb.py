"""An exporter of runs as wandb's offline runs, through its client; nothing leaves this machine."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from arnode_plugins.clients import as_arnode_knows_it, client, constants, iso_time
from node.exports.exporters import Exporter, make_folder
from node.exports.tracked import TrackedLine, TrackedRun
from node.home.faults import explaining_faults

_WANDB: Final = {
    "WANDB_MODE": "offline",
    "WANDB_CONSOLE": "off",
    "WANDB_DISABLE_CODE": "true",
    "WANDB_DISABLE_GIT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
}


def write_wandb(folder: Path, line: TrackedLine, runs: Iterable[TrackedRun]) -> int:
    """Write each new run as an offline run of wandb; return the number of runs written.

    Raises ConfigurationError if the client is not installed, or if its version is unknown to
    arnode.
    """
    folder = make_folder(folder)
    known = {path.stem.removeprefix("run-") for path in folder.glob("wandb/*/run-*.wandb")}
    variables = {**_WANDB, "WANDB_DIR": str(folder)}
    count = 0
    with client("wandb", "wandb", variables) as (wandb, version), explaining_faults(folder):
        for run in runs:
            if run.key in known:
                continue
            with as_arnode_knows_it("wandb", version, "0.19"):
                _log_to_wandb(wandb, folder, line, run)
            count += 1
    return count


def _log_to_wandb(wandb: Any, folder: Path, line: TrackedLine, run: TrackedRun) -> None:
    settings = wandb.Settings(
        host="",  # do not reveal the machine's name to people who see the run
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
        # The client records the time of the export, so the run's own time is given here.
        config={**constants(run), "arnode": {**run.tags, "ended": iso_time(run.ended_ms)}},
        settings=settings,
    )
    written.log({**run.figures, "experiment": run.step})
    written.summary.update({"decision": run.tags["decision"]})
    written.finish(exit_code=1 if run.is_failure else 0)


EXPORTER: Final = Exporter(
    summary="""Write the experiments below DIR as wandb's offline runs.

    The client `wandb` must be installed in arnode's environment. Nothing is uploaded unless you run
    `wandb sync`. A second export into the same folder adds new experiments.""",
    write=write_wandb,
)
