"""Checks and repair of a home: first the store, then blobs, then journals.

The checks only read files, also while a node runs. Repair needs the home's lock, never deletes
damaged files, and returns a list of its repairs.
"""

from node.home.faults import DamagedStoreError
from node.home.home import Home
from node.home.keyfile import load_secret, read_keys
from node.store.blobs import Blobs
from node.store.jobs import LineKey
from node.store.journal import Journal
from node.store.mirror import Mirror
from node.store.salvage import salvage
from node.store.store import Store
from node.terminal.progress import Progress, silent
from protocol.errors import ArnodeError, Rejected
from protocol.patches import apply_packed
from protocol.record_kinds import PatchBody
from protocol.records import Record, RecordId
from protocol.source import Source


def examine(home: Home, progress: Progress = silent) -> list[str]:
    """Return the problems, one line of text each."""
    problems = _key_problems(home)
    store_problems = _store_problems(home, progress)
    if store_problems or not home.store.exists():
        return problems + store_problems
    blobs = Blobs(home.blobs)
    progress("checking every blob", 0.0)
    problems += [f"blob {digest.hex()} is damaged" for digest in blobs.damaged()]
    with Store.open_read_only(home) as store:
        lost = _lost_sources(store, blobs)
        problems += lost.values()
        if not lost:
            for line in _lines(store):
                progress(f"checking the journal on {line.hardware_class}", 0.0)
                problems += Journal(home, store, blobs, line).check()
    return problems


def repair(home: Home, progress: Progress = silent) -> list[str]:
    """Repair what can be repaired; return the repairs. The caller must hold the home's lock."""
    done: list[str] = []
    if _page_problems(home) or _record_problems(home, progress):
        progress("copying intact records", 0.0)
        done += salvage(home)
    blobs = Blobs(home.blobs)
    blobs.remove_leftovers()
    with Store.open(home) as store:
        before = store.experiments.listed()
        store.rebuild(progress)
        if store.experiments.listed() != before:
            done.append("store: the list of experiments was rebuilt")
        done += _restore_sources(home, store, blobs)
        if not _lost_sources(store, blobs):
            for line in _lines(store):
                journal = Journal(home, store, blobs, line)
                if journal.check():
                    aside = journal.rebuild()
                    kept = f", the old one is now {aside}" if aside else ""
                    done.append(f"journal {journal.path.name}: rebuilt{kept}")
    return done


def _key_problems(home: Home) -> list[str]:
    problems: list[str] = []
    for path, read in ((home.key, read_keys), (home.secret, load_secret)):
        if path.exists():
            try:
                read(home)
            except ArnodeError as fault:
                problems.append(fault.message)
    return problems


def _page_problems(home: Home) -> list[str]:
    try:
        with Store.open_read_only(home) as store:
            return [f"store {home.store}: {line}" for line in store.database.faults()]
    except DamagedStoreError as fault:
        return [fault.message]


def _record_problems(home: Home, progress: Progress) -> list[str]:
    with Store.open_read_only(home) as store:
        return [f"store: {line}" for line in store.records.damaged(progress)]


def _store_problems(home: Home, progress: Progress) -> list[str]:
    progress("checking the store's pages", 0.0)
    problems = _page_problems(home) or _record_problems(home, progress)
    if problems:
        return problems
    with Store.open_read_only(home) as store:
        try:
            own = store.records.own()
            problems += _chain_problems(own)
        except DamagedStoreError as fault:
            return [fault.message]
        missing = Mirror.count_in(home.mirror) - len(own)
        if missing > 0:
            problems.append(f"store: {missing} own record(s) are missing, but have second copies")
        if sum(record.kind == "result" for record in own) != len(store.experiments.listed()):
            problems.append("store: the list of experiments does not match the records")
        progress("checking the boards", 0.0)
        problems += [
            f"store: {board} does not match the records" for board in store.boards.faults()
        ]
    return problems


def _chain_problems(own: list[Record]) -> list[str]:
    """Return a problem for each own record that does not refer to the previous one."""
    problems: list[str] = []
    last: dict[bytes, tuple[int, RecordId]] = {}
    for record in own:
        expected = last.get(record.author, (-1, None))
        if (record.seq - 1, record.prev) != expected:
            problems.append(f"store: own record {record.seq} does not refer to the previous one")
        last[record.author] = (record.seq, record.id)
    return problems


def _lines(store: Store) -> list[LineKey]:
    rows = store.experiments.listed()
    return list(
        dict.fromkeys(LineKey(task=row.task, hardware_class=row.hardware_class) for row in rows)
    )


def _lost_sources(store: Store, blobs: Blobs) -> dict[bytes, str]:
    """Return the unreadable sources of experiments: each source's id with the error's text."""
    lost: dict[bytes, str] = {}
    for tree in dict.fromkeys(experiment.tree for experiment in store.experiments.listed()):
        try:
            blobs.get_source(tree)
        except ArnodeError as fault:
            lost[tree] = f"source {tree.hex()[:12]}: {fault.message}"
    return lost


def _restore_sources(home: Home, store: Store, blobs: Blobs) -> list[str]:
    """Rebuild lost sources from the task's baseline and the patches' diffs."""
    lost = _lost_sources(store, blobs)
    if not lost:
        return []
    for line in _lines(store):
        baseline = _known_baseline(home, store, line.task)
        if baseline is not None and baseline.tree in lost:
            blobs.put_source(baseline)
    for record in store.records.listed("patch"):
        if isinstance(record.body, PatchBody) and record.body.tree in lost:
            source = _patched(record.body, blobs)
            if source is not None and source.tree == record.body.tree:
                blobs.put_source(source)
    still_lost = _lost_sources(store, blobs)
    return [f"source {tree.hex()[:12]}: rebuilt" for tree in lost if tree not in still_lost]


def _known_baseline(home: Home, store: Store, task_id: bytes) -> Source | None:
    from trainer.task_kinds import load_task

    manifest = store.records.manifest(task_id)
    if manifest is None:
        return None
    try:
        task = load_task(manifest.name, data_dir=home.data)
    except ArnodeError:
        return None
    return task.source if task.id == task_id else None


def _patched(patch: PatchBody, blobs: Blobs) -> Source | None:
    try:
        base = blobs.get_source(patch.base)
        packed = blobs.get(patch.diff.blob) if patch.diff.blob else patch.diff.zlib or b""
    except ArnodeError:
        return None
    source = apply_packed(base, packed)
    return None if isinstance(source, Rejected) else source
