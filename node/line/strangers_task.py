"""A task that somebody else made and the user named by its id: run from what was fetched of it.

Its judge is a stranger's code, so that it runs where a stranger's code may.
"""

import re

from node.home.config import config_of
from node.home.home import Home
from node.home.sandboxing import require_peer_sandbox
from node.store.blobs import Blobs
from node.store.records import PREFIX_DIGITS
from node.store.store import Store
from protocol.errors import UsageError
from protocol.manifest import TaskManifest
from trainer.task_folder.task import Task
from trainer.task_kinds import builtin_ids
from trainer.task_kinds import strangers_task as assembled

_ID = re.compile(rf"[0-9a-f]{{{PREFIX_DIGITS},64}}")


def strangers_task(home: Home, wanted: str) -> Task | None:
    """Return the task that an id's first digits mean, None if it is none that came from others.

    Raises UsageError where files of it are missing, SafetyError where its judge may not run.
    """
    manifest = known_by_id(home, wanted)
    if manifest is None or manifest.id in builtin_ids(home.data).values():
        return None
    blobs = Blobs(home.blobs)
    if lacking(blobs, manifest):
        raise UsageError(
            f"task {manifest.name} ({wanted}) is known here by its id, its files are not",
            f"fetch them from others, beside a running node: arnode task fetch {wanted}",
        )
    require_peer_sandbox(config_of(home))
    return assembled(manifest, blobs.get_source(manifest.baseline_tree), blobs.get)


def known_by_id(home: Home, wanted: str) -> TaskManifest | None:
    """Return the one task that an id's first digits mean, if it was announced here."""
    if not _ID.fullmatch(wanted) or not home.store.exists():
        return None
    with Store.open_read_only(home) as store:
        found = [store.records.manifest(task) for task in store.records.tasks_by_prefix(wanted)]
    known = [manifest for manifest in found if manifest is not None]
    return known[0] if len(known) == 1 else None


def lacking(blobs: Blobs, manifest: TaskManifest) -> list[bytes]:
    """Return the files of a task that are not here, by hash."""
    beside = manifest.program.blobs if manifest.program else ()
    needed = [manifest.baseline_tree, *(blob for _, blob in manifest.files), *beside]
    return [blob for blob in needed if not blobs.has(blob)]
