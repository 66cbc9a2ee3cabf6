"""Changes of the verified head and the working line by hand.

A tree that passes a promotion trial is adopted with `LineWriter.move_to` instead.
"""

from collections.abc import Collection
from dataclasses import replace

from node.home.next_start import PROMOTION_TRIAL, unless_running
from node.line.job_kinds import HEAD_TRIALS
from node.line.line_writer import LineWriter
from node.source_review.patches import PatchRecord
from node.store.jobs import Line
from node.store.named_tasks import labels, line_of_session, task_named
from node.store.records import begins, only_one
from node.store.store import Store
from protocol.errors import ArnodeError, UsageError
from protocol.manifest import TaskManifest
from protocol.record_kinds import AdoptBody, PatchBody, ResultBody
from protocol.records import Record
from protocol.rerun import RerunBody


def the_line(store: Store, task: str | None = None) -> Line:
    """Return the line of the named task, else that of the only task.

    For a task on several hardware classes, return the line of the last session. Raises UsageError
    if no task is named and there are several.
    """
    lines = _lines(store, task)
    if len({line.task for line in lines}) > 1:
        names = ", ".join(sorted(labels(store, (line.task for line in lines)).values()))
        raise UsageError(f"this home works on several tasks: {names}", "choose one with --task")
    return _latest(store, lines)


def line_to_show(store: Store, task: str | None = None) -> tuple[Line, str]:
    """Return the line of the named task, else of the current or last session, and a message.

    The message names the line; it is empty if the home has only one line.
    """
    line = _latest(store, _lines(store, task))
    others = [one for one in store.jobs.lines() if one.key != line.key]
    if not others:
        return line, ""
    shown = labels(store, (one.task for one in [line, *others]))
    message = f"this shows task {shown[line.task]} on {line.hardware_class}"
    names = sorted({shown[one.task] for one in others} - {shown[line.task]})
    return (
        line,
        f"{message}; --task takes: {', '.join(names)}" if names and task is None else message,
    )


def _lines(store: Store, task: str | None) -> list[Line]:
    lines = store.jobs.lines()
    if not lines:
        raise UsageError(
            "nothing has been measured here yet",
            unless_running("`arnode start` runs the node, which measures"),
        )
    if task is None:
        return lines
    wanted = task_named(store, task, (line.task for line in lines))
    return [line for line in lines if line.task == wanted]


def _latest(store: Store, lines: list[Line]) -> Line:
    """Return the line of the last session, else the one with the latest measurement."""
    session = line_of_session(store)

    def number(line: Line) -> int:
        newest = store.experiments.listed(line.key, newest_first=True, limit=1)
        return newest[0].n if newest else 0

    return max(lines, key=lambda line: (line.key == session, number(line)))


def manifest_of(store: Store, line: Line) -> TaskManifest:
    """Return the manifest of a line's task."""
    manifest = store.records.manifest(line.task)
    if manifest is None:
        raise ArnodeError("the line's task is not recorded here", "run `arnode home fsck`")
    return manifest


def tree_of(store: Store, line: Line, wanted: str) -> bytes:
    """Return the tree for an id, which may be the id of a record or of a tree of this line."""
    own = (entry.tree for entry in store.experiments.listed(line.key))
    return _tree_meant(store, {line.verified, line.working, *own}, wanted)


def _tree_meant(store: Store, trees: Collection[bytes], wanted: str) -> bytes:
    """Return the tree for the first digits of an id: one of `trees`, or a record's tree.

    Raises UsageError if the digits match nothing, or more than one.
    """
    of_trees = {tree for tree in trees if begins(tree, wanted)}
    meant = only_one(wanted, of_trees | store.records.matching(wanted).keys())
    if meant is not None and meant in of_trees:
        return meant
    return tree_in(store.records.find(wanted))


def tree_in(record: Record) -> bytes:
    """Return the tree that a record is about."""
    if isinstance(record.body, ResultBody | PatchBody | RerunBody):
        return record.body.tree
    if isinstance(record.body, AdoptBody):
        return record.body.to_tree
    raise UsageError(
        f"record {record.id.hex()[:12]} is a {record.kind}, which has no source",
        "give the id of an experiment: see `arnode log`",
    )


def previous_head(store: Store, line: Line, author: bytes) -> bytes:
    """Return the head before this node's last adoption."""
    for record in store.records.listed("adopt", author, newest_first=True):
        body = record.body
        if isinstance(body, AdoptBody) and (body.task, body.hardware_class) == (
            line.task,
            line.hardware_class,
        ):
            return body.from_tree
    raise UsageError("the head never changed", "`arnode log` shows what was tried")


def move_head(
    line_writer: LineWriter,
    tree: bytes,
    *,
    evidence: bytes | None,
    stripped_from: PatchRecord | None = None,
) -> Record:
    """Adopt a tree at the user's request; without evidence it is marked unverified.

    `stripped_from` is a peer's patch: the tree is that patch's tree without comments and
    docstrings. Raises ArnodeError during a trial against the head.
    """
    line, record_writer = line_writer.known_line, line_writer.record_writer
    _refuse_during_trial(line_writer)
    with line_writer.store.transaction():
        if stripped_from is not None:
            record_writer.stripped(stripped_from.id, stripped_from.body.tree, tree)
        record = record_writer.adoption(line.verified, tree, evidence=evidence)
        line_writer.note_move()
        line_writer.save(replace(line, verified=tree, working=tree, stack=(), reference_nano=()))
    return record


def drop_kept(line_writer: LineWriter, wanted: str) -> tuple[bytes, ...]:
    """Take a kept patch out of the working line; return it and the patches kept on top of it.

    They leave the line with it, since their sources contain it. Their records stay, and the line
    measures its source again before the next screen. `wanted` is the id of the patch or of its
    experiment. Raises UsageError if the working line has no such patch, and ArnodeError during a
    trial against the head.
    """
    line, records = line_writer.known_line, line_writer.store.records
    record = records.find(wanted)
    patch = record.body.patch if isinstance(record.body, ResultBody) else record.id
    body = records.patch(patch) if patch in line.stack else None
    if patch is None or body is None:
        raise UsageError(
            f"{record.id.hex()[:12]} is no kept patch of the working line",
            "a promoted patch leaves with its head: `arnode head --undo` returns to the one before",
        )
    _refuse_during_trial(line_writer)
    place = line.stack.index(patch)
    line_writer.go_on_at(body.base, line.stack[:place], [])
    return line.stack[place:]


def _refuse_during_trial(line_writer: LineWriter) -> None:
    if line_writer.store.jobs.open_jobs(line_writer.key, *HEAD_TRIALS):
        raise ArnodeError(
            "a promotion trial against the current head is in progress",
            f"let it finish first ({PROMOTION_TRIAL})",
        )
