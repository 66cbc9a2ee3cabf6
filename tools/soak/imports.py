"""The import of other systems' unedited folders, with one run of each baseline.

`build/soak/imports/folders.txt` lists them, one per line: an importer, a space, a folder. One
table line is printed for each: is it judged, why not, and how the baseline's run ended. It holds if
at least half of the folders that can be imported are judged.
"""

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from node.exchange.importers import Importer
from node.home.plugins import IMPORTERS, plugin
from protocol.errors import ArnodeError
from tests.trainer.program.tasks import Bench
from trainer.importing.draft import write_draft
from trainer.program.environments import make_environment
from trainer.task_folder.task import NotPreparedError, Task
from trainer.task_kinds import load_task

_LIST: Final = "folders.txt"
_LEAST: Final = 0.5  # share of the folders that can be imported

Figures = Mapping[str, object]


def run_imports(home: Path) -> Figures:
    """Import the folders listed in `home`, and run their baselines."""
    found = Counter[str]()
    for line in (home / _LIST).read_text(encoding="utf-8").splitlines():
        system, _, folder = line.partition(" ")
        outcome, ended = _brought(system, Path(folder), home / "made")
        found[outcome.partition(":")[0].partition(",")[0]] += 1
        found["ran"] += ended == "ok"
        print(f"{folder}\t{outcome}\t{ended}", flush=True)
    brought = found["judged"] + found["self-scored"]
    return {
        "holds": brought > 0 and found["judged"] >= _LEAST * brought,
        "imported": brought,
        "judged": found["judged"],
        "ran": found["ran"],
    }


def _brought(system: str, folder: Path, into: Path) -> tuple[str, str]:
    """Return the result of a folder's import, and how its baseline's run ended."""
    shutil.rmtree(into, ignore_errors=True)
    reader = plugin(IMPORTERS, system, "importer").load(Importer).task
    assert reader is not None, system
    try:
        draft = reader.read(folder)
        write_draft(draft, into)
    except ArnodeError as error:
        return f"not imported: {error.message}", ""
    try:
        with Bench(_loaded(into)) as bench:
            bench.calibrate()
    except ArnodeError as error:
        return draft.notes[-1], error.message
    return draft.notes[-1], "ok"


def _loaded(folder: Path) -> Task:
    """Return a folder's task, with the packages that it requires."""
    try:
        return load_task(folder, data_dir=folder)
    except NotPreparedError as unsettled:
        if not isinstance(unsettled.unknown, tuple):
            raise
        for unmet in unsettled.unknown:
            make_environment(unmet, lambda _what, _share: None)
    return load_task(folder, data_dir=folder)
