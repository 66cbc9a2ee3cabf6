"""The commits and branches of the journal, computed from the records alone.

Each result and each adoption of this node becomes one commit. Then `main` (the verified head) and
`working` (the working line) are moved. A commit depends only on its record and on earlier records,
so the same store always gives the same commits, in any journal. The file `results.tsv` has
autoresearch's columns: status is keep, discard or crash, and a crash has a metric of 0.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from node.store.experiments import Adoption, Experiment
from node.store.git_objects import GitObject, commit_object, source_objects
from node.store.store import Store
from protocol.codecs import plain
from protocol.manifest import TaskManifest
from protocol.record_kinds import ResultBody
from protocol.records import Record
from protocol.runs import Run
from protocol.source import Source
from protocol.units import NANO

MAIN = "refs/heads/main"
WORKING = "refs/heads/working"
_COMMITTER = "arnode"
# Beginnings of lines that git or mail programs interpret: the end of a message, comments, diffs,
# mail headers, sign-offs, and this journal's own trailers.
_STRUCTURE = re.compile(
    r"---|\*\*\*|#|diff -|Index: |@@|>?From |\(cherry picked from|"
    r"(Arnode-[\w-]*|[\w-]*-by|From|Subject|Date|Cc|To|Author|Content-[\w-]*)[ \t]*:",
    re.IGNORECASE,
)
_SCISSORS = re.compile("(?<=>)(?=[8%])|(?<=[8%])(?=<)")

_KEPT = {"baseline", "kept", "adopted"}
_CRASHED = {"failed", "rejected"}
_GIB = 1 << 30
_COMMIT_DIGITS = 7  # as autoresearch has from `git rev-parse --short`

Entry = Experiment | Adoption


@dataclass(slots=True)
class Lineage:
    """The journal's branches and commits after the experiments and adoptions so far."""

    main: str | None = None
    main_trees: list[bytes] = field(default_factory=list)
    working: str | None = None
    by_record: dict[bytes, str] = field(default_factory=dict)
    by_tree: dict[bytes, str] = field(default_factory=dict)
    metrics: dict[bytes, int | None] = field(default_factory=dict)

    @property
    def branches(self) -> dict[str, str]:
        """The commit of each existing branch."""
        commits = {MAIN: self.main, WORKING: self.working}
        return {ref: commit for ref, commit in commits.items() if commit is not None}

    def parents(self, entry: Entry) -> list[str]:
        """Return the parents of the commit for an experiment or adoption."""
        if isinstance(entry, Adoption):
            evidence = self.by_record.get(entry.body.evidence or b"")
            candidates = [self.main, evidence]
        else:
            # A promotion trial follows the working line that it tests.
            near = entry.tree if entry.stage in {"baseline", "confirm"} else entry.parent
            candidates = [self.by_tree.get(near) or self.by_tree.get(entry.parent) or self.main]
        return list(dict.fromkeys(commit for commit in candidates if commit is not None))

    def turn(self, entry: Entry, commit: str) -> None:
        """Note the commit of an experiment or adoption, and move the branches that it changes."""
        self.by_record[entry.id] = commit
        if isinstance(entry, Adoption):
            self.main = self.working = commit
            self.main_trees.append(entry.body.to_tree)
            self.by_tree[entry.body.to_tree] = commit
            return
        self.metrics[entry.id] = entry.metric_nano
        if entry.stage == "baseline":
            self.by_tree.setdefault(entry.tree, commit)
            if self.main is None:
                self.main = self.working = commit
                self.main_trees.append(entry.tree)
        elif entry.stage == "keep":  # also for a step to another tree
            self.working = self.by_tree[entry.tree] = commit
        elif entry.stage == "confirm":
            # Go back to the head. If it passed, the adoption that follows moves both branches.
            self.working = self.main


def page_of(
    entry: Entry, lineage: Lineage, store: Store, source_of: Callable[[bytes], Source]
) -> list[GitObject]:
    """Return the git objects for a line's next experiment or adoption, with the commit last."""
    record = store.records.get(entry.id)
    tree = entry.body.to_tree if isinstance(entry, Adoption) else entry.tree
    objects = source_objects(source_of(tree))
    address = f"<{record.author.hex()[:12]}@arnode.invalid>"
    proposer = _COMMITTER if isinstance(entry, Adoption) else entry.origin
    commit = commit_object(
        tree=objects[-1].name,
        parents=lineage.parents(entry),
        author=f"{proposer} {address}",
        committer=f"{_COMMITTER} {address}",
        ts_s=entry.ts_ms // 1000,
        message=_message(entry, record, lineage, store),
    )
    return [*objects, commit]


def as_prose(text: str) -> str:
    """Return untrusted text changed so that git and mail programs treat it as plain words.

    A line that looks like a trailer, a header, a comment or a diff is prefixed with a bar, so that
    `git interpret-trailers` and `git am` do not interpret it. Scissors lines are broken up.
    """
    lines = [plain(line, lines=True) for line in text.strip().split("\n")]
    opened = (_SCISSORS.sub(" ", line) if "-" in line else line for line in lines)
    return "\n".join(f"| {line}" if _STRUCTURE.match(line) else line for line in opened)


def _shown(metric_nano: int) -> str:
    """Return a metric with the digits that users see."""
    return f"{metric_nano / NANO:.6f}"


def table_header(metric_name: str) -> str:
    """Return the first line of `results.tsv`, with the task's name for the metric."""
    return f"commit\t{metric_name}\tmemory_gb\tstatus\tdescription\n"


def table_line(experiment: Experiment, commit: str) -> str:
    """Return the line of `results.tsv` for one experiment."""
    if experiment.decision in _CRASHED or experiment.metric_nano is None:
        metric, memory, status = "0.000000", "0.0", "crash"
    else:
        metric = _shown(experiment.metric_nano)
        memory = f"{experiment.peak_mem_bytes / _GIB:.1f}"
        status = "keep" if experiment.decision in _KEPT else "discard"
    description = plain(experiment.title)
    return f"{commit[:_COMMIT_DIGITS]}\t{metric}\t{memory}\t{status}\t{description}\n"


def _message(entry: Entry, record: Record, lineage: Lineage, store: Store) -> str:
    task_id = entry.body.task if isinstance(entry, Adoption) else entry.task
    manifest = store.records.manifest(task_id)
    trailers = [f"Arnode-Record: {record.id.hex()}"]
    if isinstance(entry, Adoption):
        words, paragraphs = (
            "adopt",
            [f"The verified head moves to {entry.body.to_tree.hex()[:12]}."],
        )
        metric_nano = lineage.metrics.get(entry.body.evidence or b"")
        title = "by hand, unverified" if entry.body.unverified else "confirmed here"
        if entry.body.evidence is not None:
            trailers.append(f"Arnode-Evidence: {entry.body.evidence.hex()}")
    else:
        words, metric_nano, title = _word(entry), entry.metric_nano, plain(entry.title)
        paragraphs = _paragraphs(entry, record, store, manifest)
        trailers.append(f"Arnode-Stage: {entry.stage}")
        trailers.append(f"Arnode-Status: {entry.status}")
        if entry.patch is not None:
            trailers.append(f"Arnode-Patch: {entry.patch.hex()}")
    name = "metric" if manifest is None else manifest.metric.name
    number = "" if metric_nano is None else f" {_shown(metric_nano)}"
    if metric_nano is not None:
        trailers.append(f"Arnode-Metric: {name} {_shown(metric_nano)}")
    return "\n\n".join([f"{words}{number}: {title}", *paragraphs, "\n".join(trailers)]) + "\n"


def _word(entry: Experiment) -> str:
    if entry.status != "ok":
        return entry.status
    if entry.decision == "branched":
        return "branch"
    return {"screen": "discard"}.get(entry.stage, entry.stage)


def _paragraphs(
    entry: Experiment, record: Record, store: Store, manifest: TaskManifest | None
) -> list[str]:
    paragraphs: list[str] = []
    patch = None if entry.patch is None else store.records.patch(entry.patch)
    if patch is not None and patch.why.strip():
        paragraphs.append(as_prose(patch.why))
    if entry.gain_nano is not None:
        unit = manifest.metric.unit if manifest else ""
        paragraphs.append(f"gain over its base: {entry.gain_nano / NANO:+.6f} {unit}".rstrip())
    if isinstance(record.body, ResultBody):
        paragraphs.append("\n".join(_run_line(run) for run in record.body.runs))
        if record.body.note.strip():
            paragraphs.append(as_prose(record.body.note))
    return [paragraph for paragraph in paragraphs if paragraph]


def _run_line(run: Run) -> str:
    measured = run.status if run.metric_nano is None else _shown(run.metric_nano)
    if run.secret_nano is not None:
        measured += f" (secret {_shown(run.secret_nano)})"
    reason = f": {plain(run.reason)}" if run.reason else ""
    return f"{run.role} seed {run.seed}: {measured}, {run.ms / 1000:.1f} s{reason}"
