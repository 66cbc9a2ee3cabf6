"""An exporter of runs into trackio's database, through its client; nothing leaves this machine."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from arnode_plugins.clients import as_arnode_knows_it, client, constants, iso_time
from node.exports.exporters import Exporter, make_folder
from node.exports.tracked import TrackedLine, TrackedRun
from node.home.faults import explaining_faults

_TRACKIO: Final = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    # If the user has set these for their own runs, the export would be uploaded too.
    "TRACKIO_BUCKET_ID": None,
    "TRACKIO_DATASET_ID": None,
    "TRACKIO_SERVER_URL": None,
    "TRACKIO_SPACE_ID": None,
}


def write_trackio(folder: Path, line: TrackedLine, runs: Iterable[TrackedRun]) -> int:
    """Write the new runs into trackio's database of a project; return their number.

    Raises ConfigurationError if the client is not installed, or if its version is unknown to
    arnode, for example because it keeps its databases elsewhere.
    """
    folder = make_folder(folder)
    variables = {**_TRACKIO, "TRACKIO_DIR": str(folder)}
    count = 0
    with (
        client("trackio", "trackio.sqlite_storage", variables) as (module, version),
        explaining_faults(folder),
    ):
        with as_arnode_knows_it("trackio", version, "0.5"):
            storage = module.SQLiteStorage
            place = Path(storage.get_project_db_path(line.key))
            if place.parent.resolve() != folder.resolve():
                raise ValueError(f"it writes to {place.parent}")
            known = set(storage.get_runs(line.key))
        for run in runs:
            if run.name in known:
                continue
            with as_arnode_knows_it("trackio", version, "0.5"):
                storage.bulk_log(
                    project=line.key,
                    run=run.name,
                    metrics_list=[dict(run.figures)],
                    steps=[run.step],
                    timestamps=[iso_time(run.ended_ms)],
                    config={**constants(run), **run.tags},
                )
            count += 1
    return count


EXPORTER: Final = Exporter(
    summary="""Write the experiments into DIR as trackio's database.

    The client `trackio` must be installed in arnode's environment. `TRACKIO_DIR=DIR trackio show`
    shows them. A second export into the same folder adds new experiments.""",
    write=write_trackio,
)
