"""The verified head is moved by hand: what may be adopted, on which evidence."""

from dataclasses import replace
from pathlib import Path

from node.line.job_kinds import HEAD_TRIALS
from node.line.ledger import Ledger
from node.store.jobs import Line
from node.store.records import PREFIX_DIGITS
from node.store.store import Store
from node.vetting.patches import PatchRecord
from protocol.attestation import AttestBody
from protocol.errors import ArnodeError, UsageError
from protocol.manifest import TaskManifest
from protocol.record_kinds import AdoptBody, PatchBody, ResultBody
from protocol.records import Record
from trainer.task_folder.task import Task

_FOLDER = "task-folder/"


def the_line(store: Store, task_name: str | None = None) -> Line:
    """Return the one line meant: that of the named task, else the only one there is."""
    lines = store.jobs.lines()
    if not lines:
        raise UsageError("nothing was measured here yet", "start the node: `arnode start`")
    named = {line.task: store.records.manifest(line.task) for line in lines}
    chosen = [
        line
        for line in lines
        if task_name is None or ((task := named[line.task]) and task.name == task_name)
    ]
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(sorted(task.name for task in named.values() if task))
    if chosen:
        raise UsageError(f"this home works on several tasks: {names}", "choose one with --task")
    raise UsageError(f"no line of task `{task_name}` here", f"there are: {names}")


def manifest_of(store: Store, line: Line) -> TaskManifest:
    """Return the manifest of a line's task."""
    manifest = store.records.manifest(line.task)
    if manifest is None:
        raise ArnodeError("the line's task is not recorded here", "run `arnode fsck`")
    return manifest


def remember_folder(store: Store, task: Task, wanted: str) -> None:
    """Keep where a task's folder is, if `wanted` names one: its name alone would not find it."""
    folder = Path(wanted)
    if folder.is_dir() and task.recipe.name != "text":
        store.set_meta(_FOLDER + task.id.hex(), str(folder.resolve()).encode())


def task_source(store: Store, task_id: bytes) -> str | None:
    """Return what `--task` takes for a task of this home: its folder, else its name."""
    if folder := store.meta(_FOLDER + task_id.hex()):
        return folder.decode()
    manifest = store.records.manifest(task_id)
    return manifest.name if manifest else None


def tree_of(store: Store, line: Line, wanted: str) -> bytes:
    """Return the tree that an id means: a record's, or a tree of this line itself."""
    trees = {
        line.verified,
        line.working,
        *(entry.tree for entry in store.experiments.listed(line.key)),
    }
    if len(wanted) >= PREFIX_DIGITS:
        matching = {tree for tree in trees if tree.hex().startswith(wanted.lower())}
        if len(matching) == 1:
            return matching.pop()
    return tree_in(store.records.find(wanted))


def tree_in(record: Record) -> bytes:
    """Return the tree that a record is about."""
    if isinstance(record.body, ResultBody | PatchBody | AttestBody):
        return record.body.tree
    if isinstance(record.body, AdoptBody):
        return record.body.to_tree
    raise UsageError(
        f"record {record.id.hex()[:12]} is a {record.kind}, which has no source",
        "give the id of an experiment: see `arnode log`",
    )


def previous_head(store: Store, line: Line, author: bytes) -> bytes:
    """Return the head before the last own adoption."""
    for record in store.records.listed("adopt", author, newest_first=True):
        body = record.body
        if isinstance(body, AdoptBody) and (body.task, body.hardware_class) == (
            line.task,
            line.hardware_class,
        ):
            return body.from_tree
    raise UsageError("the head never moved", "`arnode log` shows what was tried")


def move_head(
    ledger: Ledger,
    tree: bytes,
    *,
    evidence: bytes | None,
    stripped_from: PatchRecord | None = None,
) -> Record:
    """Adopt a tree at the user's word; without evidence it is marked unverified.

    `stripped_from`: the stranger's patch whose tree this is without its prose.
    """
    line, publication = ledger.known_line, ledger.publication
    if ledger.store.jobs.open_jobs(ledger.key, *HEAD_TRIALS):
        raise ArnodeError(
            "a checkpoint is on trial against the present head",
            "let it finish first (`arnode start`, then `arnode stop --at-checkpoint`)",
        )
    with ledger.store.transaction():
        if stripped_from is not None:
            publication.stripped(stripped_from.id, stripped_from.body.tree, tree)
        record = publication.adoption(line.verified, tree, evidence=evidence)
        ledger.note_move()
        ledger.save(replace(line, verified=tree, working=tree, stack=(), bank_nano=()))
    return record
